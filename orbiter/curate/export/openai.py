"""OpenAI's fine-tuning files: chat rows, and preference rows for pairs.

Rules: https://platform.openai.com/docs/guides/supervised-fine-tuning and .../direct-preference-optimization. What the service
would refuse is refused here, row by row.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orbiter.convert import unstructure
from orbiter.curate.export.chat import (
    ToolCall,
    check_ends_with_assistant,
    check_keys,
    check_unweighted,
    plain_text,
    to_json,
    tool_calls,
    tools_of,
    wrong,
)
from orbiter.curate.export.exporter import Exporter
from orbiter.errors import OrbiterWarning
from orbiter.records import Message, Pair, Trajectory

MIN_ROWS = 10
"""The service refuses a file with fewer examples."""

ROLES = ("system", "user", "assistant", "tool")

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class OpenAI(Exporter):
    """Writes chat rows (trajectories) for supervised fine-tuning, or preference rows (pairs) for DPO."""

    name, takes = "openai", (Trajectory, Pair)

    def row(self, record: Trajectory | Pair, *, index: int) -> dict[str, Any]:  # noqa: ARG002
        """Return ``{"messages", "tools"?}``, or ``{"input", "preferred_output", "non_preferred_output"}``."""
        tools = tools_of(record)
        names = _check_tools(tools)
        extra = {"tools": tools} if tools else {}
        if isinstance(record, Trajectory):
            check_ends_with_assistant(record.messages, "messages")
            return {"messages": _chat(record.messages, "messages", names)} | extra
        check_unweighted(record)
        return {
            "input": {"messages": _chat(record.prompt, "prompt", names)} | extra,
            "preferred_output": _one_answer(record.chosen, "chosen", names),
            "non_preferred_output": _one_answer(record.rejected, "rejected", names),
        }

    def save(self, rows: Iterator[dict[str, Any]], path: Path) -> tuple[int, tuple[Path, ...]]:
        """Write JSONL; warn if the service would refuse the file for its size."""
        count, files = super().save(rows, path)
        if count < MIN_ROWS:
            warnings.warn(
                f"{path} has {count} rows; OpenAI needs at least {MIN_ROWS}",
                OrbiterWarning,
                stacklevel=3,
            )
        return count, files


def _check_tools(tools: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the names of the tools."""
    for i, tool in enumerate(tools):
        if tool.get("type") != "function":
            raise wrong(f"tools[{i}].type", "must be 'function'", tool.get("type"))
        name = tool["function"]["name"]
        if not _NAME.fullmatch(name):
            raise wrong(f"tools[{i}].function.name", "must be 1-64 of a-z A-Z 0-9 _ -", name)
    return {tool["function"]["name"] for tool in tools}


def _one_answer(messages: Sequence[Message], field: str, names: set[str]) -> list[dict[str, Any]]:
    if len(messages) != 1 or messages[0].role != "assistant":
        roles = [message.role for message in messages]
        raise wrong(field, "must be one assistant message", roles)
    return _chat(messages, field, names)


def _chat(messages: Sequence[Message], field: str, names: set[str]) -> list[dict[str, Any]]:
    if not messages:
        raise wrong(field, "must hold at least one message")
    rows: list[dict[str, Any]] = []
    open_calls: set[str] = set()
    for i, message in enumerate(messages):
        place = f"{field}[{i}]"
        if message.role not in ROLES:
            raise wrong(f"{place}.role", f"must be one of {', '.join(ROLES)}", message.role)
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                raise wrong(f"{place}.tool_call_id", "must name an open call", message.tool_call_id)
            open_calls.discard(message.tool_call_id)
        elif open_calls:
            raise wrong(place, "must be the answer to a tool call", message.role)
        calls = tool_calls(message, place)
        open_calls |= _check_calls(calls, place, names)
        rows.append(_message(message, calls, place))
    return rows


def _check_calls(calls: Sequence[ToolCall], field: str, names: set[str]) -> set[str]:
    """Return the ids of the calls."""
    ids: set[str] = set()
    for i, call in enumerate(calls):
        if not call.id or call.id in ids:
            raise wrong(f"{field}.tool_calls[{i}].id", "must be given and differ", call.id)
        if call.name not in names:
            raise wrong(f"{field}.tool_calls[{i}].function.name", "must be in tools", call.name)
        ids.add(call.id)
    return ids


def _message(message: Message, calls: Sequence[ToolCall], field: str) -> dict[str, Any]:
    allowed = ("weight",) if message.role == "assistant" else ()
    check_keys(message, field, allowed=allowed, name=True)
    row: dict[str, Any] = {"role": message.role}
    if not calls or message.content is not None:
        row["content"] = _content(message, field)
    if calls:
        row["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": to_json(call.arguments)},
            }
            for call in calls
        ]
    if message.role == "tool":
        row["tool_call_id"] = message.tool_call_id
    elif message.name is not None:
        row["name"] = message.name
    if "weight" in message.extra:
        weight = message.extra["weight"]
        if isinstance(weight, bool) or weight not in (0, 1):
            raise wrong(f"{field}.weight", "must be 0 or 1", weight)
        row["weight"] = weight
    return row


def _content(message: Message, field: str) -> Any:
    if message.role != "user" or not isinstance(message.content, list):
        return plain_text(message, field)
    for i, part in enumerate(message.content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in ("text", "image_url") or kind not in part:
            raise wrong(f"{field}.content[{i}]", "must be a text or image_url part", part)
    return unstructure(message.content)
