"""Preferences as tokens: pairs and single answers, read, checked, and laid out as the trainers want them.

As with trajectories, TRL would do this itself, for an answer of one turn: everything after the prompt gets loss, tool results too. Here
the loss is on the assistant's turns alone, and what was cut, left out or looks wrong is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from attrs import define, field, frozen
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from orbiter import jsonl
from orbiter.curate.pairs import UnpairedPreference
from orbiter.errors import BackendError, RecordError
from orbiter.records import Message, Pair, Trajectory
from orbiter_trl.chat import context_of, end_ids
from orbiter_trl.rows import IGNORED, TokenRow, TokenRows, tokenise

P = TypeVar("P", Pair, UnpairedPreference)


def read_pairs(path: Path, *, with_margin: bool = False) -> list[Pair]:
    """Return the pairs of a file, without those of weight 0.

    Args:
        path: The file.
        with_margin: Whether each pair must have a margin.

    Raises:
        RecordError: A row is no pair, the chosen answer is empty, both are the same, or a margin is missing; there is none, or all have
            weight 0. Names file, line and field.
    """
    pairs = _read(path, Pair)
    for line, pair in enumerate(pairs, start=1):
        _check_answer(path, line, "chosen", pair.chosen, good=True)
        _check_answer(path, line, "rejected", pair.rejected, good=False)
        if pair.chosen == pair.rejected:
            raise RecordError(
                "must differ from chosen, got the same messages",
                source=str(path),
                line=line,
                field="rejected",
                hint="leave the pair out: there is nothing to prefer",
            )
        if with_margin and pair.margin is None:
            raise RecordError(
                "must be a number, since use_margin is on, got null",
                source=str(path),
                line=line,
                field="margin",
            )
    weighty = [pair for pair in pairs if pair.weight]
    if not weighty:
        raise RecordError(
            f"must be above 0 for a pair, got {len(pairs)} of weight 0",
            source=str(path),
            field="weight",
        )
    return weighty


def read_unpaired(path: Path) -> list[UnpairedPreference]:
    """Return the answers of a file.

    Raises:
        RecordError: A row is no unpaired preference, or a desirable answer is empty; there is none, or all have the same label. Names file,
            line and field.
    """
    rows = _read(path, UnpairedPreference)
    for line, row in enumerate(rows, start=1):
        _check_answer(path, line, "completion", row.completion, good=row.label)
    good = sum(row.label for row in rows)
    if good in (0, len(rows)):
        raise RecordError(
            f"must hold both labels, got {good} desirable and {len(rows) - good} undesirable answers",
            source=str(path),
            hint="there is nothing to tell apart; train on desirable answers alone with sft",
        )
    return rows


def _read(path: Path, kind: type[P]) -> list[P]:
    rows = list(jsonl.read(path, kind))
    for line, row in enumerate(rows, start=1):
        if not row.prompt:
            raise RecordError(
                "must hold a message, got none", source=str(path), line=line, field="prompt"
            )
    if not rows:
        raise RecordError(f"must hold at least one {kind.__name__}, got none", source=str(path))
    return rows


def _check_answer(
    path: Path, line: int, name: str, answer: Sequence[Message], *, good: bool
) -> None:
    """Raise unless there is an assistant turn; a bad answer may be an empty one, since a model can end at once."""
    turns = [message for message in answer if message.role == "assistant"]
    if not turns or (good and not any(turn.content or turn.tool_calls for turn in turns)):
        raise RecordError(
            f"must hold an assistant turn{' that says something' if good else ''}, got "
            f"{'an empty one' if turns else 'none'}",
            source=str(path),
            line=line,
            field=name,
        )


@define
class Tokeniser:
    """Turns answers to prompts into tokens, and gathers what looks wrong.

    Args:
        model: The model to train; its context is what answers are measured by. None where only what carries loss is asked for.
        tokenizer: With a chat template.
        max_length: Bound on prompt and answer together, in tokens; what is beyond is cut off. None for no bound.
        alarms: A sentence for each thing that looked wrong.
    """

    model: PreTrainedModel | None
    tokenizer: PreTrainedTokenizerBase
    max_length: int | None
    alarms: list[str] = field(factory=list)

    def pairs(self, pairs: Sequence[Pair], *, whole: bool = False) -> Dataset:
        """Return a table of ``chosen_*`` and ``rejected_*`` ids and masks, with the weights if they are not all 1.

        Args:
            pairs: The pairs.
            whole: Leave out pairs of which an answer had to be cut, rather than those of which nothing carries loss.

        Raises:
            BackendError: No pair is left.
        """
        tokens = self._tokenise(
            [_trajectory(p, p.chosen) for p in pairs] + [_trajectory(p, p.rejected) for p in pairs]
        )
        table: dict[str, list[Any]] = {name: [] for name in _PAIR_COLUMNS}
        empty = same = 0
        for number, pair in enumerate(pairs):
            both = (number, len(pairs) + number)
            chosen, rejected = (tokens.every[i] for i in both)
            cut = any(len(tokens.every[i].ids) < tokens.lengths[i] for i in both)
            if (whole and cut) or not (any(chosen.mask) and any(rejected.mask)):
                empty += 1
                continue
            if chosen == rejected:
                same += 1
                continue
            values = (
                chosen.ids,
                chosen.mask,
                rejected.ids,
                rejected.mask,
                pair.weight,
                pair.margin,
                max(len(chosen.ids), len(rejected.ids)),
            )
            for name, value in zip(_PAIR_COLUMNS, values, strict=True):
                table[name].append(value)
        for count, why in (
            (empty, "an answer was cut" if whole else "an answer carries no loss"),
            (same, "both answers are the same once they are cut"),
        ):
            if count:
                self.alarms.append(f"{count} of {len(pairs)} pairs were left out: {why}")
        _must_hold(table["weight"], "a pair", self.alarms)
        if all(weight == 1 for weight in table["weight"]):
            del table["weight"]
        return Dataset.from_dict(table)

    def unpaired(
        self, rows: Sequence[UnpairedPreference], *, whole: bool = False
    ) -> list[tuple[TokenRow, bool]]:
        """Return the answers that carry loss, with their labels.

        Args:
            rows: The answers.
            whole: Leave out answers that had to be cut, too.

        Raises:
            BackendError: None does.
        """
        tokens = self._tokenise([_trajectory(row, row.completion) for row in rows])
        kept, cut = [], 0
        for row, length, preference in zip(tokens.every, tokens.lengths, rows):
            if whole and len(row.ids) < length:
                cut += 1
            elif any(row.mask):
                kept.append((row, preference.label))
        if cut:
            self.alarms.append(f"{cut} of {len(rows)} answers were left out: they were cut")
        _must_hold(kept, "an answer", self.alarms)
        return kept

    def _tokenise(self, trajectories: list[Trajectory]) -> TokenRows:
        model = self.model
        tokens = tokenise(
            trajectories,
            self.tokenizer,
            max_length=self.max_length,
            end_ids=() if model is None else end_ids(model, self.tokenizer),
        )
        context = None if model is None else context_of(model)
        self.alarms += tokens.alarms(context=context, max_length=self.max_length)
        return tokens


_PAIR_COLUMNS = (
    "chosen_ids",
    "chosen_mask",
    "rejected_ids",
    "rejected_mask",
    "weight",
    "margin",
    "length",
)


def _must_hold(kept: Sequence[Any], what: str, alarms: Sequence[str]) -> None:
    if not kept:
        raise BackendError(
            f"data must hold {what} that can be trained on, got none: {'; '.join(alarms)}",
            hint="raise max_length, or look at the chat template",
        )


def _trajectory(row: Pair | UnpairedPreference, answer: tuple[Message, ...]) -> Trajectory:
    """Return prompt and answer as one conversation, in which the prompt carries no loss."""
    shows_turns = any(message.role == "assistant" for message in row.prompt)
    return Trajectory(
        messages=row.prompt + answer,
        env=row.env,
        task_id=row.task_id,
        score=None,
        tools=tuple(row.extra.get("tools") or ()),
        prompt_size=len(row.prompt) if shows_turns else None,
    )


@frozen
class PairBatch:
    """Collates rows of a table of pairs: first all chosen, then all rejected, padded on the right.

    Args:
        pad_id: Token to pad with.
        columns: Columns of one number per pair to hand on, where the table has them.
        apart: Give chosen and rejected under keys of their own, with labels, as the trainers of CPO and ORPO want them.
    """

    pad_id: int
    columns: tuple[str, ...] = ("weight",)
    apart: bool = False

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the batch."""
        batch = {
            name: torch.tensor([row[name] for row in rows], dtype=torch.float32)
            for name in self.columns
            if name in rows[0]
        }
        sides = ("chosen", "rejected")
        if not self.apart:
            return batch | pad_tokens(
                [row[f"{side}_ids"] for side in sides for row in rows],
                [row[f"{side}_mask"] for side in sides for row in rows],
                pad_id=self.pad_id,
            )
        for side in sides:
            part = pad_tokens(
                [row[f"{side}_ids"] for row in rows],
                [row[f"{side}_mask"] for row in rows],
                pad_id=self.pad_id,
            )
            mask = part.pop("completion_mask")
            part["labels"] = part["input_ids"].masked_fill(mask == 0, IGNORED)
            batch |= {f"{side}_{name}": value for name, value in part.items()}
        return batch


def padded(rows: Sequence[list[int]], value: int) -> torch.Tensor:
    """Return rows as one tensor (B, T), filled up on the right."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def pad_tokens(
    ids: Sequence[list[int]], masks: Sequence[list[int]], *, pad_id: int
) -> dict[str, torch.Tensor]:
    """Return ``input_ids``, ``attention_mask`` and ``completion_mask``, each (B, T)."""
    return {
        "input_ids": padded(ids, pad_id),
        "attention_mask": padded([[1] * len(row) for row in ids], 0),
        "completion_mask": padded(masks, 0),
    }


def pad_id_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token to pad with; the end token where the tokenizer names none."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return int(tokenizer.pad_token_id)
