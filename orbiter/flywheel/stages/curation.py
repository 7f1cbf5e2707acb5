"""The stage that decides on every attempt of a round, and writes what is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from orbiter import jsonl
from orbiter.curate.near_dedup import near_dedup
from orbiter.curate.survivors import survivors
from orbiter.flywheel.stages.datasets import (
    PREFERENCES,
    kept_path,
    preference_path,
    write_preference_set,
    write_training_set,
)
from orbiter.flywheel.stages.training import record_of
from orbiter.ledger.decision import Decision, Fate
from orbiter.records import Pair, Trajectory

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel


def curate(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Decide on every attempt of the round, and write what is kept and what the round trains on."""
    spec, judged = wheel.recipe.curate, wheel.judged(number)
    rows = list(judged.values())
    decided = survivors(rows, max_per_task=spec.max_per_task, min_score=spec.min_score)
    decisions = _drop_unfit(wheel, rows, list(decided.decisions))
    wheel.ledger.add_decisions(zip(judged, decisions, strict=True))
    kept = [row for row, decision in zip(rows, decisions) if decision.accepted]
    path = kept_path(number)
    jsonl.write(wheel.place(path), kept)
    wheel.kept[number] = kept
    wheel.ledger.add_dataset(path, kept, round=number)
    facts: dict[str, Any] = {"kept": len(kept), "decisions": _tally(decisions), "dataset": path}
    trains_on = None if wheel.recipe.train is None else record_of(wheel, wheel.recipe.train)
    clean = [row for row, d in zip(rows, decisions) if d.decision is not Fate.CONTAMINATED]
    for kind, (name, make) in PREFERENCES.items():
        if kind is trains_on or (kind is Pair and spec.pairs):
            facts[name] = jsonl.write(wheel.place(preference_path(number, name)), make(clean))
    if trains_on is Trajectory:
        facts |= write_training_set(wheel, number)
    elif trains_on in PREFERENCES:
        facts |= write_preference_set(wheel, number, PREFERENCES[trains_on][0])
    return facts


def _drop_unfit(
    wheel: Flywheel, rows: Sequence[Trajectory], decisions: list[Decision]
) -> list[Decision]:
    """Turn rows that repeat a held-out task, and accepted ones that nearly repeat another, into what they are.

    A row that failed or repeats another is no less contaminated: it may enter a preference pair.
    """
    spec = wheel.recipe.curate
    if wheel.held_out is not None:
        for i, row in enumerate(rows):
            if decisions[i].decision is not Fate.INVALID and (found := wheel.held_out.find(row)):
                task, _ = found
                decisions[i] = Decision(Fate.CONTAMINATED, f"held-out task {task.task_id}")
    if spec.near_duplicates is not None:
        accepted = [i for i, decision in enumerate(decisions) if decision.accepted]
        repeats = near_dedup([rows[i] for i in accepted], threshold=spec.near_duplicates)
        for index, _ in repeats.dropped:
            decisions[accepted[index]] = Decision(Fate.DUPLICATE, "nearly the same text")
    return decisions


def _tally(decisions: Iterable[Decision]) -> dict[str, int]:
    return dict(sorted(Counter(str(d.decision) for d in decisions).items()))
