"""The standard format of ms-swift: https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html.

A tool call is a message of its own with the role ``tool_call``, its answer one with the role ``tool_response``; the tools are one
JSON text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orbiter.curate.export.chat import (
    answer_text,
    check_ends_with_assistant,
    check_keys,
    check_only_assistant,
    check_tool_order,
    check_unweighted,
    plain_text,
    to_json,
    tool_calls,
    tools_of,
    wrong,
)
from orbiter.curate.export.exporter import Exporter
from orbiter.curate.pairs import UnpairedPreference
from orbiter.records import Message, Pair, Task, Trajectory


class MsSwift(Exporter):
    """Writes rows for ``swift sft``, ``swift rlhf`` (pairs: DPO and its kin; labels: KTO) and GRPO (tasks)."""

    name, takes = "ms-swift", (Trajectory, Pair, UnpairedPreference, Task)

    def row(self, record: Any, *, index: int) -> dict[str, Any]:  # noqa: ARG002
        """Return the row: ``messages``, and what the kind of record adds to it."""
        tools = tools_of(record)
        row = self._row(record)
        return row | {"tools": to_json(tools)} if tools else row

    def _row(self, record: Any) -> dict[str, Any]:
        if isinstance(record, Pair):
            check_unweighted(record)
            check_only_assistant(record.rejected, "rejected")
            if len(record.rejected) != 1 or record.rejected[0].tool_calls:
                raise wrong("rejected", "must be one message of text", len(record.rejected))
            check_keys(record.rejected[0], "rejected[0]")
            messages = _answered(record.prompt, record.chosen, "chosen")
            rejected = plain_text(record.rejected[0], "rejected[0]")
            return {"messages": messages, "rejected_response": rejected}
        if isinstance(record, UnpairedPreference):
            messages = _answered(record.prompt, record.completion, "completion")
            return {"messages": messages, "label": record.label}
        if isinstance(record, Task):
            return {
                "messages": _chat(record.messages),
                "solution": answer_text(record.answer),
            }
        check_ends_with_assistant(record.messages, "messages")
        return {"messages": _chat(record.messages)}


def _answered(
    prompt: Sequence[Message], answer: Sequence[Message], field: str
) -> list[dict[str, str]]:
    check_ends_with_assistant(answer, field)
    return _chat((*prompt, *answer))


def _chat(messages: Sequence[Message]) -> list[dict[str, str]]:
    check_tool_order(messages, "messages")
    rows: list[dict[str, str]] = []
    for i, message in enumerate(messages):
        field = f"messages[{i}]"
        check_keys(message, field, allowed=("loss",))
        if message.role == "developer" or (message.role == "system" and i > 0):
            raise wrong(f"{field}.role", "must be system only at the start", message.role)
        calls = tool_calls(message, field)
        if not calls or message.text:
            role = "tool_response" if message.role == "tool" else message.role
            rows.append({"role": role, "content": plain_text(message, field)} | dict(message.extra))
        rows += [{"role": "tool_call", "content": call.to_json()} for call in calls]
    return rows
