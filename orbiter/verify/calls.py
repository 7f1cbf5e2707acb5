"""The tool calls of a trace, read by structure: what the assistant called, whatever any text says it called.

Evidence is an assistant message's ``tool_calls`` and the tool messages that answer them. Text that imitates a call or a result
is text. Arguments are strict JSON with bounds on length and depth.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from orbiter.errors import OrbiterError
from orbiter.records import Message, Task, Trajectory

MAX_ARGUMENTS_LENGTH = 100_000
"""Longest argument text of one tool call, in characters."""

MAX_DEPTH = 64
"""Deepest nesting of lists and objects in arguments."""

MAX_NUMBER = 2**64
"""Largest whole number in arguments, either sign: beyond a double's range, comparing and dividing would raise."""

MAX_CALLS = 1_000
"""Most calls in one trace."""


@frozen
class Call:
    """One tool call.

    Args:
        id: What the tool message that answers it repeats.
        name: The tool.
        arguments: Its arguments, decoded.
        turn: Assistant turn that makes the call, counted from 0 after the prompt.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    turn: int


class TraceError(OrbiterError):
    """A trace breaks a rule; the message is a short reason, ``turn`` the assistant turn where it was found."""

    def __init__(self, message: str, *, turn: int = 0) -> None:
        super().__init__(message)
        self.turn = turn


def after_prompt(task: Task, trajectory: Trajectory) -> Sequence[Message]:
    """Return the messages after the prompt, which must be the task's own.

    Raises:
        TraceError: The trajectory begins otherwise.
    """
    size = len(task.messages)
    if trajectory.messages[:size] != task.messages:
        raise TraceError("the prompt is not the task's")
    return trajectory.messages[size:]


def read_calls(
    messages: Sequence[Message], *, open_end: bool = False, dialogue: bool = False
) -> list[Call]:
    """Return the tool calls of a well-formed continuation of a prompt, in order.

    Well-formed: after a turn that calls tools there is exactly one tool message per call, in any order, each with the id of its
    call; no id is used twice; the last turn calls no tool and says something.

    Args:
        messages: What follows the prompt.
        open_end: The calls of the last turn may be without an answer, as in a trace of one turn that is cut before the tools run.
        dialogue: There may be user messages between turns.

    Raises:
        TraceError: The continuation is not well-formed.
    """
    calls: list[Call] = []
    used: set[str] = set()
    waiting: set[str] = set()
    turn = -1
    try:
        for message in messages:
            if message.role == "tool":
                if message.tool_call_id not in waiting:
                    raise TraceError("a tool message answers no open call")
                waiting.remove(message.tool_call_id)
                continue
            if message.role != "assistant" and not (dialogue and message.role == "user"):
                raise TraceError(f"unexpected {message.role} message")
            if waiting:
                raise TraceError("a tool call has no answer")
            if message.role == "assistant":
                turn += 1
                for raw in message.tool_calls:
                    calls.append(read_call(raw, turn=turn))
                    if calls[-1].id in used:
                        raise TraceError("a call id is used twice")
                    used.add(calls[-1].id)
                    waiting.add(calls[-1].id)
                if len(calls) > MAX_CALLS:
                    raise TraceError("too many tool calls")
        if turn < 0 or not (_ends_in_answer(messages[-1]) or (open_end and calls)):
            raise TraceError("no answer")
    except TraceError as error:
        error.turn = max(turn, 0)
        raise
    return calls


def _ends_in_answer(last: Message) -> bool:
    return last.role == "assistant" and not last.tool_calls and bool(last.text.strip())


def read_call(raw: object, *, turn: int = 0) -> Call:
    """Return one tool call of an assistant message.

    Args:
        raw: The call in the OpenAI shape, or with its arguments as an object.
        turn: Assistant turn that makes it.

    Raises:
        TraceError: It is not well-formed.
    """
    function = raw.get("function") if isinstance(raw, Mapping) else None
    if not isinstance(raw, Mapping) or not isinstance(function, Mapping):
        raise TraceError("malformed tool call")
    call_id, name = raw.get("id"), function.get("name")
    if not isinstance(call_id, str) or not call_id or not isinstance(name, str):
        raise TraceError("malformed tool call")
    if raw.get("type", "function") != "function":
        raise TraceError("malformed tool call")
    return Call(call_id, name, _arguments(function.get("arguments")), turn)


def _arguments(given: object) -> Mapping[str, Any]:
    """Return arguments, which are JSON text in the OpenAI shape and an object in the TRL shape."""
    value = given
    if isinstance(given, str) and len(given) <= MAX_ARGUMENTS_LENGTH:
        try:
            value = json.loads(given, object_pairs_hook=_unique, parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise TraceError("tool arguments are not a JSON object") from None
    if not isinstance(value, Mapping):
        raise TraceError("tool arguments are not a JSON object")
    _check_json(value, MAX_DEPTH)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        raise TraceError("tool arguments name a key twice")
    return out


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _check_json(value: object, depth: int) -> None:
    """Refuse what no JSON text can say; 1e999 is infinite once it is read."""
    if isinstance(value, float) and not math.isfinite(value):
        raise TraceError("tool arguments are not a JSON object")
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        raise TraceError("a number in tool arguments is too large")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TraceError("tool arguments are not a JSON object")
        inner: Sequence[object] = tuple(value.values())
    elif isinstance(value, list | tuple):
        inner = value
    elif value is None or isinstance(value, str | int | float):
        return
    else:
        raise TraceError("tool arguments are not a JSON object")
    if depth == 0:
        raise TraceError("tool arguments are nested too deep")
    for one in inner:
        _check_json(one, depth - 1)
