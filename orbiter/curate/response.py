"""What a policy answered, told apart from what it was asked, and when two answers are the same one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from orbiter.convert import unstructure
from orbiter.records import Message, Trajectory


def group_key(row: Trajectory) -> tuple[str, str]:
    """Return (env, task_id): the task that the row is an attempt at."""
    return row.env, row.task_id


def grouped(rows: Iterable[Trajectory]) -> dict[tuple[str, str], list[int]]:
    """Return the positions of the rows of each task, tasks and positions in order of arrival."""
    groups: dict[tuple[str, str], list[int]] = {}
    for position, row in enumerate(rows):
        groups.setdefault(group_key(row), []).append(position)
    return groups


def response(row: Trajectory) -> tuple[Message, ...]:
    """Return the messages after the prompt: what the policy wrote, and what it was answered."""
    return row.messages[len(row.prompt) :]


def response_key(row: Trajectory) -> bytes:
    """Return a key that two rows share if and only if they give the same answer.

    White space around a text does not count, nor do the ids of tool calls, which servers draw at random: the n-th call is
    call n. All else counts, white space inside a text too, since it is meaning in code.
    """
    numbers: dict[str, int] = {}
    turns = [_turn(message, numbers) for message in response(row)]
    return orjson.dumps(turns, option=orjson.OPT_SORT_KEYS)


def is_truncated(row: Trajectory) -> bool:
    """Return whether the bound on tokens cut the answer off: ``extra["finish_reason"]`` is ``length``."""
    return row.extra.get("finish_reason") == "length"


def _turn(message: Message, numbers: dict[str, int]) -> Any:
    calls = []
    for call in message.tool_calls:
        if isinstance(call, dict) and "id" in call:
            numbers.setdefault(str(call["id"]), len(numbers))
            call = {**call, "id": numbers[str(call["id"])]}
        calls.append(call)
    content = message.content.strip() if isinstance(message.content, str) else message.content
    answers = numbers.get(message.tool_call_id or "", message.tool_call_id)
    return [
        message.role, content or "", calls, answers, message.name,
        unstructure(message.extra) if message.extra else {},
    ]  # fmt: skip
