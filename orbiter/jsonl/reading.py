"""Lines of a file, decoded strictly."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import orjson
from attrs import frozen

from orbiter.convert import structure
from orbiter.errors import RecordError
from orbiter.jsonl.faults import MAX_DEPTH, fault_of_line
from orbiter.records import Trajectory

if TYPE_CHECKING:
    import numpy as np  # a fifth of what it takes to import orbiter; who only writes does without

T = TypeVar("T")

MAX_LINE_BYTES = 16_000_000
"""Longest line, without its newline, that is read or written unless told otherwise."""

_BLOCK_SIZE = 1 << 19
_KEY_END = re.compile(rb'(?:(?<!\\)|(?<=\\\\))"[ \t\r\n]*:')
_SUSPECT = 1 << 40


@overload
def read(path: str | Path, *, max_line_bytes: int = ...) -> Iterator[Trajectory]: ...
@overload
def read(path: str | Path, cls: type[T], *, max_line_bytes: int = ...) -> Iterator[T]: ...
def read(
    path: str | Path, cls: type[Any] = Trajectory, *, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[Any]:
    """Yield the records of a file.

    Args:
        path: The file.
        cls: Any record class.
        max_line_bytes: Longest line that is taken.

    Raises:
        RecordError: A line is malformed; names file, line and field.
    """
    source = str(path)
    for number, row in read_objects(path, max_line_bytes=max_line_bytes):
        yield structure(row, cls, source=source, line=number)


def read_objects(
    path: str | Path, *, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number, counted from 1, and decoded object of every line.

    Raises:
        RecordError: A line is malformed; names file, line and field.
    """
    source = str(path)
    for block in blocks(path, max_line_bytes=max_line_bytes):
        pairs = zip(block.lines, block.marks, strict=True)
        for number, (line, marks) in enumerate(pairs, start=block.number):
            yield number, decode(line, marks=marks, source=source, line=number)


def loads(data: bytes, *, source: str | None = None, line: int | None = None) -> dict[str, Any]:
    """Return the object that one line holds.

    Args:
        data: The line, with or without its newline.
        source: Where it came from, for the error text.
        line: Its number, counted from 1.

    Raises:
        RecordError: It is not one strict JSON object.
    """
    return decode(data, marks=len(_KEY_END.findall(data)), source=source, line=line)


def decode(data: bytes, *, marks: int, source: str | None, line: int | None) -> dict[str, Any]:
    """Return the object that one line holds, given an upper bound of the number of keys in its text.

    Parsers keep one of two equal keys in silence. As many different keys as the text can hold at most means that none
    is repeated; only when there are fewer does the slow and exact look decide.
    """
    row, fault = None, None
    try:
        row = orjson.loads(data)
        sound = type(row) is dict and key_count(row) == marks
    except orjson.JSONDecodeError as error:
        sound, fault = False, RecordError(f"line must be JSON, got: {error}")
    if not sound:
        fault = fault_of_line(data.removesuffix(b"\n")) or fault
    if fault is not None:
        raise RecordError(
            fault.problem, source=source, line=line, field=fault.field, hint=fault.hint
        )
    return row  # type: ignore[return-value]


def key_count(value: Any, depth: int = 1) -> int:
    """Return the number of keys at every level, or far too many when something must be looked at closely."""
    if depth > MAX_DEPTH:
        return _SUSPECT
    count = 0
    if type(value) is dict:
        count = len(value)
        value = value.values()
    for item in value:
        kind = type(item)
        if kind is dict or kind is list:
            count += key_count(item, depth + 1)
        elif kind is float and not -(2.0**63) < item < 2.0**64:
            count += _SUSPECT  # it may have been an integer that lost its last digits
    return count


@frozen
class Block:
    """Some lines of a file, one after the other.

    Args:
        number: Number of the first line, counted from 1.
        offsets: Where each line begins in the file, in bytes.
        lines: The lines with their newlines; where the last line of the file lacks it, that is added.
        marks: For each line, how many keys its text can hold at most.
    """

    number: int
    offsets: list[int]
    lines: list[bytes]
    marks: list[int]


def blocks(path: str | Path, *, max_line_bytes: int) -> Iterator[Block]:
    """Yield the lines of a file, many at a time.

    Raises:
        RecordError: The file cannot be read, or a line is too long; the lines before it were yielded.
    """
    import numpy as np

    number, offset, rest = 1, 0, b""
    source = str(path)
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115  # closed below; the try is for opening alone
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}", source=source) from None
    # Once a large block was freed, glibc keeps the memory of smaller ones; otherwise every block is paid for in page faults.
    bytes(16 * _BLOCK_SIZE)
    with file:
        while True:
            data = file.read(_BLOCK_SIZE)
            text = rest + data if data or not rest else rest + b"\n"
            # Three times as fast as text.split(b"\n"), which looks at one byte after the other.
            lines = io.BytesIO(text).readlines()
            rest = lines.pop() if lines and not text.endswith(b"\n") else b""
            sizes = np.fromiter(map(len, lines), np.int64, len(lines))
            long = np.flatnonzero(sizes > max_line_bytes + 1).tolist()
            if long:
                del lines[long[0] :]
                sizes = sizes[: long[0]]
            if lines:
                ends = np.cumsum(sizes)
                marks = np.searchsorted(_key_ends(np.frombuffer(text, np.uint8)), ends)
                marks[1:] -= marks[:-1]
                offsets = offset + ends - sizes
                yield Block(number, offsets.tolist(), lines, marks.tolist())
                number += len(lines)
                offset += int(ends[-1])
            if long or len(rest) > max_line_bytes:
                raise too_long(max_line_bytes).at(source, number)
            if not data:
                return


def too_long(limit: int) -> RecordError:
    """Return the error of a line beyond the limit."""
    return RecordError(
        f"line must be at most {limit} bytes long",
        hint="shorten the row, or take it in Python, with a larger max_line_bytes",
    )


def _key_ends(codes: np.ndarray[Any, np.dtype[np.uint8]]) -> Any:
    """Return the positions of the colons that may follow a key: all that do, and a few inside strings.

    The colon after a key follows a quote, with or without blanks between. A quote behind exactly one backslash is
    inside a string.
    """
    import numpy as np

    colons = np.flatnonzero(codes == ord(":"))
    before = codes.take(colons - 1, mode="clip")
    ends = before == ord('"')
    escaped = np.flatnonzero(ends & (codes.take(colons - 2, mode="clip") == ord("\\")))
    ends[escaped] = codes.take(colons[escaped] - 3, mode="clip") == ord("\\")
    blank = np.flatnonzero(before <= ord(" "))
    further = codes.take(colons[blank] - 2, mode="clip")
    ends[blank] = further == ord('"')
    for place in blank[further <= ord(" ")].tolist():
        ends[place] = _follows_quote(codes, int(colons[place]))
    return colons[ends]


def _follows_quote(codes: np.ndarray[Any, np.dtype[np.uint8]], colon: int) -> bool:
    start = max(0, colon - 64)
    before = codes[start:colon].tobytes().rstrip(b" \t\r\n")
    return before.endswith(b'"') or (not before and start > 0)
