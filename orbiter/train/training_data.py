"""Any dataset as the JSONL file of one kind of record that a backend reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs

from orbiter import jsonl
from orbiter.curate.pairs import UnpairedPreference
from orbiter.errors import RecordError
from orbiter.records import Message, Pair, Task, Trajectory, TrajectoryItem, content_hash

RECORDS = (Trajectory, Task, Pair, UnpairedPreference)
"""What a backend can train on."""


def write_training_data(path: Path, dataset: Iterable[Any], *, kind: type) -> int:
    """Write one row per item, and return how many there are.

    Args:
        path: The file; its folder is made.
        dataset: Records of the kind, or what it can be made of: a trajectory from a TrajectoryItem with a state and an action
            in text or chat messages, a task from a TrajectoryItem's state or a trajectory's prompt.
        kind: One of ``RECORDS``.

    Raises:
        RecordError: An item is of another kind; names the item.
    """
    return jsonl.write(
        path,
        (_record(item, kind, f"item {number}") for number, item in enumerate(dataset, start=1)),
    )


def _record(item: Any, kind: type, source: str) -> Trajectory | Task | Pair | UnpairedPreference:
    if isinstance(item, kind) and isinstance(item, RECORDS):
        return item
    if isinstance(item, Trajectory) and kind is Task:
        return Task(env=item.env, task_id=item.task_id, messages=item.prompt, tools=item.tools)
    if isinstance(item, TrajectoryItem) and kind in (Trajectory, Task):
        prompt = _messages(item.state, "user", source, "state")
        env = str(item.metadata.get("env", "items"))
        task_id = str(item.metadata.get("task_id", f"items:{content_hash(prompt)}"))
        if kind is Task:
            return Task(env=env, task_id=task_id, messages=prompt, metadata=item.metadata)
        task = Task(env=env, task_id=task_id, messages=prompt)
        turns = _messages(item.action, "assistant", source, "action")
        row = Trajectory.following(task, *turns, metadata=item.metadata)
        return attrs.evolve(row, score=item.reward)
    raise RecordError(f"must be a {kind.__name__}, got {item!r:.200}", source=source)


def _messages(value: Any, role: str, source: str, field: str) -> tuple[Message, ...]:
    """Return a text as one message of the role; a message or a list of them as it is."""
    if isinstance(value, str):
        return (Message(role, value),)
    rows: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if not rows:
        raise RecordError("must hold a message, got none", source=source, field=field)
    try:
        return tuple(Message.from_row(row) for row in rows)
    except RecordError as error:
        raise RecordError(
            f"must be a text or chat messages: {error.message}", source=source, field=field
        ) from None
