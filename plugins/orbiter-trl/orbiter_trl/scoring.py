"""Scoring: a trained reward model that is ready to score conversations, or each of their steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from orbiter.convert import unstructure
from orbiter.errors import ConfigError
from orbiter.records import Trajectory
from orbiter_trl.answering import device_of, dtype_of
from orbiter_trl.chat import context_of, fit_threads, to_chat
from orbiter_trl.loading import SCORING
from orbiter_trl.preferences import pad_id_of
from orbiter_trl.quiet import quiet


class UnscorableError(ValueError):
    """A conversation that the model cannot score; its text is the reason of an invalid verdict."""


_NO_NUMBER = UnscorableError("the reward model's score is not a number")


@frozen
class Scorer:
    """A model with a head for one number per conversation or per token.

    Args:
        model: In eval mode, on its device.
        tokenizer: With a chat template.
        batch_size: Conversations per forward pass.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    batch_size: int

    @classmethod
    def open(
        cls, source: str, *, algorithm: str, batch_size: int, device: str, dtype: str
    ) -> Scorer:
        """Load the model and tokenizer in ``source``.

        Args:
            source: Folder or hub id.
            algorithm: What it was trained with, ``reward`` or ``prm``.
            batch_size: Conversations per forward pass.
            device: ``auto``, ``cpu``, ``cuda``, ...
            dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.

        Raises:
            ConfigError: It cannot be loaded, or has no such head.
        """
        place, shared = device_of(device), {"local_files_only": Path(source).is_dir()}
        try:
            with quiet():
                config = AutoConfig.from_pretrained(source, **shared)
                check_head(source, config.architectures, config.num_labels, algorithm)
                tokenizer = AutoTokenizer.from_pretrained(source, **shared)
                model = SCORING[algorithm].from_pretrained(
                    source,
                    dtype=dtype_of(dtype, place, config.get_text_config().dtype),
                    use_safetensors=True,
                    **shared,
                )
        except (OSError, ValueError) as error:
            raise ConfigError(f"model {source!r} cannot be loaded: {error}") from error
        if tokenizer.chat_template is None:
            raise ConfigError(f"tokenizer of {source!r} must have a chat template, got none")
        pad_id_of(tokenizer)
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        fit_threads(model)
        return cls(model.to(place).eval(), tokenizer, batch_size)

    def score_wholes(self, trajectories: Sequence[Trajectory]) -> list[float | UnscorableError]:
        """Return the score of each conversation, a number of any range, or why it has none."""
        rows = [self._or_error(self._whole, trajectory) for trajectory in trajectories]
        found = [
            row if isinstance(row, UnscorableError) else numbers[0]
            for row, numbers in self._forward(rows)
        ]
        return [
            number if isinstance(number, UnscorableError) or math.isfinite(number) else _NO_NUMBER
            for number in found
        ]

    def score_steps(
        self, trajectories: Sequence[Trajectory]
    ) -> list[list[float] | UnscorableError]:
        """Return the score of each assistant turn after the prompt, log-odds that it is right, or why there is none."""
        ends = [self._or_error(self._step_ends, trajectory) for trajectory in trajectories]
        rows = [end if isinstance(end, UnscorableError) else end[0] for end in ends]
        found = [
            end if isinstance(end, UnscorableError) else [numbers[place] for place in end[1]]
            for end, (_, numbers) in zip(ends, self._forward(rows))
        ]
        return [
            some
            if isinstance(some, UnscorableError) or all(map(math.isfinite, some))
            else _NO_NUMBER
            for some in found
        ]

    def _or_error(self, make: Any, trajectory: Trajectory) -> Any:
        try:
            return make(trajectory)
        except UnscorableError as error:
            return error

    def _ids(self, trajectory: Trajectory, count: int) -> list[int]:
        """Return the tokens of the first ``count`` messages, as they were in training."""
        try:
            ids: list[int] = self.tokenizer.apply_chat_template(
                to_chat(trajectory.messages[:count]),
                tools=unstructure(trajectory.tools) or None,
                tokenize=True,
                return_dict=True,
            )["input_ids"]
        except Exception as error:  # the template is the model author's, and the text untrusted
            kind = type(error).__name__
            raise UnscorableError(f"chat template refused the conversation: {kind}") from error
        context = context_of(self.model)
        if context is not None and len(ids) > context:
            raise UnscorableError(f"longer than the reward model's context of {context} tokens")
        return ids

    def _whole(self, trajectory: Trajectory) -> list[int]:
        return self._ids(trajectory, len(trajectory.messages))

    def _step_ends(self, trajectory: Trajectory) -> tuple[list[int], list[int]]:
        """Return the tokens of a conversation, and the place of the last one of each step."""
        start = len(trajectory.prompt)
        turns = [
            number + 1
            for number, message in enumerate(trajectory.messages)
            if number >= start and message.role == "assistant"
        ]
        if not turns:
            raise UnscorableError("no step to score")
        parts = [self._ids(trajectory, count) for count in turns]
        for one, longer in pairwise(parts):
            if longer[: len(one)] != one:
                raise UnscorableError("chat template renders a step otherwise when more follows")
        return parts[-1], [len(part) - 1 for part in parts]

    @torch.inference_mode()
    def _forward(
        self, rows: Sequence[list[int] | UnscorableError]
    ) -> list[tuple[Any, list[float]]]:
        """Return each row beside its numbers: one of a whole conversation, or one per token."""
        found: list[tuple[Any, list[float]]] = [(row, []) for row in rows]
        some = [n for n, row in enumerate(rows) if not isinstance(row, UnscorableError)]
        some.sort(key=lambda n: len(found[n][0]))  # of like length, so that little is padded
        for start in range(0, len(some), self.batch_size):
            batch = some[start : start + self.batch_size]
            ids = [torch.tensor(found[n][0]) for n in batch]
            lengths = [len(row) for row in ids]
            inputs = {
                "input_ids": pad_sequence(ids, True, float(self.tokenizer.pad_token_id)),
                "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], True),
            }
            logits = self.model(**{k: v.to(self.model.device) for k, v in inputs.items()}).logits
            numbers = logits.float().reshape(len(batch), -1).cpu().tolist()
            for n, length, row in zip(batch, lengths, numbers):
                found[n] = (found[n][0], row if len(row) == 1 else row[:length])
        return found


def check_head(source: str, architectures: Any, count: int, algorithm: str) -> None:
    """Raise ConfigError unless a model is of the kind that an algorithm makes."""
    wanted = {"reward": "ForSequenceClassification", "prm": "ForTokenClassification"}[algorithm]
    named = architectures or ["none"]
    if not named[0].endswith(wanted) or count != 1:
        raise ConfigError(
            f"model {source!r} must score with one number, got {named[0]} with {count}",
            hint=f"train one with the algorithm {algorithm!r} of the backend 'trl'",
        )
