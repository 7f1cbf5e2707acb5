"""What is wrong with a line or a row: the slow and exact look, taken only on suspicion."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from orbiter.convert import join_path, show
from orbiter.errors import RecordError

MAX_DEPTH = 128
"""Deepest nesting of objects and lists that is read or written."""

_BOM = b"\xef\xbb\xbf"


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of an object as they stand in the text, repetitions included."""


def fault_of_line(data: bytes) -> RecordError | None:
    """Return what keeps a line from being one strict JSON object, or None."""
    if data.startswith(_BOM):
        return RecordError(
            "line must not begin with a byte order mark", hint="save the file as UTF-8 without BOM"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return RecordError(
            f"line must be UTF-8, got the byte 0x{data[error.start]:02x} at offset {error.start}",
            hint="convert the file to UTF-8",
        )
    if not text.strip():
        return RecordError("line must hold an object, got a blank line", hint="delete the line")
    try:
        value = json.loads(text, object_pairs_hook=_Pairs, parse_int=_whole_number)
    except json.JSONDecodeError as error:
        return _syntax(error, text)
    except RecursionError:
        return _too_deep("")
    if not isinstance(value, _Pairs):
        return RecordError(
            f"line must hold an object, got {show(value)}", hint="one line is one JSON object"
        )
    return fault_of_value(value)


def fault_of_value(value: Any, path: str = "", depth: int = 1) -> RecordError | None:
    """Return the first thing in plain data that a strict line cannot hold, or None."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, _Pairs | Mapping | list | tuple):
        return _fault_inside(value, path, depth)
    problem = hint = None
    if isinstance(value, float):
        if not math.isfinite(value):
            problem, hint = f"must be a finite number, got {value!r}", "null stands for unknown"
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            problem = f"must be an integer of at most 64 bits, got {show(value)}"
            hint = "write it as a string"
    elif not isinstance(value, str):
        problem = f"must be plain data, got {show(value)}"
        hint = "text, numbers, true, false, null, lists and objects can be written"
    elif not _is_unicode(value):
        problem = "must be whole characters, got half of a surrogate pair"
    return RecordError(problem, field=path or None, hint=hint) if problem else None


def _fault_inside(value: Any, path: str, depth: int) -> RecordError | None:
    if depth > MAX_DEPTH:
        return _too_deep(path)
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, _Pairs):
        items = value
    elif isinstance(value, Mapping):
        items = value.items()
    else:
        return next(
            filter(
                None, (fault_of_value(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value))
            ),
            None,
        )
    seen = set()
    for key, item in items:
        if not isinstance(key, str) or not _is_unicode(key):
            return RecordError(f"must have text keys, got the key {key!a}", field=path or None)
        inner = join_path(path, key)
        if key in seen:
            return RecordError("is given twice", field=inner, hint="keep one of the two")
        seen.add(key)
        if fault := fault_of_value(item, inner, depth + 1):
            return fault
    return None


def _too_deep(path: str) -> RecordError:
    shown = path if len(path) <= 60 else path[:57] + "..."
    return RecordError(f"must be nested at most {MAX_DEPTH} levels deep", field=shown or None)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole_number(digits: str) -> int:
    return int(digits[:100])  # enough to be refused; Python itself refuses to read thousands


def _syntax(error: json.JSONDecodeError, text: str) -> RecordError:
    what = error.msg[:1].lower() + error.msg[1:].removesuffix(" starting at").removesuffix(" at")
    hint = None
    if error.pos >= len(text.rstrip()) or "nterminated" in error.msg:
        hint = "the line ends too early; its writer may have been stopped"
    elif error.msg == "Extra data":
        hint = "one line is one JSON object"
    return RecordError(f"line must be JSON, got: {what} at column {error.pos + 1}", hint=hint)
