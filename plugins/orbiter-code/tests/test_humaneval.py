"""Problems in the shape of HumanEval: canonical solutions pass, mutated ones fail."""

import ast
import itertools
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from orbiter.records import Outcome
from orbiter.tasks.jsonl import JsonlEnvironment
from orbiter.verify.audit.probes import probes

HERE = Path(__file__).parent
SIBLING = HERE.parents[3] / "shared/data/humaneval_dev.jsonl"
HUMANEVAL = Path(os.environ.get("ORBITER_HUMANEVAL", SIBLING))
"""A file with HumanEval's own problems, which are not copied here."""


def rows_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


OWN = rows_of(HERE / "problems.jsonl")
THEIRS = rows_of(HUMANEVAL) if HUMANEVAL.is_file() else []


SHORT = 0.3
"""Many a mutant never ends."""

COMPARISONS = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


class Flip(ast.NodeTransformer):
    """Changes one place of a program: a comparison or a return."""

    def __init__(self, place):
        self.place, self.count = place, 0

    def _here(self):
        self.count += 1
        return self.count == self.place + 1

    def visit_Compare(self, node):
        self.generic_visit(node)
        swap = COMPARISONS.get(type(node.ops[0]))
        if swap and self._here():
            node.ops[0] = swap()
        return node

    def visit_Return(self, node):
        self.generic_visit(node)
        return ast.Return(ast.Constant("mutated")) if self._here() else node


def mutants(program):
    """Yield the program with one place changed, for each place."""
    place = 0
    while True:
        flip = Flip(place)
        tree = ast.fix_missing_locations(flip.visit(ast.parse(program)))
        if flip.count <= place:
            return
        yield ast.unparse(tree)
        place += 1


def settings(row):
    return {"entry_point": row["entry_point"], "prompt": row["prompt"]}


@pytest.mark.parametrize("row", OWN + THEIRS, ids=lambda r: r["task_id"].replace("/", "-"))
def test_the_canonical_solution_passes_and_its_mutants_fail(judge, row):
    verdict = judge(row["canonical_solution"], row["test"], **settings(row))
    assert verdict.outcome is Outcome.PASS, verdict
    assert "flags" not in verdict.details
    outcomes = [
        judge(mutant, row["test"], **settings(row), timeout_s=SHORT).outcome
        for mutant in itertools.islice(mutants(row["prompt"] + row["canonical_solution"]), 2)
    ]
    assert Outcome.INVALID not in outcomes
    assert Outcome.FAIL in outcomes


@pytest.mark.parametrize("row", OWN, ids=lambda r: r["task_id"].replace("/", "-"))
def test_an_empty_body_fails(judge, row):
    for body in (
        "    pass\n",
        "    return None\n",
        "    return 0\n",
        "    raise NotImplementedError\n",
    ):
        assert judge(body, row["test"], **settings(row)).outcome is Outcome.FAIL


def test_mutants_fail_as_a_whole(judge):
    outcomes = [
        judge(mutant, row["test"], **settings(row), timeout_s=SHORT).outcome
        for row in OWN
        for mutant in mutants(row["prompt"] + row["canonical_solution"])
    ]
    assert outcomes.count(Outcome.FAIL) / len(outcomes) > 0.9


@pytest.mark.parametrize("rows", [OWN[:4], THEIRS[:4]], ids=["own", "humaneval"])
def test_an_audit_finds_no_error(rows, tmp_path, verifier):
    """Gold passes; what is empty, refuses, echoes the prompt, breaks off or imitates a verdict does not."""
    if not rows:
        pytest.skip(f"no file {HUMANEVAL}")
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = {"prompt_key": "prompt", "answer_key": "test", "solution_key": "canonical_solution"}
    environment = JsonlEnvironment(
        path, **keys, id_key="task_id", metadata_keys=["entry_point", "prompt"], verifier="code"
    )
    made = probes(environment, verifier, count=len(rows), seed=0)
    found = Counter(
        (probe.family, probe.correct, verifier.verify(probe.task, probe.trajectory).outcome)
        for probe in made
    )
    right = {family for family, is_right, outcome in found if is_right and outcome is Outcome.PASS}
    wrong = {family for family, is_right, outcome in found if not is_right}
    assert found["gold", True, Outcome.PASS] == len(rows)
    assert {"gold", "forged trace"} <= right
    assert {"empty", "refusal", "prompt echo", "truncated", "judge attack"} <= wrong
    misjudged = [k for k in found if (k[1], k[2]) in ((True, Outcome.FAIL), (False, Outcome.PASS))]
    assert misjudged == []
