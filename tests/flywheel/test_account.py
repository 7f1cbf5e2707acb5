from collections import defaultdict

import attrs
import pytest

from orbiter.errors import OrbiterError
from orbiter.flywheel import Flywheel, load_recipe, odds
from orbiter.flywheel.account import find_run, read_account
from orbiter.intervals import effective_size
from orbiter.ledger import Attempt, AttemptKey, Decision, History, Ledger
from orbiter.records import Message, Outcome, Trajectory, Verdict


@pytest.fixture(scope="module")
def account(finished_run):
    return read_account(finished_run)


@pytest.fixture
def write(tmp_path):
    """Write a run of one round by hand: task and attempt to verdict and decision (None: not yet)."""

    def make(rows, *, tasks=2, samples=3, audit=None, done=None, model="m"):
        with Ledger.open(tmp_path / "run") as ledger:
            ledger.add_event("run_started", name="by-hand")
            if audit is not None:
                ledger.add_event("stage_done", round=0, stage="audit", **audit)
            names = [("env", f"t{n}") for n in range(tasks)]
            ledger.plan(1, "policy", names, samples=samples)
            for (task, number), (verdict, decision) in rows.items():
                key = AttemptKey(1, "policy", "env", f"t{task}", number)
                messages = (Message("user", "?"), Message("assistant", str(number)))
                row = Trajectory(messages, "env", key.task_id, None, model=model)
                ledger.add_attempts([Attempt(key=key, trajectory=row, token_count=5)])
                if verdict is not None:
                    ledger.add_verdicts([(key, verdict)])
                if decision is not None:
                    ledger.add_decisions([(key, Decision(decision))])
            if done is not None:
                ledger.add_event("run_done", **done)
        return read_account(tmp_path / "run")

    return make


PASSED, FAILED = Verdict.passed(), Verdict.failed("wrong")
LOST = Verdict.invalid("timeout")


def test_sums_are_conserved_by_row_and_in_all(account):
    assert (account.name, account.state) == ("small", "finished")
    assert [(r["round"], r["engine"]) for r in account.rounds] == [
        (0, "held_out"),
        (1, "held_out"),
        (1, "policy"),
        (2, "held_out"),
        (2, "policy"),
    ]
    for name in ("planned", "passed", "failed", "pending"):
        assert sum(row[name] for row in account.rounds) == getattr(account.total, name)
    for row in account.rounds:
        assert row["planned"] == row["passed"] + row["failed"] + row["pending"]
        if row["engine"] == "policy":
            assert sum(row["decisions"].values()) == row["planned"] == 120


def test_yield_comes_with_its_interval_and_the_audit(account):
    row = account.rounds[2]
    with History.open(account.path) as ledger:
        tasks = defaultdict(list)
        for attempt in ledger.attempts(1, "policy"):
            passed = ledger.verdict_of(attempt.key).outcome is Outcome.PASS
            tasks[attempt.key.task_id].append(passed)
    size = effective_size((sum(passed), 4) for passed in tasks.values())
    interval = odds.wilson(row["passed"], 120, effective=size)
    assert row["yield"] == row["passed"] / 120
    assert (row["yield_low"], row["yield_high"]) == (interval.low, interval.high)
    assert (account.audit["tpr"], account.audit["fpr"]) == (1.0, 0.0)
    assert row["corrected_yield"] == row["yield"]
    assert 0.5 < row["precision_low"] < 1
    assert "time" not in account.audit


def test_invalid_and_pending_are_in_no_yield(write):
    account = write(
        {
            (0, 0): (PASSED, "accepted"),
            (0, 1): (FAILED, "rejected"),
            (0, 2): (LOST, "invalid"),
            (1, 0): (PASSED, None),
            (1, 1): (None, None),
        }
    )
    (row,) = account.rounds
    assert (row["planned"], row["passed"], row["failed"]) == (6, 2, 1)
    assert (row["invalid"], row["pending"]) == ({"timeout": 1}, 2)
    assert row["yield"] == 2 / 3
    assert row["decisions"] == {"accepted": 1, "rejected": 1, "invalid": 1}
    assert row["tokens"] == 25
    model = account.by_model["m"]
    assert (model["passed"], model["failed"], model["yield"]) == (2, 1, 2 / 3)


def test_answers_to_one_task_tell_less_than_as_many_tasks(write):
    """Of a round that is under way too: 10 tasks, each solved by all of its 4 answers or by none."""
    rows = {(n, k): (PASSED if n % 2 else FAILED, None) for n in range(10) for k in range(4)}
    account = write(rows, tasks=10, samples=4)
    wide = odds.wilson(20, 40, effective=effective_size([(4, 4)] * 5 + [(0, 4)] * 5))
    for row in (account.rounds[0], account.by_model["m"]):
        assert (row["yield_low"], row["yield_high"]) == (wide.low, wide.high)
    assert wide.width > 1.5 * odds.wilson(20, 40).width


def test_a_models_yield_is_that_of_the_first_attempts_where_others_were_chosen(tmp_path, write):
    rows = {(0, k): (FAILED, None) for k in range(3)} | {(1, 0): (PASSED, None)}
    assert write(rows).by_model["m"]["yield"] == 1 / 4
    with Ledger.open(tmp_path / "run") as ledger:
        ledger.add_event(
            "stage_done",
            round=1,
            stage="generate",
            passed=1,
            failed=3,
            first_passed=1,
            first_failed=1,
        )
    account = read_account(tmp_path / "run")
    assert account.by_model["m"]["failed"] == 3
    assert account.by_model["m"]["yield"] == account.rounds[0]["yield"] == 1 / 2


def test_nothing_valid_is_no_yield_and_never_0(write):
    account = write({(0, 0): (LOST, None), (0, 1): (LOST, None)}, audit={"tpr": 1.0, "fpr": 0.1})
    (row,) = account.rounds
    assert not [name for name in row if "yield" in name or "precision" in name]
    assert "yield" not in account.by_model["m"]


def test_yield_is_corrected_by_what_the_verifier_gets_wrong(write):
    rows = {(n, k): (PASSED if (n + k) % 2 else FAILED, None) for n in range(4) for k in range(4)}
    audit = {"tpr": 0.9, "fpr": 0.2, "fpr_high": 0.3}
    (row,) = write(rows, tasks=4, samples=4, audit=audit).rounds
    assert row["yield"] == 0.5
    assert row["corrected_yield"] == pytest.approx((0.5 - 0.2) / (0.9 - 0.2))
    assert row["precision_low"] < row["corrected_yield"] * 0.9 / 0.5


def test_a_verifier_that_knows_nothing_corrects_nothing(write):
    (row,) = write({(0, 0): (PASSED, None)}, audit={"tpr": 0.5, "fpr": 0.5}).rounds
    assert row["yield"] == 1
    assert "corrected_yield" not in row


@pytest.mark.parametrize(
    ("done", "state"),
    [
        (None, "unfinished"),
        ({"rounds": 1, "stopped": None}, "finished"),
        ({"rounds": 1, "stopped": "held-out pass rate 0.9"}, "stopped: held-out pass rate 0.9"),
    ],
)
def test_state_of_a_run(write, done, state):
    assert write({}, done=done).state == state


def test_a_gate_that_is_opened_after_the_last_round_is_no_reason_any_more(tmp_path, small_recipe):
    file = tmp_path / "recipe.yaml"
    file.write_text(small_recipe)

    def run(*overrides):
        result = Flywheel(load_recipe(file, overrides), runs_dir=tmp_path / "runs").run()
        return result, read_account(result.path).state

    result, state = run("rounds=1", "gates.stop_at=0")
    assert state == f"stopped: {result.stopped}"
    assert run("rounds=1") == (attrs.evolve(result, stopped=None), "finished")
    result, _ = run("rounds=1")
    assert (result.stopped, result.was_finished) == (None, True)


def test_a_run_is_found_by_its_folder_and_by_its_name(write, tmp_path):
    write({})
    assert find_run(str(tmp_path / "run"), runs_dir=tmp_path / "elsewhere") == tmp_path / "run"
    assert find_run("run", runs_dir=tmp_path) == tmp_path / "run"


def test_an_unknown_run_is_named_beside_those_that_are_there(write, tmp_path):
    write({})
    with pytest.raises(OrbiterError, match="folder or its name, got 'rum'") as caught:
        find_run("rum", runs_dir=tmp_path)
    assert "run" in caught.value.hint
    with pytest.raises(OrbiterError) as caught:
        find_run("rum", runs_dir=tmp_path / "empty")
    assert "none" in caught.value.hint
