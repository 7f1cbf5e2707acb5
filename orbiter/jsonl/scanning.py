"""The fast path of filters: a few typed fields of every line, and the line as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

from orbiter.convert import structure
from orbiter.jsonl.reading import MAX_LINE_BYTES, decode, key_count, lines


class Head(msgspec.Struct, frozen=True, gc=False):
    """The fields of a row that a filter needs, and the row itself as it stands in the file.

    Args:
        line: Line number, counted from 1.
        offset: Where the line begins, in bytes.
        env: Name of the environment.
        task_id: Name of the task.
        score: The verifier's number, or None when unscored.
        raw: The line, without its newline.
    """

    line: int
    offset: int
    env: str
    task_id: str
    score: float | None
    raw: bytes


def scan(path: str | Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Head]:
    """Yield the head of every row of a file of trajectories.

    Checks the encoding, the syntax and repeated keys of the whole line, and presence and type of ``messages`` (a list
    of objects), ``env``, ``task_id`` and ``score``. What else is in a message or another field is left to ``read``.

    Raises:
        RecordError: A line is malformed; names file, line and field.
    """
    source = str(path)
    shapes = _Shapes()
    for number, offset, line, marks in lines(path, max_line_bytes=max_line_bytes):
        row: Any = shapes.match(line, marks)
        if row is None:
            whole = decode(line, marks=marks, source=source, line=number)
            row = structure(whole, _Typed, source=source, line=number)
            shapes.learn(whole)
        yield Head(number, offset, row.env, row.task_id, row.score, line)


@attrs.frozen
class _Typed:
    messages: tuple[Mapping[str, Any], ...]
    env: str
    task_id: str
    score: float | None
    extra: Mapping[str, Any] = attrs.field(factory=dict)


class _Shapes:
    """Proves of most lines, without decoding them whole, that they are sound and repeat no key.

    A shape is a msgspec type made from a row: its keys, all required and no others. A line that decodes into a shape
    has therefore a known number of different keys. When its text has no more places where a key could end, none is
    given twice. A line that nothing is proven of is no error: it is decoded whole.
    """

    _LIMIT = 4

    def __init__(self) -> None:
        self._known: list[_Shape] = []

    def match(self, line: bytes, marks: int) -> Any:
        """Return an object with env, task_id and score, or None when nothing is proven."""
        for place, shape in enumerate(self._known):
            try:
                row = shape.decode(line)
                if not line.isascii():
                    line.decode()  # msgspec passes over the text of most fields unread
            except (ValueError, RecursionError):
                continue
            if marks == shape.key_count + sum(map(len, row.messages)):
                if place:
                    self._known.insert(0, self._known.pop(place))
                return row
        return None

    def learn(self, row: dict[str, Any]) -> None:
        """Remember the shape of a sound row, unless it is known or leaves keys uncounted."""
        rest = row | {"messages": None}
        keys = _keys(rest)
        if any(shape.keys == keys for shape in self._known) or key_count(rest) != _size(rest):
            return
        shape = _Shape(keys, _size(rest), msgspec.json.Decoder(_type_of(row, _HEAD_TYPES)).decode)
        self._known = [shape, *self._known[: self._LIMIT - 1]]


@attrs.frozen
class _Shape:
    keys: Any
    key_count: int
    decode: Callable[[bytes], Any]


_HEAD_TYPES: dict[str, Any] = {
    "messages": list[dict[str, msgspec.Raw]],
    "env": str,
    "task_id": str,
    "score": int | float | None,
}


def _type_of(row: dict[str, Any], known: Mapping[str, Any]) -> type[msgspec.Struct]:
    fields = []
    for place, (key, item) in enumerate(row.items()):
        if key in known:
            name, kind = key, known[key]
        elif isinstance(item, dict):
            name, kind = f"field_{place}", _type_of(item, {})
        else:
            name, kind = f"field_{place}", _ATOM if item is None else msgspec.Raw
        fields.append((name, kind, msgspec.field(name=key)))
    return msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)


_ATOM = str | int | float | bool | None  # what a field that was null in one row may be in the next


def _keys(row: dict[str, Any]) -> Any:
    return {
        key: _keys(item) if isinstance(item, dict) else item is None for key, item in row.items()
    }


def _size(row: dict[str, Any]) -> int:
    return len(row) + sum(_size(item) for item in row.values() if isinstance(item, dict))
