"""Judge the stored attempts of a run again, with another verifier or version, and say what that changes. Nothing is generated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

from orbiter.errors import LedgerError
from orbiter.flywheel.engines import HELD_OUT, POLICY, SYNTHESISED
from orbiter.flywheel.flywheel import Flywheel
from orbiter.flywheel.recipe_file import load_recipe
from orbiter.flywheel.stages import proposed_tasks, round_tasks
from orbiter.ledger import AttemptKey, History, Ledger, RunIndex, trace_taint
from orbiter.ledger.lineage import Taint
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.pool import VerifierPool
from orbiter.verify.pool.transport import is_fault
from orbiter.verify.scoring import judge_rows, task_among


@frozen(kw_only=True)
class Rescored:
    """What judging a run again gave.

    Args:
        verifier: Name of the verifier that judged.
        version: Its version.
        judged: Attempts that it judged now.
        known: Attempts that this version had judged before.
        faults: Attempts that it did not get to judge, by reason: it hung, crashed or raised. They are judged the next time.
        pending: Attempts without a first verdict; the run itself gives that when it goes on.
        taint: What rests on verdicts that it takes back; None if it has judged nothing.
    """

    verifier: str
    version: str
    judged: int
    known: int
    faults: dict[str, int]
    pending: int
    taint: Taint | None


def open_run(run: Path) -> Flywheel:
    """Return the flywheel of a run as its recipe says it, to look things up with.

    Raises:
        LedgerError: The folder holds no run, or one that has not started.
    """
    with History.open(run) as ledger:
        started = ledger.last_event("run_started")
    if started is None:
        raise LedgerError(f"run {str(run)!r} has not started yet")
    recipe = load_recipe(run / "recipe.yaml")
    return Flywheel(recipe, runs_dir=run.parent, base_dir=Path(started["base_dir"]))


def run_tasks(wheel: Flywheel, ledger: History) -> Iterator[Task]:
    """Yield the tasks that a run asked, as its environment gives them again."""
    for number in sorted({event["round"] for event in ledger.events("planned", engine=POLICY)}):
        yield from round_tasks(wheel, number)
    for number in sorted({e["round"] for e in ledger.events("planned", engine=SYNTHESISED)}):
        yield from proposed_tasks(wheel, number)
    if next(ledger.events("planned", engine=HELD_OUT), None) is not None:
        yield from wheel.held_out_tasks


def rescore(
    run: Path,
    pool: VerifierPool,
    *,
    wheel: Flywheel,
    on_progress: Callable[[int, int], None] | None = None,
) -> Rescored:
    """Judge every attempt of a run that this version has not judged, and record the verdicts beside those of record.

    An interruption loses hardly any verdict, the end of the process at most the last few hundred; the next call goes on.

    Args:
        run: Folder of the run.
        pool: What judges.
        wheel: The flywheel of the run, see :func:`open_run`.
        on_progress: Called with how many attempts are judged, and how many are to be.

    Raises:
        LedgerError: The environment no longer gives the tasks of the run.
        RunLockedError: The run is going on.
    """
    by = pool.verifier
    with Ledger.open(run, create=False) as ledger:
        todo, known, pending = _todo(ledger, by.name, by.version)
        find = task_among(run_tasks(wheel, ledger), of=f"run {str(run)!r}") if todo else None
        judged, faults = 0, dict[str, int]()
        fresh: list[tuple[AttemptKey, Verdict]] = []
        rows = (_row(ledger, key) for key in todo)
        try:
            for row, verdict in judge_rows(rows, pool, task_of=find) if find is not None else ():
                if is_fault(verdict) or verdict.reason.startswith("error:"):
                    faults[verdict.reason] = faults.get(verdict.reason, 0) + 1
                else:
                    fresh.append((AttemptKey.of(row), verdict))
                    judged += 1
                if len(fresh) == COMMIT:
                    full, fresh = fresh, []  # first, so that nothing is added twice
                    ledger.add_verdicts(full)
                if on_progress is not None:
                    on_progress(judged + sum(faults.values()), len(todo))
        finally:  # also what was judged before an interruption
            ledger.add_verdicts(fresh)
        if judged:
            ledger.add_event("rescored", verifier=by.name, version=by.version, judged=judged)
    taint = None
    if judged or known:
        with RunIndex(run) as index:
            taint = trace_taint(index, verifier=by.name, version=by.version)
    return Rescored(
        verifier=by.name,
        version=by.version,
        judged=judged,
        known=known,
        faults=faults,
        pending=pending,
        taint=taint,
    )


COMMIT = 256
"""Verdicts that are made durable at a time."""


def _todo(ledger: Ledger, verifier: str, version: str) -> tuple[list[AttemptKey], int, int]:
    """Return the attempts to judge, and how many are judged already, and how many have no first verdict."""
    todo, known, pending = [], 0, 0
    for attempt in ledger.attempts():
        if attempt.error is not None:
            continue
        if ledger.verdict_of(attempt.key) is None:
            pending += 1
        elif ledger.verdict_of(attempt.key, verifier=verifier, version=version) is not None:
            known += 1
        else:
            todo.append(attempt.key)
    return todo, known, pending


def _row(ledger: Ledger, key: AttemptKey) -> Trajectory:
    attempt = ledger.attempt_of(key)
    if attempt is None:
        raise LedgerError(f"attempt is gone: {key}")
    return attempt.trajectory
