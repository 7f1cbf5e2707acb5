"""ShareGPT conversations, and the same with LLaMA-Factory's dataset_info.json beside them.

Format: https://llamafactory.readthedocs.io/en/latest/getting_started/data_preparation.html. Turns alternate: ``human`` or
``observation``, then ``gpt`` or ``function_call``. The value of a function call is JSON: one call, or a list of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from orbiter import jsonl
from orbiter.curate.export.chat import (
    check_ends_with_assistant,
    check_keys,
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
from orbiter.errors import ConfigError
from orbiter.records import Message, Pair, Trajectory

TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
"""LLaMA-Factory's names for the parts of a turn; they are its defaults."""


class ShareGpt(Exporter):
    """Writes ``conversations`` with ``system`` and ``tools``; pairs add ``chosen`` and ``rejected``, labels ``kto_tag``."""

    name, takes = "sharegpt", (Trajectory, Pair, UnpairedPreference)

    def row(self, record: Any, *, index: int) -> dict[str, Any]:  # noqa: ARG002
        """Return the row; every row of a file has the same keys."""
        if isinstance(record, Pair):
            check_unweighted(record)
            messages: Sequence[Message] = record.prompt
        elif isinstance(record, UnpairedPreference):
            messages = (*record.prompt, *record.completion)
        else:
            messages = record.messages
        system = ""
        first = 0
        if messages and messages[0].role == "system":
            check_keys(messages[0], "messages[0]")
            system, first = plain_text(messages[0], "messages[0]"), 1
        check_tool_order(messages, "messages")
        turns = _alternating(messages, first)
        tools = tools_of(record)
        row: dict[str, Any] = {
            "conversations": turns,
            "system": system,
            "tools": to_json(tools) if tools else "",
        }
        if isinstance(record, Pair):
            if len(turns) % 2 == 0:
                raise wrong("prompt", "must end with a user or tool message", messages[-1:])
            row["chosen"] = _answer(record.chosen, "chosen")
            row["rejected"] = _answer(record.rejected, "rejected")
        else:
            check_ends_with_assistant(messages, "messages")
        if isinstance(record, UnpairedPreference):
            row["kto_tag"] = record.label
        return row


class LlamaFactory(ShareGpt):
    """Writes ShareGPT rows, and describes the file in the dataset_info.json beside it.

    Args:
        dataset_name: Name of the dataset in dataset_info.json; default: the file's name without its ending. Other entries stay.
        skip_unfit: See :class:`Exporter`.
    """

    name = "llama-factory"

    def __init__(self, *, dataset_name: str | None = None, skip_unfit: bool = False) -> None:
        super().__init__(skip_unfit=skip_unfit)
        self.dataset_name = dataset_name

    def save(self, rows: Iterator[dict[str, Any]], path: Path) -> tuple[int, tuple[Path, ...]]:
        """Write the rows and the entry."""
        info_path = path.parent / "dataset_info.json"
        info = _read_info(info_path)
        keys: set[str] = set()

        def watched() -> Iterator[dict[str, Any]]:
            for row in rows:
                keys.update(row)
                yield row

        count = jsonl.write(path, watched())
        info[self.dataset_name or path.stem] = _entry(path.name, keys)
        with jsonl.replace_file(info_path) as file:
            file.write(orjson.dumps(info, option=orjson.OPT_INDENT_2) + b"\n")
        return count, (path, info_path)


def _entry(file_name: str, keys: set[str]) -> dict[str, Any]:
    columns = {"messages": "conversations", "system": "system", "tools": "tools"}
    entry: dict[str, Any] = {"file_name": file_name, "formatting": "sharegpt"}
    if "chosen" in keys:
        entry["ranking"] = True
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    if "kto_tag" in keys:
        columns |= {"kto_tag": "kto_tag"}
    return entry | {"columns": columns, "tags": TAGS}


def _read_info(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        info = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} must be JSON, got an error: {error}") from None
    if not isinstance(info, dict):
        raise ConfigError(f"{path} must hold an object, got {type(info).__name__}")
    return info


def _alternating(messages: Sequence[Message], first: int) -> list[dict[str, str]]:
    turns: list[dict[str, str]] = []
    for i in range(first, len(messages)):
        turn = _turn(messages[i], f"messages[{i}]")
        theirs = turn["from"] in ("human", "observation")
        if theirs != (len(turns) % 2 == 0):
            raise wrong(
                f"messages[{i}].role",
                "must alternate between user or tool and assistant",
                messages[i].role,
                hint="several answers in a row, as to parallel tool calls, have no form in ShareGPT",
            )
        turns.append(turn)
    return turns


def _answer(messages: Sequence[Message], field: str) -> dict[str, str]:
    if len(messages) != 1 or messages[0].role != "assistant":
        roles = [message.role for message in messages]
        raise wrong(field, "must be one assistant message", roles)
    return _turn(messages[0], f"{field}[0]")


def _turn(message: Message, field: str) -> dict[str, str]:
    check_keys(message, field)
    if message.role in ("system", "developer"):
        raise wrong(f"{field}.role", "must be system only at the start", message.role)
    calls = tool_calls(message, field)
    if calls:
        if message.text:
            raise wrong(f"{field}.content", "must be empty beside tool calls", message.content)
        value = (
            calls[0].to_json()
            if len(calls) == 1
            else "[" + ",".join(call.to_json() for call in calls) + "]"
        )
        return {"from": "function_call", "value": value}
    speaker = {"user": "human", "assistant": "gpt", "tool": "observation"}[message.role]
    return {"from": speaker, "value": plain_text(message, field)}
