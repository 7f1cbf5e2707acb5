"""A policy that answers with recorded solutions: real data through the whole loop, without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from orbiter.errors import ConfigError, RecordError, did_you_mean
from orbiter.generate.policy import Completion, Policy, Request, Sampling
from orbiter.jsonl import read_objects
from orbiter.plugin import load_records
from orbiter.records import Message


@frozen
class _Recording:
    """One recorded continuation of a prompt."""

    messages: tuple[Message, ...]
    model: str | None


class ReplayPolicy(Policy):
    """Give the i-th recording of a task as its i-th attempt; further attempts fail for want of a recording.

    Without ``solution_key`` the file holds trajectory rows, and a task's recordings are the rows with its ``env`` and ``task_id``, in
    their order. With it, a row holds one task and its solutions, one object per model:

        {"index": 7, "question": "...", "small": {"solution": "..."}, "large": {"solution": "..."}}

        ReplayPolicy("solutions.jsonl", prompt_key="question", solution_key="solution")

    Args:
        path: The file; or, for trajectories, any source that a plugin reads.
        solution_key: Key of the text of a solution, inside an object per model, whose own key is the model's name.
        prompt_key: Key of the text by which a row is found: that of the task's last user message.
        models: The models whose solutions are given, in the order of attempts; default: all, in the order of the row. A row may
            lack some.

    Raises:
        RecordError: A row is malformed; names file, line and field.
    """

    name = "replay"
    batch_size = 64

    def __init__(
        self,
        path: str | Path,
        *,
        solution_key: str | None = None,
        prompt_key: str = "prompt",
        models: Sequence[str] | None = None,
    ) -> None:
        self.source = str(path)
        if solution_key is not None and not Path(path).is_file():
            raise ConfigError(f"path must be a file of recordings, got {self.source!r}")
        if solution_key is None and models is not None:
            raise ConfigError("models must go with solution_key, got models alone")
        if isinstance(models, str) or not all(isinstance(model, str) for model in models or ()):
            raise ConfigError(f"models must be a list of names, got {models!r}")
        self._solution_key, self._prompt_key = solution_key, prompt_key
        self._models = None if models is None else tuple(models)
        self._recordings = self._read()

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:  # noqa: ARG002
        """Answer each request with its recording; the sampling has no effect."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Completion:
        prompt = next((m.text for m in reversed(request.messages) if m.role == "user"), "")
        mapped = self._solution_key is not None
        recordings = self._recordings.get(
            (prompt,) if mapped else (request.env, request.task_id), ()
        )
        if request.attempt >= len(recordings):
            return Completion.failed(
                f"no recording: the task has {len(recordings)}, attempt {request.attempt} was asked"
            )
        recording = recordings[request.attempt]
        size = 0 if mapped else len(request.messages)
        if not mapped and recording.messages[:size] != request.messages:
            return Completion.failed(
                "no recording: the recorded prompt is not the one that was asked"
            )
        return Completion(messages=recording.messages[size:], model=recording.model)

    def _read(self) -> dict[tuple[str, ...], list[_Recording]]:
        found: dict[tuple[str, ...], list[_Recording]] = {}
        if self._solution_key is None:
            for row in load_records(self.source):
                recording = _Recording(row.messages, row.model)
                found.setdefault((row.env, row.task_id), []).append(recording)
        else:
            for line, mapped in read_objects(self.source):
                try:
                    self._read_mapped(mapped, found)
                except RecordError as error:
                    raise error.at(self.source, line) from None
        if not any(found.values()):
            raise RecordError("must hold at least one recording, got none", source=self.source)
        return found

    def _read_mapped(
        self, row: Mapping[str, Any], found: dict[tuple[str, ...], list[_Recording]]
    ) -> None:
        if self._prompt_key not in row:
            near = did_you_mean(self._prompt_key, row)
            raise RecordError(f"is missing{near}", field=self._prompt_key)
        prompt = row[self._prompt_key]
        if not isinstance(prompt, str) or not prompt:
            raise RecordError(
                f"must be the text of a prompt, got {prompt!r}", field=self._prompt_key
            )
        if (prompt,) in found:
            raise RecordError("must differ from every row before it", field=self._prompt_key)
        found[prompt,] = [
            _Recording((Message("assistant", self._solution(row, model)),), model)
            for model in self._models_of(row)
        ]

    def _models_of(self, row: Mapping[str, Any]) -> Sequence[str]:
        """Return the models of a row: those that were named, or every key that holds an object with a solution."""
        if self._models is not None:
            return [model for model in self._models if model in row]
        return [k for k, v in row.items() if isinstance(v, Mapping) and self._solution_key in v]

    def _solution(self, row: Mapping[str, Any], model: str) -> str:
        holder = row[model]
        text = holder.get(self._solution_key) if isinstance(holder, Mapping) else None
        if not isinstance(text, str):
            raise RecordError(
                f"must be the text of a solution, got {text!r}",
                field=f"{model}.{self._solution_key}",
            )
        return text
