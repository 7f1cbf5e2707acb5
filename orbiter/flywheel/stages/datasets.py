"""The files of data that a run writes: what they are called, and how a round's training set is joined of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from attrs import frozen

from orbiter import jsonl
from orbiter.curate.mixing import mixed_batches
from orbiter.curate.pairs import UnpairedPreference, best_of_n_pairs, unpaired_preferences
from orbiter.curate.replay import ReplayBuffer
from orbiter.errors import OrbiterError
from orbiter.flywheel.recipe import TEACH, Recipe, Turn
from orbiter.ledger import AttemptKey
from orbiter.ledger.attempt import as_given
from orbiter.records import Message, Pair, Trajectory
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


def asked_path(number: int) -> str:
    """Return where the answers are that the engines of a round have had so far; it is gone when they are done."""
    return f"data/round-{number}-asked.jsonl"


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


@frozen
class Entry:
    """A line that a round trains on.

    Args:
        source: Where it is from, as the recipe calls it.
        line: The line, as it stands in its file.
        made_of: The row, or the ids of the attempts that a preference is made of.
    """

    source: str
    line: bytes
    made_of: Any


Told = tuple[Any, Any]
"""What a line says, or None where that may come again, and what the line is made of."""


def write_training_set(wheel: Flywheel, turn: Turn) -> dict[str, Any]:
    """Join the rows that a round trains on by imitation; one that several rounds kept is in it once."""
    entries, left_out = _joined(
        (part, _rows(wheel, turn, part)) for part in parts_of(wheel, turn, Trajectory)
    )
    if not entries:
        raise _nothing(
            turn,
            "no answer survived and there are no demonstrations",
            left_out,
            hint="teach a cold start, sample more, or start from a stronger model",
        )
    path, entries = _write(wheel, turn, entries)
    wheel.ledger.add_dataset(path, [entry.made_of for entry in entries], round=turn.number)
    return {"dataset": path, "rows": len(entries), **left_out}


def _rows(wheel: Flywheel, turn: Turn, part: Part) -> Iterable[Told | None]:
    """Yield of each line of a file what it says and its row; None for one that is not to be trained on."""
    if part.round is not None:
        return zip(wheel.kept_ids(part.round), wheel.kept_rows(part.round), strict=True)
    given = _given(wheel, turn, part, Trajectory)
    return (None if one is None else (None, as_given(one)) for one in given)


def _given(wheel: Flywheel, turn: Turn, part: Part, record: type[Any]) -> Iterator[Any]:
    """Yield the rows of a file from elsewhere; None in the place of one that repeats a held-out task, as curation finds them."""
    held_out = wheel.held_out(turn.stage.curate.decontaminate)
    for row in jsonl.read(part.path, record):
        repeats = held_out is not None and any(map(held_out.find, _conversations(row)))
        yield None if repeats else row


@frozen
class _Shown:
    """A conversation that a row shows a model."""

    messages: tuple[Message, ...]


def _conversations(row: Trajectory | Pair | UnpairedPreference) -> list[_Shown]:
    if isinstance(row, Trajectory):
        return [_Shown(row.messages)]
    answers = (row.chosen, row.rejected) if isinstance(row, Pair) else (row.completion,)
    return [_Shown((*row.prompt, *answer)) for answer in answers]


def write_preference_set(wheel: Flywheel, turn: Turn, record: type) -> dict[str, Any]:
    """Join the preferences that a round trains on, and note of which attempts they are made."""
    parts = [part for part in parts_of(wheel, turn, record) if part.source != TEACH]
    capacity = turn.stage.curate.capacity
    if record is Pair and capacity is not None:
        path, entries, left_out = _replay(wheel, turn, parts, capacity=capacity)
    else:
        found, left_out = _joined(
            (part, _preferences_of(wheel, turn, part, record)) for part in parts
        )
        path, entries = _write(wheel, turn, found)
    if not entries:
        raise _nothing(
            turn,
            "no task has an answer that passed beside one that failed",
            left_out,
            hint="teach a cold start, take more samples per task, or choose harder or easier tasks",
        )
    ids = {one for entry in entries for one in entry.made_of}
    used = list[AttemptKey]()
    for number in dict.fromkeys(part.round for part in parts if part.round):
        # Equal answers share their id; the first of them stands for the others.
        for name, key in _compared(wheel, number, record).items():
            if name in ids:
                ids.remove(name)
                used.append(key)
    wheel.ledger.add_dataset(path, used, round=turn.number)
    return {"dataset": path, "rows": len(entries), **left_out}


def _nothing(turn: Turn, why: str, left_out: Mapping[str, int], *, hint: str) -> OrbiterError:
    """Return the error of a round for which no row is left."""
    if count := left_out["contaminated"]:
        why += f"; {count} rows of files repeat held-out tasks"
    return OrbiterError(f"round {turn.number} has nothing to train on: {why}", hint=hint)


def _preferences_of(wheel: Flywheel, turn: Turn, part: Part, record: type) -> Iterable[Told | None]:
    """Yield of each line of a file what it says and the ids of its attempts; None for one that is not to be trained on."""
    if part.round is not None:
        return _own_preferences(wheel, part.round, record)
    # What is wrong with it is said where it stands, before it is joined.
    given = _given(wheel, turn, part, record)
    return (None if one is None else (None, _ids_of(one.metadata)) for one in given)


def _own_preferences(
    wheel: Flywheel, number: int, record: type
) -> list[tuple[bytes, tuple[str, ...]]]:
    """Return what each preference of a round says and the ids of its attempts; its file is read once."""
    path = _preferences(number, record)
    if path not in wheel.preferences:
        wheel.preferences[path] = [
            (_said(row), _ids_of(row.get("metadata", {})))
            for _, row in jsonl.read_objects(wheel.place(path))
        ]
    return wheel.preferences[path]


def _said(row: Mapping[str, Any]) -> bytes:
    """Return what two preferences share if and only if they say the same, whatever is known of them."""
    said = {name: value for name, value in row.items() if name not in ("metadata", "margin")}
    return hashlib.blake2b(orjson.dumps(said, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _ids_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of the attempts that a preference is made of; a file from elsewhere may hold anything there."""
    found = (metadata.get(key) for key in ("id", "chosen_id", "rejected_id"))
    return tuple(one for one in found if isinstance(one, str))


def _compared(wheel: Flywheel, number: int, record: type) -> Mapping[str, AttemptKey]:
    """Return the attempts of a round that its preferences are made of, by id; they are looked for once."""
    path = _preferences(number, record)
    if path not in wheel.compared:
        ids = {one for _, made_of in _own_preferences(wheel, number, record) for one in made_of}
        found: dict[str, AttemptKey] = {}
        for key, attempt in wheel.judged(number).items():
            if (name := attempt.id) in ids:
                found.setdefault(name, key)
        wheel.compared[path] = found
    return wheel.compared[path]


def _replay(
    wheel: Flywheel, turn: Turn, parts: Sequence[Part], *, capacity: int
) -> tuple[str, list[Entry], dict[str, int]]:
    """Write the pairs of the last rounds, the newest first to stay, as a buffer of so many holds them."""
    read: dict[Part, list[Pair]] = {}
    count, due, contaminated = 0, capacity, 0

    def held() -> ReplayBuffer:
        pairs = (pair for part in parts for pair in read.get(part, ()))
        empty = ReplayBuffer(capacity=capacity, max_age=turn.number)
        return empty.added(pairs, round=turn.number)

    for part in sorted(parts, key=lambda part: -_round_or_newest(part)):
        # Looked at whenever there are twice as many, so that all looks together take as long as two.
        if count >= due:
            buffer, due = held(), 2 * count
            # Once it is full of newer ones, what is older changes nothing.
            if len(buffer.pairs) == capacity and buffer.oldest > _round_or_newest(part):
                break
        if part.round is None:
            given = list(_given(wheel, turn, part, Pair))
            read[part] = [pair for pair in given if pair is not None]
            contaminated += len(given) - len(read[part])
        else:
            read[part] = list(jsonl.read(part.path, Pair))
        count += len(read[part])
    else:
        buffer = held()
    path = f"data/round-{turn.number}.jsonl"
    jsonl.write(wheel.place(path), buffer.pairs)
    entries = [Entry("", b"", _ids_of(pair.metadata)) for pair in buffer.pairs]
    return path, entries, {"repeated": 0, "contaminated": contaminated}


def _round_or_newest(part: Part) -> float:
    """Return the round that wrote a file; of one from elsewhere, whose pairs may be of any round, more than any."""
    return math.inf if part.round is None else part.round


def _joined(
    parts: Iterable[tuple[Part, Iterable[Told | None]]],
) -> tuple[list[Entry], dict[str, int]]:
    """Return the lines of the files as they are, and how many say what an earlier one says or repeat a held-out task: they are left out."""
    entries, seen = list[Entry](), set[Any]()
    repeated = contaminated = 0
    for part, told in parts:
        for line, one in zip(_lines(part), told, strict=True):
            if one is None:
                contaminated += 1
                continue
            said, made_of = one
            if said is not None and said in seen:
                repeated += 1
                continue
            seen.add(said)
            entries.append(Entry(part.source, line, made_of))
    return entries, {"repeated": repeated, "contaminated": contaminated}


def _lines(part: Part) -> list[bytes]:
    """Return the lines of a file, the last one with a newline too."""
    lines = part.path.read_bytes().split(b"\n")
    return [line + b"\n" for line in (lines if lines[-1] else lines[:-1])]


def _write(wheel: Flywheel, turn: Turn, entries: list[Entry]) -> tuple[str, list[Entry]]:
    """Write what a round trains on, in the shares that the recipe gives; return the file and its lines."""
    path, shares = f"data/round-{turn.number}.jsonl", turn.stage.data
    if isinstance(shares, Mapping):
        entries = _in_shares(wheel, turn, entries, shares)
    with jsonl.replace_file(wheel.place(path)) as file:
        file.writelines(entry.line for entry in entries)
    return path, entries


def _in_shares(
    wheel: Flywheel, turn: Turn, entries: Sequence[Entry], shares: Mapping[str, float]
) -> list[Entry]:
    """Return the lines of all sources in their shares, until one of them has no more; a small one is given again up to three times."""
    batches = mixed_batches(
        entries,
        shares,
        batch_size=1,
        seed=item_seed(wheel.recipe.seed, "mix", turn.number),
        max_repeats=3,
        domain=lambda entry: entry.source,
    ).batches
    return [entry for batch in batches for entry in batch]
