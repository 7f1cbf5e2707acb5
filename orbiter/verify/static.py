"""The static trace verifier: a tool-using trajectory to a terminal score, by its structure and its final answer."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema
import orjson
from attrs import field, frozen
from referencing import Registry

from orbiter.convert import structure
from orbiter.errors import ConfigError, OrbiterError, RecordError
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.tasks.component import Spec, make_component
from orbiter.verify.verifier import Verifier, judge, version_of

MAX_ARGUMENTS_LENGTH = 100_000
"""Longest argument text of one tool call, in characters."""


@frozen(kw_only=True)
class RequiredCall:
    """A tool call that must occur: the tool, and the arguments that it must have at least."""

    name: str
    arguments: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class TraceRules:
    """What a task demands of a trace; ``task.metadata["trace"]`` holds it as plain data.

    Args:
        required: Calls that must occur, each matched by a call of its own.
        forbidden: Tools that must not be called.
        max_calls: Most tool calls in all, so that a right one cannot be hit by trying everything.
    """

    required: tuple[RequiredCall, ...] = ()
    forbidden: tuple[str, ...] = ()
    max_calls: int | None = None


@frozen
class _Call:
    id: str
    name: str
    arguments: dict[str, Any]


class _Broken(OrbiterError):
    """The trace breaks a rule; the message is the reason of the verdict."""


class StaticTraceVerifier(Verifier):
    """Judge a trace by what stands in it, without running anything.

    A trace passes when all of this holds; the first that does not is the reason of the failure:

    1. It begins with the task's prompt, unchanged.
    2. After the prompt it holds assistant turns and, after a turn that calls tools, exactly one tool message per call. It ends
       with an assistant turn that calls none.
    3. Every call has an id of its own, names a tool of the *task* and gives arguments, strict JSON, that fit the tool's schema.
       An argument that the schema does not list is refused unless the schema allows it by ``additionalProperties``.
    4. The rules of the task hold: required calls, forbidden tools, number of calls.
    5. Another verifier passes the final answer.

    What a trace says of its own success (a score, a verdict, metadata, unknown keys) is never read. A task that demands nothing
    that could be checked, or demands it wrongly, makes the verdict invalid.

    Args:
        answer: The verifier of the final answer, its name, or its name with options beside it; None to check none, which the
            task must make up for with required calls.
        rules: Rules for every task, as TraceRules or its plain data; those of the task come on top.
    """

    name = "static"

    def __init__(
        self,
        *,
        answer: Verifier | Spec | None = "exact",
        rules: TraceRules | Mapping[str, Any] | None = None,
    ) -> None:
        self.answer = None if answer is None else make_component("verifier", answer, Verifier)  # type: ignore[type-abstract]
        try:
            self.rules = structure(rules or {}, TraceRules)
        except RecordError as error:
            raise ConfigError(f"rules of a static verifier: {error}") from None
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the terminal verdict on a trace."""
        try:
            rules = [self.rules, structure(task.metadata.get("trace", {}), TraceRules)]
            tools = _tools(task)
        except RecordError as error:
            return Verdict.invalid(f"task has malformed rules: {error}")
        if self.answer is None and not any(r.required for r in rules):
            return Verdict.invalid("task has neither a required call nor an answer to be checked")
        try:
            calls = list(_calls(_after_prompt(task, trajectory)))
            for call in calls:
                _check_schema(call, tools)
            for one in rules:
                _check_rules(calls, one)
        except _Broken as error:
            return Verdict.failed(error.message)
        details = {"calls": len(calls)}
        if self.answer is None:
            return Verdict.passed(details=details)
        verdict = judge(self.answer, task, trajectory)
        reason = "" if verdict.outcome is Outcome.PASS else f"{verdict.verifier}: {verdict.reason}"
        return Verdict(verdict.outcome, verdict.score, reason, details=details)


def _tools(task: Task) -> dict[str, Any]:
    """Return the argument schemas of the task's tools by name."""
    schemas: dict[str, Any] = {}
    for place, tool in enumerate(task.tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name, str) or name in schemas:
            raise RecordError("must be a function with a name of its own", field=f"tools[{place}]")
        schema = function.get("parameters") or {"type": "object", "properties": {}}
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise RecordError(
                f"must be a JSON schema: {error.message}",
                field=f"tools[{place}].function.parameters",
            ) from None
        schemas[name] = schema
    return schemas


def _after_prompt(task: Task, trajectory: Trajectory) -> Sequence[Message]:
    """Return the messages after the prompt, which must be the task's own."""
    size = len(task.messages)
    if trajectory.messages[:size] != task.messages:
        raise _Broken("the prompt is not the task's")
    return trajectory.messages[size:]


def _calls(messages: Sequence[Message]) -> Iterator[_Call]:
    """Yield the tool calls of a well-formed continuation, in order."""
    used: set[str] = set()
    open_calls: set[str] = set()
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise _Broken("a tool message answers no open call")
            open_calls.remove(message.tool_call_id)
        elif message.role != "assistant":
            raise _Broken(f"unexpected {message.role} message")
        elif open_calls:
            raise _Broken("a tool call has no answer")
        else:
            for raw in message.tool_calls:
                call = _call(raw)
                if call.id in used:
                    raise _Broken("a call id is used twice")
                used.add(call.id)
                open_calls.add(call.id)
                yield call
    last = messages[-1] if messages else None
    if last is None or last.role != "assistant" or last.tool_calls:
        raise _Broken("no answer")


def _call(raw: object) -> _Call:
    function = raw.get("function") if isinstance(raw, Mapping) else None
    if not isinstance(raw, Mapping) or not isinstance(function, Mapping):
        raise _Broken("malformed tool call")
    call_id, name = raw.get("id"), function.get("name")
    if not isinstance(call_id, str) or not call_id or not isinstance(name, str):
        raise _Broken("malformed tool call")
    return _Call(call_id, name, _arguments(function.get("arguments")))


def _arguments(given: object) -> dict[str, Any]:
    """Return arguments, which are JSON text in the OpenAI shape and an object in the TRL shape."""
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, str) or len(given) > MAX_ARGUMENTS_LENGTH:
        raise _Broken("tool arguments are not a JSON object")
    try:
        value = json.loads(given, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise _Broken("tool arguments are not a JSON object") from None
    if not isinstance(value, dict):
        raise _Broken("tool arguments are not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        raise _Broken("tool arguments name a key twice")
    return out


def _refuse(constant: str) -> float:
    raise ValueError(constant)


@functools.lru_cache(maxsize=256)
def _validator(schema: bytes) -> jsonschema.Draft202012Validator:
    # The empty registry keeps a $ref from being fetched from the network.
    return jsonschema.Draft202012Validator(orjson.loads(schema), registry=Registry())


def _check_schema(call: _Call, tools: Mapping[str, Any]) -> None:
    if call.name not in tools:
        raise _Broken("calls an unknown tool")
    schema = tools[call.name]
    unlisted = call.arguments.keys() - schema.get("properties", {}).keys()
    if unlisted and not schema.get("additionalProperties"):
        raise _Broken("tool arguments break the schema")
    if not _validator(orjson.dumps(schema)).is_valid(call.arguments):
        raise _Broken("tool arguments break the schema")


def _check_rules(calls: Sequence[_Call], rules: TraceRules) -> None:
    if any(call.name in rules.forbidden for call in calls):
        raise _Broken("calls a forbidden tool")
    if rules.max_calls is not None and len(calls) > rules.max_calls:
        raise _Broken("too many tool calls")
    if not _covers(list(calls), list(rules.required)):
        raise _Broken("a required call is missing")


def _covers(calls: list[_Call], required: list[RequiredCall]) -> bool:
    """Return whether each required call can be given a call of its own (bipartite matching by augmenting paths)."""
    taken: dict[int, int] = {}

    def place(need: int, tried: set[int]) -> bool:
        for i, call in enumerate(calls):
            if i in tried or not _meets(call, required[need]):
                continue
            tried.add(i)
            if i not in taken or place(taken[i], tried):
                taken[i] = need
                return True
        return False

    return all(place(need, set()) for need in range(len(required)))


def _meets(call: _Call, required: RequiredCall) -> bool:
    return call.name == required.name and all(
        key in call.arguments and _same(call.arguments[key], value)
        for key, value in required.arguments.items()
    )


def _same(a: object, b: object) -> bool:
    """Return whether two JSON values are equal; unlike Python, 1 and true are not."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b and math.isfinite(a)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b))
    return type(a) is type(b) and a == b
