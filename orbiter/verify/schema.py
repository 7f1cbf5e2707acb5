"""The JSON schemas of a task's tools, and whether calls fit them, in a time that does not depend on who wrote the arguments."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema
import orjson
import regex
from referencing import Registry

from orbiter.errors import RecordError
from orbiter.records import Task
from orbiter.verify.calls import Call, TraceError

PATTERN_TIMEOUT_S = 0.5
"""Time limit of one match of a schema's pattern, in seconds; a verdict that needs longer is invalid."""


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
        schemas[name] = dict(schema)
    return schemas


def check_schemas(calls: Sequence[Call], schemas: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that each call names a tool and fits its schema.

    An argument that the schema does not list is refused unless the schema allows it by ``additionalProperties``.

    Raises:
        TraceError: A call does not.
    """
    for call in calls:
        if call.name not in schemas:
            raise TraceError("calls an unknown tool", turn=call.turn)
        if not fits(call.arguments, schemas[call.name]):
            raise TraceError("tool arguments break the schema", turn=call.turn)


def fits(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Return whether arguments fit a schema, which allows no others than it lists unless it says so."""
    return bool(_validator(_closed(schema)).is_valid(arguments))


def _closed(schema: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"additionalProperties": False, **schema})


def _pattern(
    _: Any, pattern: str, instance: object, __: Any
) -> Iterator[jsonschema.ValidationError]:
    # A pattern may take exponential time on a text that was made for it.
    if isinstance(instance, str) and not regex.search(pattern, instance, timeout=PATTERN_TIMEOUT_S):
        yield jsonschema.ValidationError("does not match the pattern")


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
    jsonschema.Draft202012Validator, {"pattern": _pattern, "uniqueItems": _unique_items}
)


@functools.lru_cache(maxsize=1024)
def _validator(schema: bytes) -> Any:
    decoded = orjson.loads(schema)
    jsonschema.Draft202012Validator.check_schema(decoded)
    # The empty registry keeps a $ref from being fetched from the network.
    return _Validator(decoded, registry=Registry())
