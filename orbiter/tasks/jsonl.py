"""Tasks from a JSONL file: rows that are tasks, or rows whose keys are mapped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from orbiter.checks import check_bool
from orbiter.errors import ConfigError, RecordError, did_you_mean
from orbiter.jsonl import read_objects
from orbiter.records import Message, Task
from orbiter.tasks.environment import Environment
from orbiter.tasks.streams import item_stream

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class JsonlEnvironment(Environment):
    """The tasks of a file, in its order or shuffled by the seed.

    Without ``prompt_key`` each row is a Task row (``env``, ``task_id``, ``messages``, ...). With it, each row is mapped:

        JsonlEnvironment("gsm8k.jsonl", prompt_key="question", answer_key="ground_truth", id_key="index")

    Args:
        path: The file.
        name: Name of the environment; default: the ``env`` of the task rows, or the stem of the file.
        prompt_key: Key of the prompt: text, or a list of messages.
        answer_key: Key of the reference answer.
        solution_key: Key of a right answer as the policy should write it, where the reference answer is none: tests, say.
        id_key: Key of a text or integer that names the row; default: its number, counted from 0.
        metadata_keys: Keys to be kept as metadata of the task.
        system: A system message to be put before each prompt.
        verifier: Registered name of the verifier.
        shuffle: Let the seed choose the order; otherwise it is the file's, whatever the seed.

    Raises:
        RecordError: A row is malformed; names file, line and field.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        prompt_key: str | None = None,
        answer_key: str = "answer",
        solution_key: str | None = None,
        id_key: str | None = None,
        metadata_keys: Sequence[str] = (),
        system: str | None = None,
        verifier: str = "exact",
        shuffle: bool = False,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ConfigError(f"path must be a file of tasks, got {str(path)!r}")
        texts = {
            "name": name,
            "prompt_key": prompt_key,
            "answer_key": answer_key,
            "solution_key": solution_key,
            "id_key": id_key,
            "system": system,
            "verifier": verifier,
        }
        for option, value in texts.items():
            required = option in ("answer_key", "verifier")
            if not isinstance(value, str) and (required or value is not None):
                raise ConfigError(f"{option} must be a text, got {value!r}")
        if isinstance(metadata_keys, str) or not all(isinstance(k, str) for k in metadata_keys):
            raise ConfigError(f"metadata_keys must be a list of keys, got {metadata_keys!r}")
        self.prompt_key, self.answer_key, self.id_key = prompt_key, answer_key, id_key
        self.solution_key = solution_key
        self.metadata_keys, self.system = tuple(metadata_keys), system
        self.shuffle = check_bool("shuffle", shuffle)
        self._verifier = verifier
        self._named = name is not None
        self.name = self.path.stem if name is None else name
        self._solutions: dict[str, str] = {}
        self._tasks = self._read()
        self._by_id = {task.task_id: task for task in self._tasks}
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"name of an environment must be letters, digits, '_', '.' and '-', got {self.name!r}",
                hint="give the option 'name'",
            )
        self.size = len(self._tasks)
        self.chars = "".join(sorted(set().union(*map(_characters, self._tasks))))
        self._orders: dict[int, list[int]] = {}

    def task(self, index: int, *, seed: int) -> Task:
        """Return the row at ``index`` of the order that the seed selects."""
        if not self.shuffle:
            return self._tasks[index]
        if seed not in self._orders:
            order = list(range(len(self._tasks)))
            item_stream(self.name, seed).shuffle(order)
            self._orders[seed] = order
        return self._tasks[self._orders[seed][index]]

    def demonstrate(self, task: Task) -> str | None:
        """Return the solution of the row with this task id, or its reference answer if that is text."""
        if self.solution_key is not None:
            return self._solutions.get(task.task_id)
        known = self._by_id.get(task.task_id)
        return None if known is None else super().demonstrate(known)

    def verifier(self) -> str:
        """Return the name that was given."""
        return self._verifier

    def _read(self) -> list[Task]:
        tasks: list[Task] = []
        lines: dict[str, int] = {}
        for line, row in read_objects(self.path):
            try:
                task = (
                    self._from_task_row(row)
                    if self.prompt_key is None
                    else self._mapped(row, len(tasks))
                )
                if task.task_id in lines:
                    field = self.id_key or "task_id"
                    first = lines[task.task_id]
                    raise _wrong(field, f"must differ from line {first}'s, got {task.task_id!r}")
                if self.solution_key is not None:
                    self._solutions[task.task_id] = _solution(row, self.solution_key)
            except RecordError as error:
                raise error.at(str(self.path), line) from None
            lines[task.task_id] = line
            tasks.append(task)
        if not tasks:
            raise RecordError("must hold at least one task, got none", source=str(self.path))
        return tasks

    def _from_task_row(self, row: Mapping[str, Any]) -> Task:
        if "messages" not in row:
            raise _wrong(
                "messages", "is missing", hint="give prompt_key to map rows that are no tasks"
            )
        task = Task.from_row(row)
        if not task.messages:
            raise _wrong("messages", "must hold at least one message, got none")
        if not self._named:
            self._named, self.name = True, task.env
        if task.env != self.name:
            raise _wrong("env", f"must be {self.name!r} in every row, got {task.env!r}")
        return evolve(task, messages=(*self._system(), *task.messages))

    def _mapped(self, row: Mapping[str, Any], index: int) -> Task:
        assert self.prompt_key is not None  # noqa: S101  # the caller saw to it
        answer = _value(row, self.answer_key)
        if answer is None:
            raise _wrong(self.answer_key, "must be a reference answer, got None")
        row_id = index if self.id_key is None else _value(row, self.id_key)
        if type(row_id) not in (int, str) or row_id == "":
            raise _wrong(self.id_key, f"must be an integer or a text, got {row_id!r}")
        return Task(
            env=self.name,
            task_id=f"{self.name}:{row_id}",
            messages=(*self._system(), *_messages(_value(row, self.prompt_key), self.prompt_key)),
            answer=answer,
            metadata={key: _value(row, key) for key in self.metadata_keys},
        )

    def _system(self) -> tuple[Message, ...]:
        return () if self.system is None else (Message("system", self.system),)


def _wrong(field: str | None, problem: str, *, hint: str | None = None) -> RecordError:
    return RecordError(problem, field=field, hint=hint)


def _value(row: Mapping[str, Any], key: str) -> Any:
    if key not in row:
        raise _wrong(
            key, f"is missing{did_you_mean(key, row)}", hint=f"the row has: {', '.join(row)}"
        )
    return row[key]


def _solution(row: Mapping[str, Any], key: str) -> str:
    solution = _value(row, key)
    if not isinstance(solution, str):
        raise _wrong(key, f"must be a text, got {solution!r}")
    return solution


def _messages(prompt: object, key: str) -> tuple[Message, ...]:
    if isinstance(prompt, str) and prompt:
        return (Message("user", prompt),)
    if not isinstance(prompt, list) or not prompt:
        raise _wrong(key, f"must be a text or a list of messages, got {prompt!r}")
    messages = []
    for place, row in enumerate(prompt):
        try:
            messages.append(Message.from_row(row))
        except RecordError as error:
            path = f"{key}[{place}]" + (f".{error.field}" if error.field else "")
            raise _wrong(path, error.problem, hint=error.hint) from None
    return tuple(messages)


def _characters(task: Task) -> set[str]:
    text = "".join(message.text for message in task.messages)
    return set(text + task.answer if isinstance(task.answer, str) else text)
