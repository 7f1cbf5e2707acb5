"""Plain data to attrs classes, strictly."""

from __future__ import annotations

import enum
import functools
import math
import reprlib
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

from orbiter.errors import ConfigError, OrbiterError, RecordError, did_you_mean

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

_RULES: dict[Any, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    Mapping: "an object",
    list: "a list",
    tuple: "a list",
    type(None): "null",
}

_EXACT: frozenset[Any] = frozenset({str, int, bool, type(None)})
"""What is taken as it is, by its very type: a bool is no integer."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80
_short.maxlevel = 3


def show(value: object) -> str:
    """Return ``repr(value)``, cut to a length that fits an error message, however deep or large the value is."""
    text = _short.repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


class _Wrong(Exception):
    """A value breaks a rule; carries the text and the hint that become a RecordError."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        super().__init__(problem)
        self.hint = hint


def _reject(rule: str, value: object, hint: str | None = None) -> _Wrong:
    return _Wrong(f"must be {rule}, got {show(value)}", hint)


def _is_object(value: object) -> bool:
    return type(value) is dict or isinstance(value, Mapping)  # the first is ten times as fast


def _exactly(cls: type) -> Hook:
    def hook(value: Any, wanted: Any) -> Any:
        if wanted is not cls:  # cattrs goes by the class tree, where an enum of strings is a string
            return _enum(value, wanted)
        if type(value) is not cls:
            raise _reject(_RULES[cls], value)
        return value

    return hook


def _number(value: Any, _: Any) -> float:
    if type(value) is float:
        if not math.isfinite(value):
            raise _reject("a finite number", value)
    elif type(value) is not int:
        hint = {str: "write numbers without quotes", bool: "write 1 or 0"}.get(type(value))
        raise _reject("a number", value, hint)
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
    for member in cls:
        if type(value) is type(member.value) and value == member.value:
            return member
    raise _reject(f"one of {', '.join(repr(member.value) for member in cls)}", value)


def _at(error: Exception, index: object, cls: Any) -> Exception:
    """Note on the error at which index or key of a list or an object it happened."""
    error.__notes__ = [
        *getattr(error, "__notes__", ()),
        IterableValidationNote(f"index {index!r}", index, cls),  # type: ignore[arg-type]
    ]
    return error


def _sequence_hook(cls: Any, converter: Converter) -> Hook:
    make = get_origin(cls) or cls
    args = get_args(cls)
    item_type = args[0] if args else Any
    if make is tuple and args and args[1:] != (...,):
        raise TypeError(f"a tuple field must be tuple[X, ...], got {cls}")
    inner = None if item_type is Any else converter.get_structure_hook(item_type)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise _reject("a list", value)
        if inner is None:
            return make(value)
        out = []
        for index, item in enumerate(value):
            try:
                out.append(inner(item, item_type))
            except Exception as error:
                raise _at(error, index, item_type)  # noqa: B904  # the same error, with a note
        return make(out)

    return hook


def _mapping_hook(cls: Any, converter: Converter) -> Hook:
    key_type, item_type = get_args(cls) or (Any, Any)
    inner = None if item_type is Any else converter.get_structure_hook(item_type)

    def hook(value: Any, _: Any) -> Any:
        if not _is_object(value):
            raise _reject("an object", value)
        if key_type is str:
            for key in value:
                if type(key) is not str:
                    raise _Wrong(f"must have text keys, got the key {show(key)}")
        if inner is None:
            return dict(value)
        out = {}
        for key, item in value.items():
            try:
                out[key] = inner(item, item_type)
            except Exception as error:
                raise _at(error, key, item_type)  # noqa: B904  # the same error, with a note
        return out

    return hook


def _union_hook(cls: Any, converter: Converter) -> Hook:
    """Structure an optional or a union of plain types: the first member that takes the value."""
    members = get_args(cls)
    exact = _EXACT.intersection(members)
    hooks = [
        (converter.get_structure_hook(member), member) for member in members if member not in exact
    ]
    if len(members) == 2 and type(None) in members:
        (some,) = (member for member in members if member is not type(None))
        inner = converter.get_structure_hook(some)
        return lambda value, _: None if value is None else inner(value, some)

    def hook(value: Any, _: Any) -> Any:
        if type(value) in exact:
            return value
        for inner, member in hooks:
            try:
                return inner(value, member)
            except Exception:  # noqa: S112  # the next member may take it; none taking it is an error below
                continue
        rules = [_RULES.get(get_origin(m) or m, getattr(m, "__name__", str(m))) for m in members]
        raise _reject(" or ".join(dict.fromkeys(rules)), value)

    return hook


def _attrs_hook(cls: Any, converter: Converter) -> Hook:
    names = {a.name for a in attrs.fields(cls)}
    known = names - {"extra"}
    needed = {a.name for a in attrs.fields(cls) if a.default is attrs.NOTHING}
    keeps_extra = known != names
    inner = make_dict_structure_fn(
        cls,
        converter,
        _cattrs_forbid_extra_keys=not keeps_extra,
        _cattrs_detailed_validation=converter.detailed_validation,
    )

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not _is_object(value):
            named = isinstance(value, str) and needed == {"name"}
            raise _reject("an object", value, f"write {{name: {show(value)}}}" if named else None)
        if keeps_extra and not value.keys() <= known:
            # A row may itself hold a key 'extra'; it stays inside, under its own name.
            extra = {key: item for key, item in value.items() if key not in known}
            for key in extra:
                if type(key) is not str:
                    raise _Wrong(f"must have text keys, got the key {show(key)}")
            value = {key: item for key, item in value.items() if key in known} | {"extra": extra}
        return inner(value, cls)

    return hook


def _is_one_of(*origins: Any) -> Callable[[Any], bool]:
    return lambda cls: (get_origin(cls) or cls) in origins


def _make_converter(*, detailed: bool) -> Converter:
    converter = Converter(detailed_validation=detailed)
    for cls in (str, int, bool):
        converter.register_structure_hook(cls, _exactly(cls))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_func(
        lambda cls: isinstance(cls, type) and issubclass(cls, enum.Enum), _enum
    )
    for takes, factory in (
        (_is_one_of(tuple, list), _sequence_hook),
        (_is_one_of(dict, Mapping, types.MappingProxyType), _mapping_hook),
        (_is_one_of(Union, types.UnionType), _union_hook),
        (attrs.has, _attrs_hook),
    ):
        converter.register_structure_hook_factory(takes, factory)
    return converter


# Good rows take the fast one; a bad row is structured again by the one that notes where it went wrong.
_fast, _careful = _make_converter(detailed=False), _make_converter(detailed=True)
_hook_for: Callable[[Any], Hook] = functools.cache(_fast.get_structure_hook)


def structure(
    value: object, cls: type[T], *, source: str | None = None, line: int | None = None
) -> T:
    """Make an instance of ``cls`` from plain data.

    Args:
        value: Decoded JSON or YAML.
        cls: An attrs class.
        source: Where the data came from, for the error text.
        line: Line number in the source, counted from 1.

    Raises:
        RecordError: A key is missing or unknown, or a value has the wrong type.
    """
    hook = _hook_for(cls)
    try:
        made: T = hook(value, cls)
    except Exception:
        try:
            return _careful.structure(value, cls)
        except Exception as error:
            problem, path, hint = _explain(error)
        raise RecordError(
            problem, source=source, line=line, field=path or None, hint=hint
        ) from None
    return made


def _explain(error: BaseException) -> tuple[str, str, str | None]:
    """Return the problem, the field path and a hint for the first failure inside ``error``."""
    path, parent = "", None
    while True:
        # The notes of one error were added from the inside out.
        for note in reversed(getattr(error, "__notes__", ())):
            if isinstance(note, AttributeValidationNote):
                path = join_path(path, note.name)
            elif isinstance(note, IterableValidationNote):
                path = join_path(path, note.index)
        if not isinstance(error, BaseValidationError):
            break
        parent, error = error, error.exceptions[0]
    if isinstance(error, KeyError) and parent is not None and path.endswith(str(error.args[0])):
        return "is missing", path, f"required: {', '.join(_required(parent.cl))}"
    if isinstance(error, ForbiddenExtraKeysError):
        key = sorted(error.extra_fields, key=str)[0]
        known = [a.name for a in attrs.fields(error.cl)]
        return (
            f"is unknown{did_you_mean(str(key), known)}",
            join_path(path, key),
            f"known: {', '.join(known)}",
        )
    if isinstance(error, RecordError):
        return error.problem, join_path(path, error.field) if error.field else path, error.hint
    hint = error.hint if isinstance(error, _Wrong | OrbiterError) else None
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    if isinstance(error, ConfigError) and parent is not None:
        # Classes that are also made by hand say "<field> must be ..." themselves.
        name, must, rule = text.partition(" must ")
        if must and any(a.name == name for a in attrs.fields(parent.cl)):
            return f"must {rule}", join_path(path, name), hint
    return text or type(error).__name__, path, hint


def _required(cls: type) -> list[str]:
    fields = attrs.fields(attrs.resolve_types(cls))
    return [
        a.name + (" (may be null)" if type(None) in get_args(a.type) else "")
        for a in fields
        if a.default is attrs.NOTHING
    ]


def join_path(path: str, step: object) -> str:
    """Return the path of a field one step deeper: ``a`` and ``b`` make ``a.b``, ``a`` and 0 make ``a[0]``."""
    if isinstance(step, str) and step[:1] != "[":
        return f"{path}.{step}" if path else step
    return f"{path}{step}" if isinstance(step, str) else f"{path}[{step!r}]"
