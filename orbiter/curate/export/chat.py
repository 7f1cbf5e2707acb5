"""What the formats share: the parts of a message, taken out strictly."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from attrs import frozen

from orbiter.convert import unstructure
from orbiter.errors import RecordError
from orbiter.records import Message, Pair


@frozen
class ToolCall:
    """A tool call of an assistant turn.

    Args:
        id: What the tool message that answers it refers to; None if it has none.
        name: The tool.
        arguments: Its arguments, decoded.
    """

    id: str | None
    name: str
    arguments: Mapping[str, Any]

    def to_json(self) -> str:
        """Return ``{"name": ..., "arguments": {...}}`` as text."""
        return to_json({"name": self.name, "arguments": self.arguments})


def to_json(value: object) -> str:
    """Return a value as JSON text."""
    return orjson.dumps(unstructure(value)).decode()


def answer_text(answer: object) -> str | None:
    """Return a reference answer as text: itself, or as JSON text; None if there is none."""
    return answer if answer is None or isinstance(answer, str) else to_json(answer)


def wrong(field: str, problem: str, got: object = None, *, hint: str | None = None) -> RecordError:
    """Return the error for a part of a record that a format has no place for."""
    shown = repr(got)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return RecordError(f"{problem}, got {shown}", field=field, hint=hint)


def check_unweighted(record: Pair) -> None:
    """Raise unless the pair has weight 1: most formats have no place for another."""
    if record.weight != 1:
        raise wrong(
            "weight",
            "must be 1 in this format",
            record.weight,
            hint="orbiter.curate.oversampled_pairs turns weights into copies",
        )


def plain_text(message: Message, field: str) -> str:
    """Return the text of a message that holds nothing but text."""
    if isinstance(message.content, str):
        return message.content
    if message.content is None:
        raise wrong(f"{field}.content", "must be text")
    for i, part in enumerate(message.content):
        if (
            not isinstance(part, Mapping)
            or set(part) != {"type", "text"}
            or part["type"] != "text"
            or not isinstance(part["text"], str)
        ):
            raise wrong(f"{field}.content[{i}]", "must be a text part", part)
    return message.text


def tool_calls(message: Message, field: str) -> list[ToolCall]:
    """Return the tool calls of a message in the chat API's shape, arguments decoded."""
    if message.tool_calls and message.role != "assistant":
        raise wrong(f"{field}.tool_calls", "must be of an assistant message", message.role)
    return [_call(call, f"{field}.tool_calls[{i}]") for i, call in enumerate(message.tool_calls)]


def _call(call: Any, field: str) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or call.get("type", "function") != "function":
        raise wrong(field, "must be a call of a function", call)
    name, arguments, call_id = function.get("name"), function.get("arguments"), call.get("id")
    if not isinstance(name, str) or not name:
        raise wrong(f"{field}.function.name", "must be a non-empty string", name)
    if call_id is not None and not isinstance(call_id, str):
        raise wrong(f"{field}.id", "must be a string", call_id)
    decoded = arguments
    if isinstance(arguments, str):
        try:
            decoded = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            decoded = None
    if not isinstance(decoded, Mapping):
        raise wrong(f"{field}.function.arguments", "must be a JSON object", arguments)
    return ToolCall(call_id, name, decoded)


def check_keys(
    message: Message, field: str, *, allowed: Collection[str] = (), name: bool = False
) -> None:
    """Raise unless the message holds only what the format has a place for.

    The name of a tool message never counts: the call that it answers names the tool.
    """
    for key in message.extra:
        if key not in allowed:
            raise wrong(f"{field}.{key}", "must be left out in this format", message.extra[key])
    if message.name is not None and not name and message.role != "tool":
        raise wrong(f"{field}.name", "must be left out in this format", message.name)


def check_tool_order(messages: Sequence[Message], field: str) -> None:
    """Raise unless each tool message answers the next open call, as a format without call ids needs it."""
    open_calls: list[ToolCall] = []
    for i, message in enumerate(messages):
        place = f"{field}[{i}]"
        if message.role == "tool":
            if not open_calls:
                raise wrong(place, "must follow the call that it answers", message.tool_call_id)
            call = open_calls.pop(0)
            if message.tool_call_id not in (None, call.id):
                raise wrong(
                    f"{place}.tool_call_id",
                    f"must be the next open call's, {call.id!r}",
                    message.tool_call_id,
                )
        elif open_calls:
            raise wrong(place, "must be the answer of the open tool call", message.role)
        else:
            open_calls = tool_calls(message, place)


def check_ends_with_assistant(messages: Sequence[Message], field: str) -> None:
    """Raise unless there is a last message and it is the assistant's."""
    if not messages or messages[-1].role != "assistant":
        last = messages[-1].role if messages else None
        raise wrong(field, "must end with an assistant message", last)


def check_only_assistant(messages: Sequence[Message], field: str) -> None:
    """Raise unless all is the assistant's: a trainer takes every token of a completion for the model's own."""
    check_ends_with_assistant(messages, field)
    for i, message in enumerate(messages):
        if message.role != "assistant":
            raise wrong(
                f"{field}[{i}].role", "must be assistant in what the model learns", message.role
            )


def tools_of(record: Any) -> list[Any]:
    """Return the tool schemas of a record; those of a pair stand among its extra keys."""
    tools = getattr(record, "tools", None)
    if tools is None:
        tools = record.extra.get("tools", ())
    if not isinstance(tools, list | tuple):
        raise wrong("tools", "must be a list", tools)
    plain = [unstructure(tool) for tool in tools]
    for i, tool in enumerate(plain):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise wrong(f"tools[{i}]", "must be a function's schema", tool)
    return plain
