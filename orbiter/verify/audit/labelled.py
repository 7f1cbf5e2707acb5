"""Labelled answers from a JSONL file: what people, or a verifier that is trusted more, said of real answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from orbiter import jsonl
from orbiter.errors import RecordError
from orbiter.records import Message, Task, Trajectory
from orbiter.tasks.environment import Environment
from orbiter.verify.audit.answers import LabelledAnswer
from orbiter.verify.scoring import tasks_of


def _some(_: object, attribute: attrs.Attribute[Any], value: tuple[Any, ...]) -> None:
    if not value:
        raise RecordError("must hold at least one message, got none", field=attribute.name)


@frozen
class LabelledRow:
    """One line: a conversation, and whether its answer is right. Unknown keys, such as an earlier score, are not looked at.

    Args:
        messages: The whole conversation, prompt included.
        task_id: Name of the task.
        correct: Whether the answer is right.
        answer: The reference; None if the environment gives the task, or the task needs none.
        env: Name of the environment.
        tools: Tool schemas of the task.
        metadata: Metadata of the task.
        family: What kind of answer it is.
        prompt_size: How many of the messages are the prompt; None: those before the first assistant turn.
    """

    messages: tuple[Message, ...] = field(validator=_some)
    task_id: str
    correct: bool
    answer: Any = None
    env: str = ""
    tools: tuple[Any, ...] = ()
    metadata: Mapping[str, Any] = field(factory=dict)
    family: str = "labelled"
    prompt_size: int | None = None
    extra: Mapping[str, Any] = field(factory=dict, kw_only=True)

    def __attrs_post_init__(self) -> None:
        self.trajectory  # noqa: B018  # a prompt_size that does not fit the messages is told with the line

    @property
    def trajectory(self) -> Trajectory:
        """The conversation as an unscored trajectory."""
        return Trajectory(
            self.messages,
            self.env,
            self.task_id,
            None,
            tools=self.tools,
            prompt_size=self.prompt_size,
        )

    def labelled(self, known: Mapping[str, Task]) -> LabelledAnswer:
        """Return the labelled answer; its task is what the row says, or without a reference there the known one of that name."""
        trajectory = self.trajectory
        task = known.get(self.task_id) if self.answer is None else None
        task = task or Task(
            self.env, self.task_id, trajectory.prompt, self.answer, self.tools, self.metadata
        )
        return LabelledAnswer(task, trajectory, self.correct, self.family)


def read_labelled(
    path: str | Path, *, environment: Environment | None = None, seed: int = 0
) -> list[LabelledAnswer]:
    """Return the labelled answers of a file.

    Args:
        path: A JSONL file of LabelledRow.
        environment: Where the tasks of rows without a reference of their own are looked up by their id
            (:func:`~orbiter.verify.scoring.tasks_of`).
        seed: The stream of the environment that the tasks come from.

    Raises:
        RecordError: A row is malformed, or there is none; names file, line and field.
        UserCodeError: The environment raised.
    """
    rows = list(jsonl.read(path, LabelledRow))
    known: dict[str, Task] = {}
    if environment is not None:
        asking = [row.trajectory for row in rows if row.answer is None]
        known = {task.task_id: task for task in tasks_of(environment, asking, seed=seed)}
    found = [row.labelled(known) for row in rows]
    if not found:
        raise RecordError("must hold at least one labelled answer, got none", source=str(path))
    return found
