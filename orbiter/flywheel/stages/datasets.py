"""The files of data that a run writes: what they are called, and how a round's training set is joined of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from orbiter import jsonl
from orbiter.curate.mixing import mixed_batches
from orbiter.curate.pairs import UnpairedPreference, best_of_n_pairs, unpaired_preferences
from orbiter.curate.replay import ReplayBuffer
from orbiter.errors import OrbiterError
from orbiter.flywheel.recipe import TEACH, Recipe, Turn
from orbiter.records import Pair, Trajectory
from orbiter.tasks.streams import item_seed

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


@frozen(kw_only=True)
class Part:
    """A file of rows that a training set is joined of.

    Args:
        source: The name that the recipe calls it by.
        path: The file, in the run's folder or elsewhere.
        round: The round that wrote it; None for a file from elsewhere.
    """

    source: str
    path: Path
    round: int | None


def parts_of(wheel: Flywheel, turn: Turn, record: type) -> list[Part]:
    """Return the files that a round trains on, in the order of their sources."""
    parts = []
    for name in sources_of(wheel.recipe, turn.name):
        if name.endswith(".jsonl"):
            parts.append(Part(source=name, path=wheel.base_dir / name, round=None))
            continue
        for number in _rounds_of(wheel, turn, name):
            place = kept_path(number) if record is Trajectory else _preferences(number, record)
            parts.append(Part(source=name, path=wheel.place(place), round=number))
    return parts


def sources_of(recipe: Recipe, name: str) -> list[str]:
    """Return what a stage trains on: what it names, or by default what :func:`default_sources` says."""
    return list(recipe.graph[name].data) or default_sources(recipe, name)


def default_sources(recipe: Recipe, name: str) -> list[str]:
    """Return what a stage trains on that does not say it: the demonstrations, and what it makes itself."""
    stage = recipe.graph[name]
    makes = stage.attempts or stage.demonstrate is not None
    own = [name] if makes and stage.curate.keep != "none" else []
    taught = recipe.teach is not None and (stage.curate.demonstrations or not own)
    return [TEACH, *own] if taught else own


def _rounds_of(wheel: Flywheel, turn: Turn, name: str) -> list[int]:
    """Return the rounds whose rows a source stands for: of the stage itself the last ones, of another one all."""
    if name == TEACH:
        return [0]
    if name == turn.name:
        return list(own_rounds(turn))
    return [
        other.number
        for other in wheel.recipe.turns
        if other.name == name and wheel.done(other.number, "round") is not None
    ]


def own_rounds(turn: Turn) -> range:
    """Return the rounds of its own stage that a round trains on: the last ones, as many as the stage keeps."""
    window = turn.stage.curate.rounds
    first = turn.first if window is None else max(turn.first, turn.number - window + 1)
    return range(first, turn.number + 1)


def _preferences(number: int, record: type) -> str:
    return preference_path(number, PREFERENCES[record][0])


def write_training_set(wheel: Flywheel, turn: Turn) -> dict[str, Any]:
    """Join the rows that a round trains on by imitation."""
    parts = parts_of(wheel, turn, Trajectory)
    if not any(part.path.stat().st_size for part in parts):
        raise OrbiterError(
            f"round {turn.number} has nothing to train on: no answer survived and there are no demonstrations",
            hint="teach a cold start, sample more, or start from a stronger model",
        )
    rows = [row for part in parts for row in _rows(wheel, part)]
    path = _join(wheel, turn, parts)
    if isinstance(turn.stage.data, Mapping):
        rows = list(jsonl.read(wheel.place(path), Trajectory))
    wheel.ledger.add_dataset(path, rows, round=turn.number)
    return {"dataset": path, "rows": len(rows)}


def _rows(wheel: Flywheel, part: Part) -> Iterable[Trajectory]:
    return jsonl.read(part.path, Trajectory) if part.round is None else wheel.kept_rows(part.round)


def write_preference_set(wheel: Flywheel, turn: Turn, record: type) -> dict[str, Any]:
    """Join the preferences that a round trains on, and note of which attempts they are made."""
    parts = [part for part in parts_of(wheel, turn, record) if part.source != TEACH]
    for part in parts:
        if part.round is None:  # what is wrong with it is said where it stands, before it is joined
            deque(jsonl.read(part.path, record), maxlen=0)
    capacity = turn.stage.curate.capacity
    if record is Pair and capacity is not None:
        path = _replay(wheel, turn, parts, capacity=capacity)
    else:
        path = _join(wheel, turn, parts)
    ids: set[Any] = set()
    count = 0
    for _, row in jsonl.read_objects(wheel.place(path)):
        count += 1
        ids |= {row.get("metadata", {}).get(key) for key in ("id", "chosen_id", "rejected_id")}
    if not count:
        raise OrbiterError(
            f"round {turn.number} has nothing to train on: no task has an answer that passed beside one that failed",
            hint="teach a cold start, take more samples per task, or choose harder or easier tasks",
        )
    used = list[Trajectory]()
    for number in dict.fromkeys(part.round for part in parts if part.round):
        # Equal answers share their id; the first of them stands for the others.
        for attempt in wheel.judged(number).values():
            if attempt.id in ids:
                ids.remove(attempt.id)
                used.append(attempt)
    wheel.ledger.add_dataset(path, used, round=turn.number)
    return {"dataset": path, "rows": count}


def _replay(wheel: Flywheel, turn: Turn, parts: Sequence[Part], *, capacity: int) -> str:
    """Write the pairs of the last rounds, the newest first to stay, as a buffer of so many holds them."""
    pairs = (pair for part in parts for pair in jsonl.read(part.path, Pair))
    buffer = ReplayBuffer(capacity=capacity, max_age=turn.number).added(pairs, round=turn.number)
    path = f"data/round-{turn.number}.jsonl"
    jsonl.write(wheel.place(path), buffer.pairs)
    return path


def _join(wheel: Flywheel, turn: Turn, parts: Iterable[Part]) -> str:
    """Write the lines of the files, as they are, into the one that a round trains on; in the shares that the recipe gives."""
    path, shares = f"data/round-{turn.number}.jsonl", turn.stage.data
    with jsonl.replace_file(wheel.place(path)) as file:
        if isinstance(shares, Mapping):
            file.writelines(_in_shares(wheel, turn, parts, shares))
        else:
            for part in parts:
                file.write(_lines(part))
    return path


def _lines(part: Part) -> bytes:
    """Return the lines of a file, with a newline behind the last one too."""
    data = part.path.read_bytes()
    return data + b"\n" if data and not data.endswith(b"\n") else data


def _in_shares(
    wheel: Flywheel, turn: Turn, parts: Iterable[Part], shares: Mapping[str, float]
) -> list[bytes]:
    """Return the lines of all sources in their shares, until one of them has no more; a small one is given again up to three times."""
    lines = [(part.source, line) for part in parts for line in _lines(part).splitlines(True)]
    batches = mixed_batches(
        lines,
        shares,
        batch_size=1,
        seed=item_seed(wheel.recipe.seed, "mix", turn.number),
        max_repeats=3,
        domain=lambda item: item[0],
    ).batches
    return [line for batch in batches for _, line in batch]
