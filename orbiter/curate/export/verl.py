"""verl's parquet files: RL rows for tasks, chat rows for trajectories.

Columns: https://verl.readthedocs.io/en/latest/preparation/prepare_data.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbiter import jsonl
from orbiter.curate.export.chat import (
    answer_text,
    check_ends_with_assistant,
    check_keys,
    plain_text,
    tool_calls,
    tools_of,
    wrong,
)
from orbiter.curate.export.exporter import Exporter
from orbiter.errors import MissingPluginError
from orbiter.records import Message, Task, Trajectory

if TYPE_CHECKING:
    from types import ModuleType

ROWS_PER_GROUP = 10_000
"""Rows that are held in memory at once."""


class Verl(Exporter):
    """Writes parquet: tasks for verl's RL trainers, trajectories for its SFT trainer.

    A reward function gets ``reward_model["ground_truth"]``: the answer if it is text, else as JSON text, or None without one.

    Args:
        split: Written into ``extra_info``.
        ability: Kind of skill; default: the task's ``metadata["ability"]``, else its env.
        skip_unfit: See :class:`Exporter`.
    """

    name, takes, suffix = "verl", (Task, Trajectory), ".parquet"

    def __init__(
        self, *, split: str = "train", ability: str | None = None, skip_unfit: bool = False
    ) -> None:
        super().__init__(skip_unfit=skip_unfit)
        self.split, self.ability = split, ability

    def row(self, record: Task | Trajectory, *, index: int) -> dict[str, Any]:
        """Return the columns; refuses tools and tool calls, which verl takes from files of its own."""
        if tools_of(record):
            raise wrong(
                "tools", "must be empty: verl reads tools from its tool config", tools_of(record)
            )
        about = {
            "index": index,
            "split": self.split,
            "env": record.env,
            "task_id": record.task_id,
        }
        if isinstance(record, Trajectory):
            check_ends_with_assistant(record.messages, "messages")
            return {"messages": _chat(record.messages), "extra_info": about}
        if not record.messages or record.messages[-1].role != "user":
            last = record.messages[-1].role if record.messages else None
            raise wrong("messages", "must end with a user message", last)
        ability = self.ability or record.metadata.get("ability", record.env)
        if not isinstance(ability, str):
            raise wrong("metadata.ability", "must be a string", ability)
        return {
            "data_source": record.env,
            "prompt": _chat(record.messages),
            "ability": ability,
            "reward_model": {"style": "rule", "ground_truth": answer_text(record.answer)},
            "extra_info": about,
        }

    def save(self, rows: Iterator[dict[str, Any]], path: Path) -> tuple[int, tuple[Path, ...]]:
        """Write one parquet file, a group of rows at a time."""
        pyarrow, parquet = _pyarrow()
        first = next(rows, None)
        schema = _schema(pyarrow, is_rl=first is None or "prompt" in first)
        remaining = chain([] if first is None else [first], rows)
        count = 0
        with jsonl.replace_file(path) as file, parquet.ParquetWriter(file, schema) as writer:
            while group := list(islice(remaining, ROWS_PER_GROUP)):
                writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
                count += len(group)
        return count, (path,)


def _schema(pyarrow: ModuleType, *, is_rl: bool) -> Any:
    text = pyarrow.string()
    chat = pyarrow.list_(pyarrow.struct({"role": text, "content": text}))
    about = pyarrow.struct({"index": pyarrow.int64(), "split": text, "env": text, "task_id": text})
    if not is_rl:
        return pyarrow.schema({"messages": chat, "extra_info": about})
    return pyarrow.schema(
        {
            "data_source": text,
            "prompt": chat,
            "ability": text,
            "reward_model": pyarrow.struct({"style": text, "ground_truth": text}),
            "extra_info": about,
        }
    )


def _chat(messages: Sequence[Message]) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for i, message in enumerate(messages):
        field = f"messages[{i}]"
        check_keys(message, field)
        if message.role == "tool" or tool_calls(message, field):
            raise wrong(field, "must be a message of text", message.role)
        rows.append({"role": message.role, "content": plain_text(message, field)})
    return rows


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingPluginError(
            "exporter 'verl' needs the library pyarrow, which is not installed",
            hint='pip install "orbiter-train[parquet]"',
        ) from None
    return pyarrow, pyarrow.parquet
