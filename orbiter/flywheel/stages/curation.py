"""The stage that decides on every attempt of a round, and writes what is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from orbiter import jsonl
from orbiter.curate.near_dedup import near_dedup
from orbiter.curate.pairs import ranked_pairs
from orbiter.curate.survivors import survivors
from orbiter.flywheel.demonstrations import answers_to
from orbiter.flywheel.stages.datasets import (
    PREFERENCES,
    kept_path,
    preference_path,
    sources_of,
    write_preference_set,
    write_training_set,
)
from orbiter.flywheel.stages.revising import before_and_after
from orbiter.flywheel.stages.training import record_of
from orbiter.generate.proposals import PASSED, kept_form, objection
from orbiter.ledger.decision import Decision, Fate
from orbiter.records import Pair, Task, Trajectory

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import Turn
    from orbiter.flywheel.sections import Curate


def curate(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Decide on every attempt of the round, and write what is kept and what the round trains on."""
    turn = wheel.turn(number)
    facts = _decide(wheel, turn) if turn.stage.attempts else {}
    trains_on = None if turn.stage.train is None else record_of(wheel, turn.stage.train)
    if trains_on is Trajectory:
        facts |= write_training_set(wheel, turn)
    elif trains_on is not None and trains_on in PREFERENCES:
        facts |= write_preference_set(wheel, turn, trains_on)
    return facts


def reads_rows(wheel: Flywheel, turn: Turn) -> bool:
    """Return whether a round trains on rows, and does not sample for itself."""
    train = turn.stage.train
    return train is not None and record_of(wheel, train) is not Task


def _decide(wheel: Flywheel, turn: Turn) -> dict[str, Any]:
    """Decide on every attempt of a round, and write what is kept and what preferences it gives."""
    spec, number, judged = turn.stage.curate, turn.number, wheel.judged(turn.number)
    rows = list(judged.values())
    # What the metadata of other rows say is their policy's word, and no engine's.
    by_engine = turn.stage.synthesise is not None
    forms = [kept_form(row) for row in rows] if by_engine else rows
    # What was made to be rejected and passed is neither a negative nor an answer of the model, and takes the place of none.
    amiss = [by_engine and objection(row) == PASSED for row in rows]
    rest = [row for row, is_amiss in zip(rows, amiss) if not is_amiss]
    decided = iter(
        survivors(rest, max_per_task=spec.max_per_task, min_score=spec.min_score).decisions
    )
    decisions = [
        Decision(Fate.REJECTED, PASSED) if is_amiss else next(decided) for is_amiss in amiss
    ]
    decisions = _drop_unfit(wheel, spec, forms, decisions)
    wheel.ledger.add_decisions(zip(judged, decisions, strict=True))
    kept = [form for form, decision in zip(forms, decisions) if decision.accepted]
    path, shown = kept_path(number), list[Trajectory]()
    if turn.stage.demonstrate is not None:
        # They stand in the same file, after an interruption beside what was kept, which is an attempt each.
        shown = [row for row in wheel.kept_rows(number) if "attempt" not in row.extra]
    wheel.kept[number] = [*shown, *kept]
    jsonl.write(wheel.place(path), wheel.kept[number])
    wheel.ledger.add_dataset(path, wheel.kept[number], round=number)
    facts: dict[str, Any] = {"kept": len(kept), "decisions": _tally(decisions), "dataset": path}
    clean = [
        row
        for row, decision in zip(rows, decisions)
        if decision.decision is not Fate.CONTAMINATED and decision.reason != PASSED
    ]
    if spec.gold:
        # Before the others: of equal scores the first is the best.
        clean = [*answers_to(wheel, number), *clean]
    wanted = _wanted(wheel, turn)
    for kind, (name, make) in PREFERENCES.items():
        if kind in wanted or (kind is Pair and spec.pairs):
            preferences = (ranked_pairs if kind is Pair and spec.ranked else make)(clean)
            if kind is Pair and turn.stage.revise is not None:
                preferences = [*before_and_after(wheel, turn, clean), *preferences]
            facts[name] = jsonl.write(wheel.place(preference_path(number, name)), preferences)
    return facts


def _wanted(wheel: Flywheel, turn: Turn) -> set[type]:
    """Return the records that this stage and later ones train on of what this one samples."""
    recipe = wheel.recipe
    return {
        record_of(wheel, stage.train)
        for name, stage in recipe.graph.items()
        if stage.train is not None and turn.name in sources_of(recipe, name)
    }


def _drop_unfit(
    wheel: Flywheel, spec: Curate, rows: Sequence[Trajectory], decisions: list[Decision]
) -> list[Decision]:
    """Turn rows that repeat a held-out task, and accepted ones that nearly repeat another, into what they are.

    A row that failed or repeats another is no less contaminated: it may enter a preference pair.
    """
    held_out = wheel.held_out(spec.decontaminate)
    if held_out is not None:
        for i, row in enumerate(rows):
            if decisions[i].decision is not Fate.INVALID and (found := held_out.find(row)):
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
