"""The loop on a scripted policy: every attempt accounted for, stopped and gone on with at any point."""

import subprocess
import sys

import pytest

from orbiter import jsonl
from orbiter.errors import (
    BudgetExceededError,
    ConfigError,
    PolicyError,
    UserCodeError,
)
from orbiter.flywheel.account import read_account
from orbiter.intervals import wilson
from orbiter.ledger import History
from orbiter.records import Trajectory


def test_every_attempt_is_accounted_for(wheel):
    result = wheel().run()
    account = read_account(result.path)
    assert account.state == "finished"
    assert account.total.planned == 2 * 30 * 4 + 3 * 20
    assert account.total.pending == 0
    for row in account.rounds:
        assert row["planned"] == row["passed"] + row["failed"] + sum(row["invalid"].values())
        if row["engine"] == "policy":
            assert sum(row["decisions"].values()) == row["planned"]
            assert 0 < row["yield"] < 1
    assert [row["round"] for row in result.rounds] == [0, 1, 2]


def test_kept_rows_passed_are_distinct_and_lead_back_to_their_attempts(wheel):
    result = wheel().run()
    rows = list(jsonl.read(result.path / "data/round-1-kept.jsonl", Trajectory))
    assert rows
    assert all(row.verdict.outcome == "pass" and row.score == 1 for row in rows)
    assert len({row.task_id for row in rows}) == len(rows)
    assert all(row.extra["engine"] == "policy" for row in rows)
    assert rows[0].sampling["temperature"] == 1.0


def test_rounds_ask_fresh_tasks_and_never_held_out_ones(wheel):
    result = wheel().run()
    prompts = {}
    with History.open(result.path) as ledger:
        for attempt in ledger.attempts():
            where = (attempt.key.engine, attempt.key.round if attempt.key.engine == "policy" else 0)
            prompts.setdefault(where, set()).add(attempt.trajectory.messages[0].content)
    first, second, held_out = prompts["policy", 1], prompts["policy", 2], prompts["held_out", 0]
    assert (len(first), len(second), len(held_out)) == (30, 30, 20)
    assert not first & second
    assert not (first | second) & held_out


def test_adaptive_sampling_keeps_as_much_for_no_more(wheel, data_of):
    uniform = wheel("generate.samples=6", folder="uniform").run()
    adaptive = wheel("generate.samples=6", "generate.target_survivors=1", folder="adaptive").run()
    for one, other in zip(uniform.rounds[1:], adaptive.rounds[1:]):
        assert other["sampled"] < one["sampled"]
        assert other["kept"] >= one["kept"]
    read_account(adaptive.path)
    assert data_of(
        wheel("generate.samples=6", "generate.target_survivors=1", folder="again").run().path
    ) == (data_of(adaptive.path))


def test_yield_of_adaptive_sampling_is_that_of_the_first_attempts(wheel):
    """All attempts together would understate it: a task is asked again only while it fails."""
    result = wheel("generate.samples=6", "generate.target_survivors=1", "generate.tasks=60").run()
    for row, counted in zip(
        result.rounds[1:], (r for r in read_account(result.path).rounds if r["engine"] == "policy")
    ):
        everything = row["passed"] / (row["passed"] + row["failed"])
        assert row["yield"] == counted["yield"]
        assert row["yield_low"] < 0.5 < row["yield_high"]  # the scripted accuracy
        assert everything != row["yield"]


def test_too_many_invalid_verdicts_stop_the_run_and_a_larger_budget_goes_on(wheel, small_recipe):
    text = small_recipe.replace(
        "accuracy: 0.5\n  environment: {name: sorting, length: 5}", "answers: {nothing: x}"
    )
    with pytest.raises(BudgetExceededError, match=r"held_out .*got 20 of 20: 20 x no answer: no "):
        wheel(text=text).run()
    with pytest.raises(BudgetExceededError):
        wheel(text=text).run()
    result = wheel("gates.max_invalid_rate=1", text=text).run()
    assert result.rounds[-1]["kept"] == 0
    assert result.rounds[-1].get("yield") is None  # nothing valid is no yield, and not 0


def test_run_stops_at_the_wanted_pass_rate(wheel):
    result = wheel("gates.stop_at=0.1", "rounds=4").run()
    assert result.stopped.startswith("held-out pass rate")
    assert len(result.rounds) == 2
    again = wheel("gates.stop_at=0.1", "rounds=4").run()
    assert (again.was_finished, again.stopped) == (True, result.stopped)
    opened = wheel("rounds=4").run()
    assert (opened.was_finished, opened.stopped, len(opened.rounds)) == (False, None, 5)


def test_several_answers_to_a_held_out_task_are_worth_less_than_as_many_tasks(wheel):
    result = wheel("generate.tasks=4", "evaluate.samples=4", "rounds=1").run()
    row = result.rounds[1]
    assert row["held_out_valid"] == 80
    assert 0 < row["held_out_effective"] <= 80
    expected = wilson(row["held_out_passed"], 80, effective=row["held_out_effective"])
    assert (row["held_out_low"], row["held_out_high"]) == (expected.low, expected.high)
    assert "held_out_effective" not in wheel("rounds=1", folder="one").run().rounds[1]


MINE = """
from orbiter.generate.policy import Completion, Policy
from orbiter.records import Verdict
from orbiter.tasks import Environment
from orbiter.verify import Verifier

class Doubling(Environment):
    name = "doubling"
    def task(self, index, *, seed):
        return self.make_task(index, f"double {index}", answer=str(2 * index))
    def verifier(self):
        return Doubled()

class Doubled(Verifier):
    name, version = "doubled", "1"
    def verify(self, task, trajectory):
        if not trajectory.answer.isdigit():
            raise ValueError("no number")
        return Verdict.passed() if trajectory.answer == task.answer else Verdict.failed("wrong")

class Guess(Policy):
    name = "guess"
    batch_size = 7
    def __init__(self, *, fails=""):
        self.fails = fails
    async def complete(self, requests, sampling):
        if self.fails == "raises":
            raise RuntimeError("no idea")
        if self.fails == "short":
            return []
        out = []
        for request in requests:
            number = int(request.messages[-1].text.split()[1])
            answer = "what?" if request.attempt == 2 else str(2 * number + request.attempt)
            out.append(Completion.of(answer))
        return out
"""


@pytest.fixture
def own_parts(wheel, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    text = (
        "name: mine\nrounds: 1\nenvironment: {name: mine.py:Doubling}\npolicy: {name: mine.py:Guess}\n"
        "generate: {tasks: 10, samples: 3}\nevaluate: {tasks: 0, audit: 5}\ngates: {max_invalid_rate: 0.5}\n"
    )
    return lambda *overrides: wheel(*overrides, text=text)


def test_environment_verifier_and_policy_of_ones_own(own_parts):
    row = own_parts().run().rounds[1]
    assert (row["passed"], row["failed"], row["invalid"], row["kept"]) == (10, 10, 10, 10)
    assert row["reasons"]["error: ValueError: no number"] == 10
    assert row["yield"] == 0.5  # invalid is in neither part


def test_policy_that_raises_is_named_and_one_that_miscounts_too(own_parts):
    with pytest.raises(UserCodeError, match=r"policy 'guess' raised RuntimeError: no idea"):
        own_parts("policy.fails=raises").run()
    with pytest.raises(PolicyError, match=r"must return a list of 7 completions, got 0"):
        own_parts("policy.fails=short", "name=other").run()


def test_least_precision_is_that_of_the_worst_verifier_the_audit_allows(wheel):
    account = read_account(wheel("policy.accuracy=0.1").run().path)
    fpr, tpr = account.audit["fpr_high"], account.audit["tpr"]
    for row in account.rounds:
        # Wrong survivors are a share fpr * (1 - p) / yield of all, where p solves yield = p tpr + (1 - p) fpr.
        p = max(0.0, (row["yield"] - fpr) / (tpr - fpr))
        expected = p * tpr / (p * tpr + (1 - p) * fpr)
        assert row["precision_low"] == pytest.approx(expected)


def test_train_stage_needs_a_model_and_a_known_algorithm(wheel, small_recipe):
    text = small_recipe + "model: {id: somewhere}\ntrain: {backend: trl, algorithm: sftt}\n"
    pytest.importorskip("orbiter_trl")
    with pytest.raises(ConfigError, match="algorithm of the backend 'trl' must be one of"):
        wheel(text=text).run()


def test_nothing_heavy_is_imported_by_a_run_without_a_model():
    code = (
        "import sys, orbiter.flywheel, orbiter.cli, orbiter.train; "
        "heavy = {'torch','transformers','trl','verl','ray','pyspiel','peft','datasets'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
