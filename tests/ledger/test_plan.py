"""The plan of a run: what is to be attempted, in which order, under which names."""

import attrs
import pytest

from orbiter.errors import ConfigError, LedgerError, RecordError
from orbiter.ledger import Account, Decision, Ledger
from orbiter.records import Verdict

TASKS = [("sorting", "b"), ("adding", "a"), ("sorting", "a")]


PASS = Verdict.passed(verifier="exact", version="1")


def test_what_is_planned_is_pending_in_the_order_of_the_plan(ledger, planned):
    keys = planned(ledger)
    assert [(k.env, k.task_id, k.attempt) for k in keys] == [
        (env, task, n) for env, task in TASKS for n in (0, 1)
    ]
    assert ledger.account() == Account(planned=6, pending=6)


def test_planning_again_changes_nothing_and_more_samples_add_to_the_plan(
    run_dir, make_attempt, planned
):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(key) for key in keys])
        size = (run_dir / "rounds.jsonl").stat().st_size
        assert planned(ledger) == []
        assert (run_dir / "rounds.jsonl").stat().st_size == size
        ledger.plan(1, "policy", [("adding", "a"), ("adding", "new")], samples=3)
        more = list(ledger.pending())
    assert [(k.task_id, k.attempt) for k in more] == [("a", 2), ("new", 0), ("new", 1), ("new", 2)]
    with Ledger.open(run_dir) as ledger:
        assert list(ledger.pending()) == more
        ledger.plan(1, "policy", TASKS, samples=1)
        assert ledger.account().planned == 10


def test_a_big_plan_is_split_into_lines(run_dir):
    tasks = [("sorting", f"sorting:{n}") for n in range(2500)]
    with Ledger.open(run_dir) as ledger:
        ledger.plan(1, "policy", tasks, samples=2)
        assert [len(event["tasks"]) for event in ledger.events("planned")] == [1000, 1000, 500]
    with Ledger.open(run_dir) as ledger:
        assert [(k.env, k.task_id) for k in ledger.pending()][::2] == tasks


def test_what_was_never_planned_or_made_is_refused(ledger, make_attempt, planned):
    keys = planned(ledger, samples=1)
    for stranger in (
        attrs.evolve(keys[0], attempt=1),
        attrs.evolve(keys[0], task_id="z"),
        attrs.evolve(keys[0], round=9),
    ):
        with pytest.raises(
            LedgerError, match="attempt must be planned before it is recorded, got round"
        ):
            ledger.add_attempts([make_attempt(stranger)])
        assert ledger.verdict_of(stranger) is None
    with pytest.raises(
        LedgerError, match="attempt must be recorded before it is judged or decided"
    ):
        ledger.add_verdicts([(keys[0], PASS)])
    with pytest.raises(
        LedgerError, match="attempt must be recorded before it is judged or decided"
    ):
        ledger.add_decisions([(keys[0], Decision("accepted"))])


@pytest.mark.parametrize("samples", [0, -1, True, 1.5])
def test_a_plan_is_strict(ledger, samples):
    with pytest.raises(ConfigError, match="samples must be an integer >= 1"):
        ledger.plan(1, "policy", TASKS, samples=samples)


def test_a_plan_names_every_task_once(ledger):
    with pytest.raises(LedgerError, match="tasks of a plan must differ, got"):
        ledger.plan(1, "policy", [*TASKS, TASKS[0]], samples=1)
    with pytest.raises(RecordError, match="field 'task_id' must be a non-empty string"):
        ledger.plan(1, "policy", [("sorting", "")], samples=1)


def test_names_of_tasks_are_never_paths(run_dir, ledger, make_attempt):
    ledger.plan(1, "../engine", [("/etc", "../../passwd\n\0")], samples=1)
    (key,) = ledger.pending()
    ledger.add_attempts([make_attempt(key)])
    assert next(ledger.attempts()).key == key
    assert sorted(p.name for p in run_dir.iterdir()) == [
        "attempts.jsonl", "decisions.jsonl", "ledger.lock", "rounds.jsonl", "verdicts.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a b", ".hidden", "-x", "x" * 101, "ü"])
def test_the_name_of_a_run_is_plain(tmp_path, name):
    with pytest.raises(ConfigError, match="name of a run must be 1 to 100 letters"):
        Ledger.open(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
