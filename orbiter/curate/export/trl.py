"""TRL's dataset types in conversational form: https://huggingface.co/docs/trl/dataset_formats.

Arguments of tool calls are objects, as chat templates want them; tool schemas are one JSON text per row, which TRL decodes and
which keeps their keys apart from row to row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orbiter.convert import unstructure
from orbiter.curate.export.chat import (
    answer_text,
    check_ends_with_assistant,
    check_only_assistant,
    to_json,
    tool_calls,
    tools_of,
    wrong,
)
from orbiter.curate.export.exporter import Exporter
from orbiter.curate.pairs import UnpairedPreference
from orbiter.curate.response import response
from orbiter.records import Message, Outcome, Pair, Task, Trajectory


class TrlSft(Exporter):
    """Writes ``messages`` (and ``tools``) for SFTTrainer; train with ``assistant_only_loss=True``."""

    name, takes = "trl-sft", (Trajectory,)

    def row(self, record: Trajectory, *, index: int) -> dict[str, Any]:  # noqa: ARG002
        """Return ``{"messages", "tools"?}``."""
        check_ends_with_assistant(record.messages, "messages")
        return {"messages": _chat(record.messages, "messages")} | _tools(record)


class TrlPromptCompletion(Exporter):
    """Writes ``prompt`` and ``completion`` for SFTTrainer, which takes its loss on the completion alone."""

    name, takes = "trl-prompt-completion", (Trajectory,)

    def row(self, record: Trajectory, *, index: int) -> dict[str, Any]:  # noqa: ARG002
        """Return ``{"prompt", "completion", "tools"?}``; refuses several turns, which need trl-sft."""
        completion = response(record)
        check_only_assistant(completion, "messages")
        return {
            "prompt": _prompt(record.prompt),
            "completion": _chat(completion, "messages"),
        } | _tools(record)


class TrlPreference(Exporter):
    """Writes ``prompt``, ``chosen``, ``rejected`` and ``weight`` for DPOTrainer, RewardTrainer and their kin.

    TRL's own trainers drop the column ``weight``; see :func:`orbiter.curate.oversampled_pairs` for those. The pair's margin is not
    written: RewardTrainer would take it for the lead that the chosen reward must have.
    """

    name, takes = "trl-preference", (Pair,)

    def row(self, record: Pair, *, index: int) -> dict[str, Any]:  # noqa: ARG002
        """Return ``{"prompt", "chosen", "rejected", "weight", "tools"?}``."""
        check_only_assistant(record.chosen, "chosen")
        check_only_assistant(record.rejected, "rejected")
        return {
            "prompt": _prompt(record.prompt),
            "chosen": _chat(record.chosen, "chosen"),
            "rejected": _chat(record.rejected, "rejected"),
            "weight": float(record.weight),
        } | _tools(record)


class TrlUnpaired(Exporter):
    """Writes ``prompt``, ``completion`` and ``label`` for KTOTrainer."""

    name, takes = "trl-unpaired", (UnpairedPreference, Trajectory)

    def row(self, record: UnpairedPreference | Trajectory, *, index: int) -> dict[str, Any]:  # noqa: ARG002
        """Return ``{"prompt", "completion", "label", "tools"?}``; a trajectory's label is its verdict."""
        if isinstance(record, Trajectory):
            completion, label = response(record), _label(record)
        else:
            completion, label = record.completion, record.label
        check_only_assistant(completion, "completion")
        return {
            "prompt": _prompt(record.prompt),
            "completion": _chat(completion, "completion"),
            "label": label,
        } | _tools(record)


class TrlPromptOnly(Exporter):
    """Writes ``prompt`` for GRPOTrainer and RLOOTrainer.

    The columns ``answer``, ``env`` and ``task_id`` reach the reward functions as keyword arguments; an answer that is not text is
    given as JSON text.
    """

    name, takes = "trl-prompt-only", (Task,)

    def row(self, record: Task, *, index: int) -> dict[str, Any]:  # noqa: ARG002
        """Return ``{"prompt", "answer", "env", "task_id", "tools"?}``."""
        return {
            "prompt": _prompt(record.messages),
            "answer": answer_text(record.answer),
            "env": record.env,
            "task_id": record.task_id,
        } | _tools(record)


def _label(record: Trajectory) -> bool:
    verdict = record.verdict
    if verdict is None or verdict.outcome is Outcome.INVALID:
        raise wrong("verdict", "must be pass or fail", verdict and verdict.outcome.value)
    return verdict.outcome is Outcome.PASS


def _prompt(messages: Sequence[Message]) -> list[dict[str, Any]]:
    # TRL's chat templating raises on a prompt that ends with a system message.
    if not messages or messages[-1].role not in ("user", "tool"):
        last = messages[-1].role if messages else None
        raise wrong("prompt", "must end with a user or tool message", last)
    return _chat(messages, "prompt")


def _chat(messages: Sequence[Message], field: str) -> list[dict[str, Any]]:
    return [_message(message, f"{field}[{i}]") for i, message in enumerate(messages)]


def _message(message: Message, field: str) -> dict[str, Any]:
    if message.content is None and not message.tool_calls:
        raise wrong(f"{field}.content", "must be text unless there are tool calls")
    row: dict[str, Any] = unstructure(message)
    if calls := tool_calls(message, field):
        row["tool_calls"] = [
            _call_row(raw, call.name, call.arguments) for raw, call in zip(row["tool_calls"], calls)
        ]
    return row


def _call_row(raw: dict[str, Any], name: str, arguments: Any) -> dict[str, Any]:
    return {**raw, "type": "function", "function": {"name": name, "arguments": dict(arguments)}}


def _tools(record: Any) -> dict[str, Any]:
    tools = tools_of(record)
    return {"tools": to_json(tools)} if tools else {}
