"""The fast path of filters: a few typed fields of every line, and the line as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import msgspec

from orbiter.convert import structure
from orbiter.jsonl.reading import MAX_LINE_BYTES, blocks, decode, key_count


class Head(msgspec.Struct, frozen=True, gc=False):
    """The fields of a row that a filter needs, and the row itself as it stands in the file.

    Args:
        line: Line number, counted from 1.
        offset: Where the line begins, in bytes.
        env: Name of the environment.
        task_id: Name of the task.
        score: The verifier's number, or None when unscored.
        text: The line with its newline; where the last line of the file lacks it, that is added.
    """

    line: int
    offset: int
    env: str
    task_id: str
    score: float | None
    text: bytes

    @property
    def raw(self) -> bytes:
        """The line as it stands in the file, without its newline."""
        return self.text[:-1]


def scan(path: str | Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Head]:
    """Yield the head of every row of a file of trajectories.

    Checks the encoding, the syntax and repeated keys of the whole line, and presence and type of ``messages`` (a list
    of objects), ``env``, ``task_id`` and ``score``. What else is in a message or another field is left to ``read``.

    Raises:
        RecordError: A line is malformed; names file, line and field.
    """
    source = str(path)
    shapes = _Shapes()
    match = shapes.match
    for block in blocks(path, max_line_bytes=max_line_bytes):
        places = zip(count(block.number), block.offsets, block.lines, block.marks)
        for number, offset, line, marks in places:
            row: Any = match(line, marks)
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


@attrs.frozen
class _Shape:
    """A msgspec type made from a row: its keys, all required and no others, in the row and in each message.

    A line that decodes into it has ``row_keys`` different keys, and ``message_keys`` more in every message.
    """

    outline: Any
    row_keys: int
    message_keys: int
    decode: Callable[[bytes], Any]

    @classmethod
    def of(cls, row: dict[str, Any]) -> _Shape | None:
        """Return the shape of a sound row, or None if it would leave keys uncounted."""
        first, *others = row["messages"] or [{}]
        rest = row | {"messages": None}
        if any(first.keys() != other.keys() for other in others):
            return None
        if key_count(row) != _size(rest) + len(first) * len(row["messages"]):
            return None
        try:
            message = _type_of(first, known=dict.fromkeys(first, msgspec.Raw))
            known = {**_HEAD_TYPES, "messages": list[message]}  # type: ignore[valid-type]
            decoder = msgspec.json.Decoder(_type_of(row, known=known))
        except ValueError:  # msgspec takes no field whose name holds a quote or a control character
            return None
        return cls(_outline(row), _size(rest), len(first), decoder.decode)


class _Shapes:
    """Proves of most lines, without decoding them whole, that they are sound and repeat no key.

    A line that decodes into the shape of an earlier one has a known number of different keys. When its text has no more
    places where a key could end, none is given twice. A line that nothing is proven of is no error: it is decoded whole.
    """

    _TRIED = 4
    _LEARNED = 32  # a type costs as much as decoding many rows; where every row differs, learning on is a loss

    def __init__(self) -> None:
        self._known: list[_Shape] = []
        self._left = self._LEARNED

    def match(self, line: bytes, marks: int) -> Any:
        """Return an object with env, task_id and score, or None when nothing is proven."""
        for place, shape in enumerate(self._known):
            try:
                row = shape.decode(line)
                if not line.isascii():
                    line.decode()  # msgspec passes over the text of most fields unread
            except (ValueError, RecursionError):
                continue
            if marks == shape.row_keys + shape.message_keys * len(row.messages):
                if place:
                    self._known.insert(0, self._known.pop(place))
                return row
        return None

    def learn(self, row: dict[str, Any]) -> None:
        """Remember the shape of a sound row."""
        if not self._left or any(shape.outline == _outline(row) for shape in self._known):
            return
        if shape := _Shape.of(row):
            self._left -= 1
            self._known = [shape, *self._known[: self._TRIED - 1]]


_HEAD_TYPES: dict[str, Any] = {"env": str, "task_id": str, "score": int | float | None}
_ATOM = str | int | float | bool | None


def _type_of(row: dict[str, Any], *, known: Mapping[str, Any]) -> type[msgspec.Struct]:
    fields = []
    for place, (key, item) in enumerate(row.items()):
        name = key if key in _HEAD_TYPES or key == "messages" else f"field_{place}"
        if key in known:
            kind = known[key]
        elif isinstance(item, dict):
            kind = _type_of(item, known={})
        else:
            kind = msgspec.Raw if isinstance(item, list) else _ATOM
        fields.append((name, kind, msgspec.field(name=key)))
    return msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)


def _outline(row: dict[str, Any]) -> Any:
    """Return what of a row its shape depends on."""
    return _keys(row), [list(message) for message in row["messages"][:1]]


def _keys(row: dict[str, Any]) -> dict[str, Any]:
    return {k: _keys(v) if isinstance(v, dict) else isinstance(v, list) for k, v in row.items()}


def _size(row: dict[str, Any]) -> int:
    return len(row) + sum(_size(item) for item in row.values() if isinstance(item, dict))
