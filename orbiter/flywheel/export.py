"""The data of a run in other tools' formats."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import attrs

from orbiter import jsonl
from orbiter.curate.export import Exporter, ExportReport
from orbiter.curate.pairs import UnpairedPreference, best_of_n_pairs, unpaired_preferences
from orbiter.errors import ConfigError
from orbiter.flywheel.engines import FOR_TRAINING, POLICY
from orbiter.generate.proposals import PASSED
from orbiter.ledger import History
from orbiter.ledger.decision import Fate
from orbiter.records import Pair, Task, Trajectory


def export_run(run: Path, exporter: Exporter, target: Path) -> ExportReport:
    """Write the data of all rounds of a run with an exporter.

    An exporter of trajectories gets the demonstrations and the kept rows; one of pairs, best-of-N pairs of the verified attempts;
    one of unary preferences, every distinct answer with its label; one of tasks, the tasks that were sampled.

    Args:
        run: Folder of the run.
        exporter: What writes.
        target: File to write.

    Raises:
        ConfigError: The run has no data of the kind that the exporter takes.
        RecordError: A row cannot be expressed in the format.
    """
    for kind in exporter.takes:
        if kind in _SOURCES:
            records = list(_SOURCES[kind](run))
            if not records:
                raise ConfigError(
                    f"run {str(run)!r} has no {kind.__name__} to export as {exporter.name!r}",
                    hint=_MADE_OF.get(kind),
                )
            return exporter.write(records, target)
    takes = " or ".join(cls.__name__ for cls in exporter.takes)
    raise ConfigError(f"exporter {exporter.name!r} takes {takes}, which a run does not have")


def _kept(run: Path) -> Iterator[Trajectory]:
    with History.open(run) as ledger:
        paths = [event["path"] for event in ledger.events("dataset_written")]
    # Joined datasets repeat these rows.
    for path in dict.fromkeys(paths):
        if path == "data/demonstrations.jsonl" or path.endswith("-kept.jsonl"):
            yield from jsonl.read(run / path, Trajectory)


def _judged(run: Path) -> list[Trajectory]:
    with History.open(run) as ledger:
        rows = []
        for attempt in chain(*(ledger.attempts(engine=one) for one in FOR_TRAINING)):
            verdict, decision = ledger.verdict_of(attempt.key), ledger.decision_of(attempt.key)
            # A round that is not curated yet may hold rows that repeat a held-out task.
            if verdict is None or decision is None or decision.decision == Fate.CONTAMINATED:
                continue
            if decision.reason == PASSED:
                continue
            rows.append(attrs.evolve(attempt.trajectory, score=verdict.score, verdict=verdict))
    return rows


def _pairs(run: Path) -> Iterator[Pair]:
    yield from best_of_n_pairs(_judged(run))


def _unpaired(run: Path) -> Iterator[UnpairedPreference]:
    yield from unpaired_preferences(_judged(run))


def _tasks(run: Path) -> Iterator[Task]:
    from orbiter.flywheel.rescore import open_run
    from orbiter.flywheel.stages import round_tasks

    wheel = open_run(run)
    with History.open(run) as ledger:
        rounds = {event["round"] for event in ledger.events("planned", engine=POLICY)}
    seen: set[tuple[str, str]] = set()
    for number in sorted(rounds):
        for task in round_tasks(wheel, number):
            if (task.env, task.task_id) not in seen:
                seen.add((task.env, task.task_id))
                yield task


_SOURCES: dict[type, Any] = {
    Trajectory: _kept,
    Pair: _pairs,
    UnpairedPreference: _unpaired,
    Task: _tasks,
}

_MADE_OF: dict[type, str] = {
    Trajectory: "those are rows that a round kept or demonstrated",
    Pair: "a pair takes two answers to one task, one that passed and one that failed",
}
"""What there must be, for there to be something to export."""
