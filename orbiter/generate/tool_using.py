"""Tools in answers: a policy whose tool calls are carried out, turn by turn, until a turn calls none."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from attrs import define, field

from orbiter.checks import check_whole_number
from orbiter.errors import user_code
from orbiter.generate.policy import (
    Completion,
    Policy,
    Request,
    Sampling,
    WrappingPolicy,
    ask,
    taken_by,
)
from orbiter.records import Message, Task
from orbiter.tasks.streams import item_seed
from orbiter.tasks.toolbox import MakeToolbox, tools_of
from orbiter.verify.calls import TraceError, read_call

MAX_TURNS = 16
"""Turns of an answer, unless a recipe says otherwise."""


@define
class _Conversation:
    """An answer on its way: the request, its tools, and what has been said."""

    request: Request
    tools: Mapping[str, Callable[..., Any]]
    said: list[Message] = field(factory=list)
    call_count: int = 0
    turns: list[Completion] = field(factory=list)
    is_cut_off: bool = False
    is_open: bool = True


class ToolUsingPolicy(WrappingPolicy):
    """Answers as another policy does, and carries out the tool calls of each turn, until one calls none.

        ToolUsingPolicy(policy, environment.toolbox, task_of=lambda request: tasks[request.env, request.task_id])

    The completion holds all messages that follow the prompt, the results of the tools among them, so that a row of it teaches the
    assistant's turns. What a tool raises, and a call that cannot be made, is told to the model, which goes on. An answer is done after a
    turn that calls nothing. One that still calls tools in its last turn is cut off, as one that is too long is (``length``); the bound on
    tokens holds for each turn. Calls are numbered ``call-1``, ``call-2``, ..., whatever ids they came with, so that the same answer is the
    same row.

    Args:
        policy: What speaks.
        make_toolbox: Makes the tools of one answer; an environment's ``toolbox``.
        task_of: The task of a request, which its tools are reset to.
        max_turns: Assistant turns of an answer, >= 1.
    """

    def __init__(
        self,
        policy: Policy,
        make_toolbox: MakeToolbox,
        *,
        task_of: Callable[[Request], Task],
        max_turns: int = MAX_TURNS,
    ) -> None:
        super().__init__(policy, suffix="tools")
        self._make_toolbox, self._task_of = make_toolbox, task_of
        self.max_turns = check_whole_number("max_turns", max_turns, low=1)

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer each request, in as many turns as it takes."""
        conversations = [self._begin(request) for request in requests]
        for number in range(self.max_turns):
            going = [c for c in conversations if c.is_open]
            if not going:
                break
            turns = await ask(self.policy, [_next_request(c, number) for c in going], sampling)
            for conversation, turn in zip(going, turns):
                await _take(conversation, turn, is_last=number + 1 == self.max_turns)
        return [_completed(conversation) for conversation in conversations]

    def _begin(self, request: Request) -> _Conversation:
        toolbox = self._make_toolbox()
        with user_code(f"toolbox {type(toolbox).__name__!r}", "reset"):
            toolbox.reset(self._task_of(request))
        return _Conversation(request, tools_of(toolbox))


def _next_request(conversation: _Conversation, number: int) -> Request:
    """Return what is asked for the next turn; the first is asked as it would be without tools."""
    request = conversation.request
    if number == 0:
        return request
    return attrs.evolve(
        request,
        messages=(*request.messages, *conversation.said),
        seed=item_seed("turn", request.seed, number),
    )


async def _take(conversation: _Conversation, turn: Completion, *, is_last: bool) -> None:
    """Add a turn to a conversation, and what its calls gave."""
    conversation.turns.append(turn)
    conversation.is_open = False
    calls = turn.messages[0].tool_calls if len(turn.messages) == 1 else ()
    if not calls or not all(_is_call(call) for call in calls):
        conversation.said += turn.messages
        return
    numbered = []
    for call in calls:
        conversation.call_count += 1
        numbered.append({**call, "id": f"call-{conversation.call_count}"})
    conversation.said.append(attrs.evolve(turn.messages[0], tool_calls=tuple(numbered)))
    if turn.finish_reason != "stop" or is_last:
        conversation.is_cut_off = True
        return
    for call in numbered:
        shown = await call_tool(conversation.tools, call)
        conversation.said.append(
            Message("tool", shown, tool_call_id=call["id"], name=str(call["function"]["name"]))
        )
    conversation.is_open = True


def _is_call(call: object) -> bool:
    function = call.get("function") if isinstance(call, Mapping) else None
    return isinstance(function, Mapping) and isinstance(function.get("name"), str)


async def call_tool(tools: Mapping[str, Callable[..., Any]], call: Mapping[str, Any]) -> str:
    """Return what a model is shown of one of its tool calls: the result, or ``Error:`` and what is wrong.

    Args:
        tools: By name.
        call: In the OpenAI shape; its arguments may also be an object.
    """
    try:
        read = read_call(call)
    except TraceError as error:
        return f"Error: {error.message}"
    if read.name not in tools:
        return f"Error: there is no tool {read.name[:50]!r}; there are {', '.join(tools)}"
    tool = tools[read.name]
    signature = inspect.signature(tool)
    try:
        bound = signature.bind(**read.arguments)
    except TypeError:
        return f"Error: {read.name} takes {', '.join(signature.parameters) or 'no arguments'}"
    try:
        result = tool(*bound.args, **bound.kwargs)
        if inspect.isawaitable(result):
            result = await result
    except Exception as error:  # by the contract of a toolbox it is told to the model
        return f"Error: {type(error).__name__}: {error}"
    return str(result)


def _completed(conversation: _Conversation) -> Completion:
    turns = conversation.turns
    last = turns[-1]
    spent = {**taken_by(turns), "sample_count": last.sample_count}  # its turns are one answer
    if last.error is not None:
        number = 1 + sum(message.role == "assistant" for message in conversation.said)
        error = last.error if number == 1 else f"turn {number}: {last.error}"
        return attrs.evolve(Completion.failed(error), model=last.model, **spent)
    return attrs.evolve(
        last,
        messages=tuple(conversation.said),
        finish_reason="length" if conversation.is_cut_off else last.finish_reason,
        prompt_token_count=turns[0].prompt_token_count,
        **spent,
    )
