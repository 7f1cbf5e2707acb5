"""The JSON schemas of a task's tools, and whether calls fit them, in a time that does not depend on who wrote the arguments.

What could take long is done here and not by jsonschema: patterns, be they of texts or of names of arguments, are searched for by the
library ``regex``, which can be stopped, and share one time limit for all calls of a trajectory; unequal items are found by
hashing. What jsonschema would search for by itself (``unevaluatedProperties`` beside ``patternProperties``) is refused. All else
takes time in proportion to the arguments, for a given schema. A schema is a task's, and so not a model's to choose; one that
is itself made to take long is cut, as everything is, by the deadline of the worker that judges.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

import jsonschema
import orjson
import regex
from referencing import Registry

from orbiter.errors import RecordError
from orbiter.records import Task
from orbiter.verify.calls import Call, TraceError

PATTERNS_TIMEOUT_S = 0.5
"""Time limit of all searches for the patterns of schemas in one trajectory, in seconds; a verdict that needs longer is invalid."""

_deadline: ContextVar[float] = ContextVar("deadline of the patterns")


def tool_schemas(task: Task) -> dict[str, dict[str, Any]]:
    """Return the argument schemas of the task's tools by name.

    Raises:
        RecordError: A tool is no function with a name of its own, or its parameters are no JSON schema of an object.
    """
    schemas: dict[str, dict[str, Any]] = {}
    for place, tool in enumerate(task.tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name, str) or name in schemas:
            raise RecordError("must be a function with a name of its own", field=f"tools[{place}]")
        field = f"tools[{place}].function.parameters"
        schema = function.get("parameters") or {"type": "object", "properties": {}}
        if not isinstance(schema, Mapping):
            raise RecordError(f"must be the JSON schema of an object, got {schema!r}", field=field)
        try:
            _validator(_closed(schema))
        except jsonschema.SchemaError as error:
            raise RecordError(f"must be a JSON schema: {error.message}", field=field) from None
        if {"unevaluatedProperties", "patternProperties"} <= set(_keys(schema)):
            raise RecordError(
                "must not use unevaluatedProperties beside patternProperties",
                field=field,
                hint="say additionalProperties, whose patterns have a time limit",
            )
        schemas[name] = dict(schema)
    return schemas


def check_schemas(calls: Sequence[Call], schemas: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that each call names a tool and fits its schema.

    An argument that the schema does not list is refused unless the schema allows it by ``additionalProperties``.

    Raises:
        TraceError: A call does not.
        TimeoutError: The searches for patterns take too long.
    """
    with _limited():
        for call in calls:
            if call.name not in schemas:
                raise TraceError("calls an unknown tool", turn=call.turn)
            if not fits(call.arguments, schemas[call.name]):
                raise TraceError("tool arguments break the schema", turn=call.turn)


def fits(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Return whether arguments fit a schema, which allows no others than it lists unless it says so.

    Raises:
        TimeoutError: The searches for patterns take too long.
    """
    with _limited():
        return bool(_validator(_closed(schema)).is_valid(arguments))


def _closed(schema: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"additionalProperties": False, **schema})


def _keys(schema: object) -> Iterator[str]:
    """Yield every key at every depth."""
    parts = list(schema) if isinstance(schema, list) else []
    if isinstance(schema, Mapping):
        yield from schema
        parts = list(schema.values())
    for part in parts:
        yield from _keys(part)


@contextmanager
def _limited() -> Iterator[None]:
    """Give the searches inside their time, unless it has begun outside."""
    if _deadline.get(None) is not None:
        yield
        return
    token = _deadline.set(monotonic() + PATTERNS_TIMEOUT_S)
    try:
        yield
    finally:
        _deadline.reset(token)


def _found(pattern: str, text: str) -> bool:
    """Return whether a pattern, which may take exponential time on a text that was made for it, is found in time."""
    left_s = _deadline.get() - monotonic()
    if left_s <= 0:
        raise TimeoutError(f"the schema's patterns took longer than {PATTERNS_TIMEOUT_S:g} s")
    return regex.search(pattern, text, timeout=left_s) is not None


def _pattern(
    _: Any, pattern: str, instance: object, __: Any
) -> Iterator[jsonschema.ValidationError]:
    if isinstance(instance, str) and not _found(pattern, instance):
        yield jsonschema.ValidationError("does not match the pattern")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: object, _: Any
) -> Iterator[jsonschema.ValidationError]:
    if isinstance(instance, Mapping):
        for pattern, schema in patterns.items():
            for name, value in instance.items():
                if _found(pattern, name):
                    yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: object, schema: Mapping[str, Any]
) -> Iterator[jsonschema.ValidationError]:
    if isinstance(instance, Mapping):
        listed, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for name, value in instance.items():
            if name not in listed and not any(_found(pattern, name) for pattern in patterns):
                yield from validator.descend(value, allowed, path=name)


def _unique_items(
    _: Any, unique: bool, instance: object, __: Any
) -> Iterator[jsonschema.ValidationError]:
    # jsonschema compares every item with every other, which takes minutes for what one call may hold.
    if not unique or not isinstance(instance, list):
        return
    if len({_hashable(item) for item in instance}) < len(instance):
        yield jsonschema.ValidationError("has items that are equal")


def _hashable(value: object) -> object:
    """Return what is equal for equal JSON values alone: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(value, Mapping):
        return dict, frozenset((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return list, tuple(map(_hashable, value))
    return isinstance(value, bool), value


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    },
)


@functools.lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Any:
    decoded = orjson.loads(schema)
    jsonschema.Draft202012Validator.check_schema(decoded)
    # The empty registry keeps a $ref from being fetched from the network.
    return _Validator(decoded, registry=Registry())
