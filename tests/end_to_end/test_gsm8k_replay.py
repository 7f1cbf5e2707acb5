"""The recipe of recorded solutions, as it stands, on a small file of the same shape: the data side of the loop, without a model."""

from collections import Counter
from pathlib import Path

import orjson
import pytest

from orbiter import jsonl
from orbiter.cli import main
from orbiter.flywheel.account import read_account
from orbiter.ledger import History
from orbiter.records import Pair, Trajectory

RECIPE = Path(__file__).parents[2] / "examples/recipes/gsm8k_replay.yaml"
MODELS = ("small-base", "small-tuned", "large-base", "large-tuned")
RIGHT, WRONG, MUTE, HEDGING = range(4)
# What each of the four models says to problem n, round and round.
HABITS = (
    (RIGHT, WRONG, WRONG, MUTE),
    (RIGHT, RIGHT, WRONG, HEDGING),
    (RIGHT, RIGHT, RIGHT, WRONG),
    (RIGHT, RIGHT, RIGHT, RIGHT),
)
COUNT = 40
STORIES = (
    "A baker sells {a} loaves in the morning and {b} in the afternoon. How many loaves does the baker sell?",
    "Ada reads {a} pages on Monday and {b} on Tuesday. How many pages are that in both days together?",
    "One shelf holds {a} jars, the shelf below {b} of them. What is the number of jars on the two shelves?",
    "In the first bus sit {a} pupils while {b} ride in the second one. Count all pupils who travel.",
)


def problem(n: int) -> dict:
    a, b = 12 + 7 * n, 3 + 5 * n
    row = {
        "index": n,
        "question": STORIES[n % 4].format(a=a, b=b),
        "ground_truth": f"Add the two: {a} + {b} = {a + b}.\n#### {a + b}",
    }
    for place, model in enumerate(MODELS):
        total = a + b
        said = {
            RIGHT: f"{model} reckons {a} + {b} = {total}, and that is all.\n#### {total}",
            WRONG: f"{model} reckons {a} - {b} = {a - b}, in haste.\n#### {a - b}",
            MUTE: f"{model} does not know, and says so at some length.",
            HEDGING: f"{model}: either this or that.\n#### {total} or {total + 1}",
        }[HABITS[place][n % 4]]
        row[model] = {"solution": said, "is_correct": False, "code": None}
    return row


def passes(place: int) -> int:
    return sum(HABITS[place][n % 4] == RIGHT for n in range(COUNT))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a run of the recipe."""
    pytest.importorskip("orbiter_math")
    folder = tmp_path_factory.mktemp("replay")
    data = folder / "solutions.jsonl"
    data.write_bytes(b"".join(orjson.dumps(problem(n)) + b"\n" for n in range(COUNT)))
    runs = folder / "runs"
    assert main(["run", str(RECIPE), f"inputs.solutions={data}", "--runs", str(runs)]) == 0
    return runs / "gsm8k-replay"


def test_every_recorded_solution_is_judged_once(run):
    account = read_account(run)
    right = sum(map(passes, range(4)))
    assert account.state == "finished"
    assert (account.total.planned, account.total.passed) == (4 * COUNT, right)
    assert account.total.pending == account.total.invalid_count == 0


def test_models_are_told_apart_and_their_own_marks_are_not_believed(run):
    by_model = read_account(run).by_model
    assert {name: row["passed"] for name, row in by_model.items()} == {
        model: passes(place) for place, model in enumerate(MODELS)
    }
    assert by_model["large-tuned"]["yield"] == 1.0
    assert by_model["small-base"]["yield"] == 0.25


def test_why_solutions_failed_is_counted(run):
    with History.open(run) as history:
        round_ = history.last_event("stage_done", stage="round", round=1)
    assert round_["reasons"] == {
        "wrong answer": 40,
        "answer is not one number": 10,
        "no answer": 10,
    }


def test_the_funnel_is_conserved_and_what_is_kept_passed(run):
    kept = list(jsonl.read(run / "data/round-1-kept.jsonl", Trajectory))
    with History.open(run) as history:
        decisions = Counter(history.decision_of(a.key).decision for a in history.attempts())
    assert sum(decisions.values()) == 4 * COUNT
    assert decisions["accepted"] == len(kept)
    assert decisions["rejected"] == 60
    assert {row.verdict.outcome for row in kept} == {"pass"}
    assert {row.verdict.verifier for row in kept} == {"gsm8k"}
    assert len({(row.task_id, row.model) for row in kept}) == len(kept)


def test_pairs_prefer_a_right_solution_to_a_wrong_one_of_the_same_problem(run):
    pairs = list(jsonl.read(run / "data/round-1-pairs.jsonl", Pair))
    # All problems but the first kind have a wrong solution, and all have a right one.
    assert len({pair.task_id for pair in pairs}) == COUNT * 3 // 4
    for pair in pairs:
        n = int(pair.task_id.rpartition(":")[2])
        total = 15 + 12 * n
        assert pair.chosen[-1].text.endswith(f"#### {total}")
        assert not pair.rejected[-1].text.endswith(f"#### {total}")
        assert pair.prompt[-1].text == problem(n)["question"]


def test_every_export_has_its_rows(run):
    kept = sum(1 for _ in jsonl.read(run / "data/round-1-kept.jsonl", Trajectory))
    pairs = sum(1 for _ in jsonl.read(run / "data/round-1-pairs.jsonl", Pair))
    with History.open(run) as history:
        exported = {event["name"]: event for event in history.events("exported")}
    assert {name: event["rows"] for name, event in exported.items()} == {
        "trl-sft": kept,
        "trl-preference": pairs,
        "openai": kept,
        "llama-factory": kept,
    }
    for event in exported.values():
        for file in event["files"]:
            assert (run / file).stat().st_size > 0


def test_the_command_compares_the_models(run, capsys):
    assert main(["yield", str(run)]) == 0
    printed = capsys.readouterr().out
    assert "model large-tuned: 1.000 [" in printed
    assert "model small-base: 0.250 [" in printed


def test_the_recipe_without_its_file_says_what_to_give(tmp_path, capsys):
    assert main(["run", str(RECIPE), "--runs", str(tmp_path)]) == 2
    complaint = capsys.readouterr().err
    assert "inputs.solutions" in complaint
    assert "add inputs.solutions=... to the command line" in complaint
