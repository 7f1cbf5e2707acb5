"""attrs classes to plain data."""

from __future__ import annotations

import enum
import functools
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from orbiter.errors import RecordError


def unstructure(value: Any) -> Any:
    """Return plain data for an attrs instance; optional fields at their default are left out.

    Raises:
        RecordError: ``extra`` holds a key that the class knows, or the value is nested too deep.
    """
    try:
        return _plain(value)
    except RecursionError:
        raise RecordError("must be nested less deep, got a value beyond Python's limit") from None


_ATOMS = frozenset({str, int, float, bool, type(None)})


def _plain(value: Any) -> Any:
    return value if type(value) in _ATOMS else _plainer(type(value))(value)


def _make_plainer(cls: type) -> Callable[[Any], Any]:
    """Return the function that makes plain data of the values of one class."""
    if issubclass(cls, enum.Enum):
        return lambda value: value.value
    if issubclass(cls, Path):
        return str
    if issubclass(cls, Mapping):
        return lambda value: {
            key: item if type(item) in _ATOMS else _plain(item) for key, item in value.items()
        }
    if issubclass(cls, list | tuple):
        return lambda value: [_plain(item) for item in value]
    if attrs.has(cls):
        return _row_maker(cls)
    return lambda value: value


_plainer: Callable[[Any], Callable[[Any], Any]] = functools.cache(_make_plainer)


def _row_maker(cls: type) -> Callable[[Any], dict[str, Any]]:
    # Every line of every file of a run passes here, so the defaults are made once and all fields are fetched at once.
    fields = [(a.name, *_default(a)) for a in attrs.fields(cls) if a.name != "extra"]
    known = {name for name, *_ in fields}
    keeps_extra = len(known) < len(attrs.fields(cls))
    names = (*(name for name, *_ in fields), *(("extra",) if keeps_extra else ()))
    fetch = operator.attrgetter(*names) if len(names) > 1 else _only(names)

    def make(value: Any) -> dict[str, Any]:
        row: dict[str, Any] = {}
        items = fetch(value)
        for (name, default, empty), item in zip(fields, items):
            if item is default or (not item and type(item) is empty):
                continue
            if item != default or type(item) is not type(default):
                row[name] = item if type(item) in _ATOMS else _plain(item)
        if keeps_extra and (extra := items[-1]):
            if not known.isdisjoint(extra):
                clash = min(known.intersection(extra))
                raise RecordError(
                    f"must not hold the known key {clash!r} of {cls.__name__}",
                    field="extra",
                    hint=f"set the field {clash!r} itself",
                )
            row.update(_plain(extra))
        return row

    return make


def _default(a: attrs.Attribute[Any]) -> tuple[Any, type | None]:
    """Return a field's default, and its type if any other empty value of that type equals it."""
    given: Any = a.default
    default = given.factory() if isinstance(given, attrs.Factory) else given  # type: ignore[arg-type]
    is_empty = type(default) in (dict, list, tuple, str) and not default
    return default, type(default) if is_empty else None


def _only(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Fetch no field, or one, as a tuple: what attrgetter does only for several."""
    return lambda value: tuple(getattr(value, name) for name in names)
