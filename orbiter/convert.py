"""Plain data to attrs classes and back, strictly.

One converter serves records and recipes. A value of the wrong type is an error that names the field by its
path; nothing is coerced. A class with a field ``extra`` keeps the keys it does not know there; any other class
refuses them and suggests the nearest known key.
"""

from __future__ import annotations

import enum
import math
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from orbiter.errors import RecordError, did_you_mean

T = TypeVar("T")

_RULES: dict[Any, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


class _Wrong(Exception):
    """A value breaks a rule; carries the text that becomes a RecordError."""


def _reject(rule: str, value: object) -> _Wrong:
    shown = repr(value)
    return _Wrong(f"must be {rule}, got {shown if len(shown) <= 80 else shown[:77] + '...'}")


def _strict(cls: type) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not cls:
            raise _reject(_RULES[cls], value)
        return value

    return hook


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise _reject("a number", value)
    if not math.isfinite(value):
        raise _reject("a finite number", value)
    return value  # type: ignore[no-any-return]  # an int stays an int, so that a row comes back as it was


def _path(value: Any, _: Any) -> Path:
    if isinstance(value, Path):
        return value
    if type(value) is not str:
        raise _reject("a path", value)
    return Path(value)


def _enum(value: Any, cls: type[enum.Enum]) -> enum.Enum:
    if isinstance(value, cls):
        return value
    try:
        return cls(value)
    except ValueError:
        choices = ", ".join(repr(member.value) for member in cls)
        raise _reject(f"one of {choices}", value) from None


def _tuple(value: Any, cls: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise _reject("a list", value)
    (item_type, *_) = get_args(cls) or (Any,)
    if item_type is Any:
        return tuple(value)
    out = []
    for index, item in enumerate(value):
        try:
            out.append(_converter.structure(item, item_type))
        except Exception as error:
            error.__notes__ = [
                *getattr(error, "__notes__", ()),
                IterableValidationNote(f"index {index}", index, item_type),
            ]
            raise
    return tuple(out)


def _mapping(value: Any, cls: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _reject("an object", value)
    key_type, item_type = get_args(cls) or (Any, Any)
    if key_type is str:
        for key in value:
            if type(key) is not str:
                raise _Wrong(f"must have text keys, got the key {key!r}")
    if item_type is Any:
        return dict(value)
    return {key: _converter.structure(item, item_type) for key, item in value.items()}


def _union(value: Any, cls: Any) -> Any:
    """Structure an optional or a union of plain types: the first member that takes the value."""
    members = get_args(cls)
    if value is None and type(None) in members:
        return None
    tried = [member for member in members if member is not type(None)]
    if len(tried) == 1:
        return _converter.structure(value, tried[0])
    for member in tried:
        try:
            return _converter.structure(value, member)
        except Exception:  # noqa: S112  # the next member may take it; none taking it is an error below
            continue
    raise _reject(" or ".join(_RULES.get(get_origin(m) or m, str(m)) for m in tried), value)


def _is_union(cls: Any) -> bool:
    return get_origin(cls) in (Union, types.UnionType)


def _attrs_hook(cls: type) -> Callable[[Any, Any], Any]:
    names = {a.name for a in attrs.fields(cls)}
    keeps_extra = "extra" in names
    inner = make_dict_structure_fn(
        cls, _converter, _cattrs_forbid_extra_keys=not keeps_extra, _cattrs_detailed_validation=True
    )

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise _reject("an object", value)
        if keeps_extra:
            extra = {key: item for key, item in value.items() if key not in names}
            known = {key: item for key, item in value.items() if key in names}
            if extra:
                # A row may itself hold a key 'extra'; it stays inside, under its own name.
                if "extra" in known:
                    extra["extra"] = known["extra"]
                known["extra"] = extra
            elif "extra" in known:
                known["extra"] = {"extra": known["extra"]}
            value = known
        return inner(value, cls)

    return hook


_converter = Converter(detailed_validation=True)
for _cls in (str, int, bool):
    _converter.register_structure_hook(_cls, _strict(_cls))
_converter.register_structure_hook(float, _number)
_converter.register_structure_hook(Path, _path)
_converter.register_structure_hook_func(
    lambda cls: isinstance(cls, type) and issubclass(cls, enum.Enum), _enum
)
_converter.register_structure_hook_func(lambda cls: get_origin(cls) is tuple, _tuple)
_converter.register_structure_hook_func(
    lambda cls: (get_origin(cls) or cls) in (dict, Mapping, types.MappingProxyType), _mapping
)
_converter.register_structure_hook_func(_is_union, _union)
_converter.register_structure_hook_factory(attrs.has, _attrs_hook)


def structure(value: object, cls: type[T], *, source: str | None = None, line: int | None = None) -> T:
    """Make an instance of ``cls`` from plain data.

    Args:
        value: Decoded JSON or YAML.
        cls: An attrs class.
        source: Where the data came from, for the error text.
        line: Line number in the source, counted from 1.

    Raises:
        RecordError: A key is missing or unknown, or a value has the wrong type.
    """
    try:
        return _converter.structure(value, cls)
    except Exception as error:
        problem, path, hint = _explain(error)
        raise RecordError(problem, source=source, line=line, field=path or None, hint=hint) from None


def _explain(error: BaseException) -> tuple[str, str, str | None]:
    """Return the problem, the field path and a hint for the first failure inside ``error``."""
    steps: list[str] = []
    while True:
        for note in getattr(error, "__notes__", ()):
            if isinstance(note, AttributeValidationNote):
                steps.append("." + note.name)
            elif isinstance(note, IterableValidationNote):
                steps.append(f"[{note.index}]")
        if not isinstance(error, BaseValidationError):
            break
        error = error.exceptions[0]
    path = "".join(steps).lstrip(".")
    if isinstance(error, KeyError) and error.args:
        return "is missing", f"{path}.{error.args[0]}".lstrip("."), None
    if isinstance(error, ForbiddenExtraKeysError):
        key = sorted(error.extra_fields, key=str)[0]
        known = [a.name for a in attrs.fields(error.cl)]
        return (
            f"is unknown{did_you_mean(str(key), known)}",
            f"{path}.{key}".lstrip("."),
            f"known: {', '.join(known)}",
        )
    if isinstance(error, RecordError):
        inner = f"{path}.{error.field}" if error.field else path
        return error.problem, inner.lstrip("."), error.hint
    return str(error) or type(error).__name__, path, None


def unstructure(value: Any) -> Any:
    """Return plain data for an attrs instance; optional fields at their default are left out."""
    if attrs.has(type(value)):
        row: dict[str, Any] = {}
        for a in attrs.fields(type(value)):
            item = getattr(value, a.name)
            if a.name == "extra" or _is_default(a, item):
                continue
            row[a.name] = unstructure(item)
        row.update(unstructure(getattr(value, "extra", None) or {}))
        return row
    if isinstance(value, Mapping):
        return {key: unstructure(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [unstructure(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    return value


def _is_default(a: attrs.Attribute[Any], item: Any) -> bool:
    if a.default is attrs.NOTHING:
        return False
    default = a.default.factory() if isinstance(a.default, attrs.Factory) else a.default  # type: ignore[arg-type]
    return bool(type(item) is type(default) and item == default)
