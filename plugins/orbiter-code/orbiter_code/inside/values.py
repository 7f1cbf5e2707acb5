"""The values that cross between a job and the outside: plain ones, as JSON.

None, bool, int, float, str and lists stand for themselves; ``{"t": [...]}`` is a tuple, ``s`` a set, ``f`` a frozenset, ``d``
a dict as a list of pairs, ``b`` bytes and ``i`` a very long int as hexadecimal text, ``c`` a complex number. Reading builds exactly these
types and nothing else, so that a value that came from untrusted code compares, prints and iterates as builtins do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 100
"""Deepest nesting of containers."""

MAX_NODES = 250_000
"""Most commas and brackets in the text of one message: with the limit of its length, what bounds the memory it takes."""

_LONG = 2048
"""From how many bits on an int is long: fewer digits than any limit that Python can be set to, of 640."""

_encode = json.JSONEncoder(separators=(",", ":")).encode
_SCALARS = frozenset({type(None), bool, int, float, str})
# What a subclass makes of int() or str() is its own affair: the name of an enum's member, say, and not its value.
_EXACTLY: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
}


class ValueRefusedError(ValueError):
    """A value is not plain, or too deep, or too large; the message says which."""


def pack(value: Any, depth: int = 0) -> Any:
    """Return ``value`` as JSON data; an instance of a subclass goes as the builtin that it is.

    Raises:
        ValueRefusedError: It is not plain, or too deeply nested.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth > MAX_DEPTH:
        raise ValueRefusedError("value is too deeply nested")
    if isinstance(value, list):
        return _items(list.__iter__(value), depth)
    if isinstance(value, tuple):
        return {"t": _items(tuple.__iter__(value), depth)}
    if isinstance(value, dict):
        pairs = dict.items(value)
        return {"d": [[pack(k, depth + 1), pack(v, depth + 1)] for k, v in pairs]}
    if isinstance(value, set):
        return {"s": _items(set.__iter__(value), depth)}
    if isinstance(value, frozenset):
        return {"f": _items(frozenset.__iter__(value), depth)}
    if isinstance(value, bytes | bytearray):
        return {"b": value.hex()}
    if isinstance(value, complex):
        return {"c": [value.real, value.imag]}
    for plain, exactly in _EXACTLY.items():
        if isinstance(value, plain):
            return exactly(value)
    # The numbers of numpy are equal to plain ones, but few are instances of them.
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return pack(value.item(), depth + 1)
    raise ValueRefusedError(f"a {kind.__name__} is not a plain value")


def _items(items: Any, depth: int) -> list[Any]:
    return [item if type(item) in _SCALARS else pack(item, depth + 1) for item in items]


def unpack(data: Any, depth: int = 0) -> Any:
    """Return the value that ``data`` stands for.

    Raises:
        ValueRefusedError: It stands for none.
    """
    kind = type(data)
    if kind in _SCALARS:
        return data
    if depth > MAX_DEPTH:
        raise ValueRefusedError("value is too deeply nested")
    if kind is list:
        return [item if type(item) in _SCALARS else unpack(item, depth + 1) for item in data]
    if kind is not dict or len(data) != 1:
        raise ValueRefusedError("malformed value")
    ((tag, inner),) = data.items()
    try:
        return _UNPACK[tag](inner, depth + 1)
    except ValueRefusedError:
        raise
    except (KeyError, TypeError, ValueError):
        raise ValueRefusedError("malformed value") from None


def _list(data: Any, depth: int) -> list[Any]:
    if type(data) is not list:
        raise ValueRefusedError("malformed value")
    value = unpack(data, depth)
    assert type(value) is list  # noqa: S101  # a list unpacks to one
    return value


def _complex(data: Any, depth: int) -> complex:
    real, imaginary = _list(data, depth)
    if type(real) is not float or type(imaginary) is not float:
        raise ValueRefusedError("malformed value")
    return complex(real, imaginary)


def _dict(data: Any, depth: int) -> dict[Any, Any]:
    return dict(_list(data, depth))


_UNPACK = {
    "t": lambda data, depth: tuple(_list(data, depth)),
    "s": lambda data, depth: set(_list(data, depth)),
    "f": lambda data, depth: frozenset(_list(data, depth)),
    "d": _dict,
    "b": lambda data, _: bytes.fromhex(data),
    "i": lambda data, _: int(data, 16),
    "c": _complex,
}


def dump(message: list[Any]) -> bytes:
    """Return the text of a message of packed values.

    Raises:
        ValueRefusedError: The message is too deeply nested.
    """
    try:
        try:
            return _encode(message).encode()
        except ValueError:  # an int has more digits than Python is ready to write
            return _encode(_with_long_ints(message)).encode()
    except RecursionError:
        raise ValueRefusedError("value is too deeply nested") from None


def _with_long_ints(data: Any) -> Any:
    """Return packed data with its very long ints as hexadecimal text, which takes no longer than it is."""
    if type(data) is int and data.bit_length() > _LONG:
        return {"i": hex(data)}
    if type(data) is list:
        return [_with_long_ints(item) for item in data]
    if type(data) is dict:
        return {tag: _with_long_ints(inner) for tag, inner in data.items()}
    return data


def load(text: bytes) -> Any:
    """Return the JSON data of a message that untrusted code may have written.

    Raises:
        ValueRefusedError: It is no JSON, or too deeply nested, or has too many parts.
    """
    if text.count(b",") + text.count(b"[") + text.count(b"{") > MAX_NODES:
        raise ValueRefusedError("value has too many parts")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueRefusedError("malformed value") from None
