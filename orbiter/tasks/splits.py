"""Held-out tasks by content hash, and the stream of distinct tasks of one split.

Whether a prompt is held out depends on the prompt alone: not on its index, its seed, its environment or on what was drawn
before. So no file lists the held-out tasks, and no prompt is ever in both splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice

import orjson

from orbiter.checks import check_number
from orbiter.errors import ConfigError, user_code
from orbiter.records import Task
from orbiter.tasks.environment import Environment

SPLITS = ("train", "held_out")
"""The names of the splits."""


def _prompt_digest(task: Task, salt: str) -> bytes:
    prompt = [(m.role, m.content, m.tool_calls, m.tool_call_id, m.name) for m in task.messages]
    try:
        data = orjson.dumps([salt, prompt], option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise ConfigError(
            f"prompt of task {task.task_id!r} must be valid JSON text, got an error: {error}"
        ) from None
    return hashlib.blake2b(data, digest_size=16).digest()


def _below(digest: bytes, share: float) -> bool:
    return int.from_bytes(digest[:8], "big") < share * 2.0**64


def check_share(share: object) -> float:
    """Return ``share`` if it is a number in [0, 1)."""
    return check_number("share", share, "[0, 1)")


def is_held_out(task: Task, *, share: float, salt: str = "") -> bool:
    """Return whether the task belongs to the held-out split.

    Args:
        task: Only its prompt messages count.
        share: Expected share of prompts that are held out, in [0, 1).
        salt: Another salt makes another, independent split.
    """
    return _below(_prompt_digest(task, salt), check_share(share))


class TaskStream:
    """The distinct tasks of one split of an environment, in order of index.

    The order is fixed by the arguments; position n is always the same task, so a run resumes by its count of tasks drawn.

    Args:
        environment: Where the tasks come from.
        seed: Selects the environment's stream.
        split: ``train`` or ``held_out``.
        share: Expected share of prompts that are held out, in [0, 1).
        salt: Salt of the split.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        seed: int,
        split: str = "train",
        share: float = 0.1,
        salt: str = "",
    ) -> None:
        if split not in SPLITS:
            raise ConfigError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if check_share(share) == 0 and split == "held_out":
            raise ConfigError("share must be above 0 for a held-out stream, got 0")
        self.environment, self.seed, self.split = environment, seed, split
        self.share, self.salt = share, salt
        self._own_share = share if split == "held_out" else 1 - share
        self._indices: list[int] = []
        self._prompts: set[bytes] = set()
        self._ids: set[str] = set()
        self._next_index = 0
        self._exhausted = False

    def __repr__(self) -> str:
        return f"TaskStream({self.environment.name!r}, seed={self.seed}, split={self.split!r})"

    def __iter__(self) -> Iterator[Task]:
        return self.iterate()

    def iterate(self, *, start: int = 0) -> Iterator[Task]:
        """Yield the tasks from position ``start`` on, until there are no more distinct ones."""
        position = 0
        while position < start:
            if position >= len(self._indices) and self._advance() is None:
                return
            position += 1
        while True:
            if position < len(self._indices):
                task: Task | None = self._make(self._indices[position])
            else:
                task = self._advance()
            if task is None:
                return
            yield task
            position += 1

    def take(self, count: int, *, start: int = 0, allow_fewer: bool = False) -> list[Task]:
        """Return ``count`` tasks from position ``start`` on.

        Args:
            count: How many.
            start: Position of the first: the number of tasks drawn before.
            allow_fewer: Return what there is when the environment has fewer distinct prompts.

        Raises:
            ConfigError: There are fewer, and that is not allowed.
            UserCodeError: The environment raised.
        """
        if count < 0 or start < 0:
            raise ConfigError(f"count and start must be >= 0, got {count!r} and {start!r}")
        tasks = list(islice(self.iterate(start=start), count))
        if len(tasks) < count and not allow_fewer:
            raise ConfigError(
                f"environment {self.environment.name!r} must have {start + count} distinct tasks in "
                f"split {self.split!r}, got {len(self._indices)}",
                hint="ask for fewer tasks, give the environment a larger space of prompts, or change "
                f"the share that is held out, now {self.share}",
            )
        return tasks

    def cycle(self, count: int, *, start: int, after: int = 0) -> list[Task]:
        """Return tasks as :meth:`take` does, and where there are no more go on at position ``after``, as often as it takes.

        Args:
            count: How many; fewer are returned if there are not so many from ``after`` on, since no task comes twice.
            start: Position of the first, as if the stream went on for ever; at least ``after``.
            after: Position that follows the last one.

        Raises:
            UserCodeError: The environment raised.
        """
        tasks = self.take(count, start=start, allow_fewer=True)
        size = len(self._indices) - after
        if len(tasks) == count or size <= 0:
            return tasks
        first = after + (start - after) % size
        tasks = self.take(count, start=first, allow_fewer=True)
        return tasks + self.take(min(count, size) - len(tasks), start=after)

    def _advance(self) -> Task | None:
        """Find the next distinct task of the split and remember its index; None when there is none."""
        misses, size = 0, self.environment.size
        while not self._exhausted:
            if size is not None and self._next_index >= size:
                self._exhausted = True
                break
            index = self._next_index
            task = self._make(index)
            digest = _prompt_digest(task, self.salt)
            self._next_index += 1
            if (
                _below(digest, self.share) == (self.split == "held_out")
                and digest not in self._prompts
            ):
                self._remember(index, task, digest)
                return task
            misses += 1
            if size is None and misses >= self._patience():
                self._exhausted = True
        return None

    def _patience(self) -> float:
        """Return after how many draws in a row without a new prompt a stream without end counts as exhausted.

        With n of n + 1 equally likely prompts found, 10 n draws of the split miss the last with probability exp(-10).
        """
        return (200 + 10 * len(self._indices)) / self._own_share

    def _remember(self, index: int, task: Task, digest: bytes) -> None:
        if task.task_id in self._ids:
            raise ConfigError(
                f"task ids of environment {self.environment.name!r} must differ where prompts differ, "
                f"got {task.task_id!r} again at index {index}"
            )
        self._ids.add(task.task_id)
        self._prompts.add(digest)
        self._indices.append(index)

    def _make(self, index: int) -> Task:
        call = f"task({index}, seed={self.seed})"
        with user_code(f"environment {self.environment.name!r}", call):
            task = self.environment.task(index, seed=self.seed)
        if not isinstance(task, Task):
            raise ConfigError(
                f"task({index}) of environment {self.environment.name!r} must be a Task, got {task!r}"
            )
        return task
