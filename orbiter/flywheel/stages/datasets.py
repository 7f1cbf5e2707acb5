"""The files of data that a run writes: what they are called, and how a round's training set is joined of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orbiter import jsonl
from orbiter.curate.pairs import UnpairedPreference, best_of_n_pairs, unpaired_preferences
from orbiter.errors import OrbiterError
from orbiter.records import Pair, Trajectory

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel


PREFERENCES: Mapping[Any, tuple[str, Callable[[Sequence[Trajectory]], Sequence[Any]]]] = {
    Pair: ("pairs", best_of_n_pairs),
    UnpairedPreference: ("unpaired", unpaired_preferences),
}
"""The records of preference: what a round's file of them is called, and how they are made of its attempts."""


def preference_path(number: int, name: str) -> str:
    """Return where the preferences of a round are; ``name`` says of which kind."""
    return f"data/round-{number}-{name}.jsonl"


def kept_path(number: int) -> str:
    """Return where the rows that a round kept are; round 0 has the demonstrations."""
    return f"data/round-{number}-kept.jsonl" if number else "data/demonstrations.jsonl"


def write_training_set(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Join the demonstrations and what the last rounds kept into the file that this round trains on."""
    spec = wheel.recipe.curate
    parts = list(_last_rounds(wheel, number)) if spec.keep == "survivors" else []
    if wheel.recipe.teach is not None and (spec.demonstrations or not parts):
        parts.insert(0, 0)
    rows = [row for part in parts for row in wheel.kept_rows(part)]
    if not rows:
        raise OrbiterError(
            f"round {number} has nothing to train on: no answer survived and there are no demonstrations",
            hint="teach a cold start, sample more, or start from a stronger model",
        )
    path = _join(wheel, number, [kept_path(part) for part in parts])
    wheel.ledger.add_dataset(path, rows, round=number)
    return {"dataset": path, "rows": len(rows)}


def write_preference_set(wheel: Flywheel, number: int, name: str) -> dict[str, Any]:
    """Join the preferences of the last rounds, and note of which attempts they are made."""
    count, used = 0, list[Trajectory]()
    rounds = _last_rounds(wheel, number)
    for part in rounds:
        ids = set()
        for _, row in jsonl.read_objects(wheel.place(preference_path(part, name))):
            count += 1
            ids |= {row["metadata"].get(key) for key in ("id", "chosen_id", "rejected_id")}
        # Equal answers share their id; the first of them stands for the others.
        for attempt in wheel.judged(part).values():
            if attempt.id in ids:
                ids.remove(attempt.id)
                used.append(attempt)
    if not count:
        raise OrbiterError(
            f"round {number} has nothing to train on: no task has an answer that passed beside one that failed",
            hint="teach a cold start, take more samples per task, or choose harder or easier tasks",
        )
    path = _join(wheel, number, [preference_path(part, name) for part in rounds])
    wheel.ledger.add_dataset(path, used, round=number)
    return {"dataset": path, "rows": count}


def _last_rounds(wheel: Flywheel, number: int) -> range:
    """Return the rounds whose data a round trains on."""
    rounds = wheel.recipe.curate.rounds
    return range(1 if rounds is None else max(1, number - rounds + 1), number + 1)


def _join(wheel: Flywheel, number: int, parts: Iterable[str]) -> str:
    """Write the lines of the files, as they are, into the one that a round trains on."""
    path = f"data/round-{number}.jsonl"
    with jsonl.replace_file(wheel.place(path)) as file:
        for part in parts:
            file.write(wheel.place(part).read_bytes())
    return path
