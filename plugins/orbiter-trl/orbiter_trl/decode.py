"""Decoding: from prompts to new tokens.

A token is drawn by inverting the cumulative distribution at a uniform number that belongs to the request alone, so that an answer
does not depend on who shares the batch, and nothing reads or moves torch's global random state.

:func:`decode` answers one batch with ``model.generate``, whatever the model; :func:`~orbiter_trl.continuous.decode_continuously`
answers any number of prompts, with models whose cache can be kept in slots.

Shapes: B rows, T prompt tokens, N new tokens, V vocabulary.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from attrs import frozen
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from orbiter.generate.policy import Sampling

T = TypeVar("T")


@frozen
class Prompt:
    """One request, rendered.

    Args:
        index: Its place among the requests.
        ids: Its tokens.
        seed: Seed of its draws.
        limit: Bound on its new tokens.
    """

    index: int
    ids: list[int]
    seed: int
    limit: int


def by_length(items: Sequence[T], length: Callable[[T], int]) -> list[list[T]]:
    """Group items, given from short to long, so that little is padded: the longest of a group is at most 1.5 times its shortest + 16."""
    groups: list[list[T]] = []
    for item in items:
        if not groups or length(item) > 1.5 * length(groups[-1][0]) + 16:
            groups.append([])
        groups[-1].append(item)
    return groups


def uniforms(seeds: Sequence[int], count: int) -> torch.Tensor:
    """Return ``count`` numbers in [0, 1) per seed, shape (len(seeds), count); a stream depends on its seed alone."""
    rows = []
    for seed in seeds:
        key = hashlib.blake2b(str(seed).encode(), digest_size=16, person=b"orbiter-sample").digest()
        rows.append(
            np.random.Generator(np.random.Philox(key=int.from_bytes(key))).random(
                count, dtype=np.float32
            )
        )
    return torch.from_numpy(np.stack(rows))


def pick(logits: torch.Tensor, uniform: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return one token per row of ``logits`` (B, V): the arg max at temperature 0, else a draw by ``uniform`` (B,).

    The order is temperature, top_k, top_p; top_p keeps the smallest set of likeliest tokens whose probability reaches it
    (Holtzman et al. 2020).
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    scores = logits.float() / sampling.temperature
    tokens: torch.Tensor | None = None
    if sampling.top_k or sampling.top_p < 1:
        keep = min(sampling.top_k or scores.shape[-1], scores.shape[-1])
        scores, tokens = scores.topk(keep, dim=-1)
    probs = scores.softmax(-1)
    if sampling.top_p < 1:
        before = probs.cumsum(-1) - probs
        probs = probs.masked_fill(before >= sampling.top_p, 0.0)
    total = probs.cumsum(-1)
    # Dividing the mass that is there, rather than 1, keeps rounding from running past the last token.
    chosen = torch.searchsorted(total, (uniform * total[:, -1]).unsqueeze(-1), right=True)
    chosen = chosen.clamp(max=total.shape[-1] - 1)
    # Rounding may land on a token of probability 0 behind the last possible one; go back to that.
    last = (probs > 0).long().cumsum(-1).argmax(-1, keepdim=True)
    chosen = torch.minimum(chosen, last)
    return (chosen if tokens is None else tokens.gather(-1, chosen)).squeeze(-1)


class Ending:
    """Says where an answer ends: at an end token, or at a stop text.

    Args:
        end_ids: Tokens that end an answer.
        texts: Texts that end an answer.
        tokenizer: Reads the tokens back, for ``texts``.
    """

    def __init__(
        self, end_ids: Sequence[int], texts: Sequence[str], tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.end_ids = frozenset(end_ids)
        self._texts, self._tokenizer = tuple(texts), tokenizer
        # How many tokens a stop text can span: a token holds at least one byte of text, or nothing at all.
        self.tail = max((len(text.encode()) for text in texts), default=0) + 8

    def reached(self, answers: Sequence[Sequence[int]]) -> list[bool]:
        """Return whether the last token of each answer ended it."""
        ended = [answer[-1] in self.end_ids for answer in answers]
        if self._texts and not all(ended):
            tails = self._tokenizer.batch_decode(
                [answer[-self.tail :] for answer in answers], skip_special_tokens=True
            )
            ended = [
                end or any(text in tail for text in self._texts) for end, tail in zip(ended, tails)
            ]
        return ended


class _Stop(StoppingCriteria):
    """Tells ``generate`` which rows are finished, all of them once ``cancelled`` is set, and notes how long they were."""

    def __init__(
        self, ending: Ending, limits: Sequence[int], prompt_length: int, cancelled: threading.Event
    ) -> None:
        # ``generate`` fills finished rows with padding only for a criterion that has this attribute.
        self.eos_token_id = torch.tensor(sorted(ending.end_ids), dtype=torch.long)
        self.lengths: list[int | None] = [None] * len(limits)
        self._ending, self._limits, self._cancelled = ending, limits, cancelled
        self._prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: Any = None, **more: Any) -> torch.Tensor:  # noqa: ARG002
        """Return a bool per row of ``input_ids`` (B, T + n)."""
        count = input_ids.shape[1] - self._prompt_length
        recent = input_ids[:, -min(count, self._ending.tail) :].tolist()
        stopped = self._cancelled.is_set()
        for row, end in enumerate(self._ending.reached(recent)):
            if self.lengths[row] is None and (end or stopped or count >= self._limits[row]):
                self.lengths[row] = count
        done = [length is not None for length in self.lengths]
        return torch.tensor(done, device=input_ids.device)


class _Draw(LogitsProcessor):
    """Leaves ``generate`` one token to choose from per row: the one that :func:`pick` takes."""

    def __init__(self, uniform: torch.Tensor, sampling: Sampling, prompt_length: int) -> None:
        self._uniform, self._sampling, self._prompt_length = uniform, sampling, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = input_ids.shape[1] - self._prompt_length
        chosen = pick(scores, self._uniform[:, step], self._sampling).unsqueeze(-1)
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen, 0.0)


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling,
    ending: Ending,
    cancelled: threading.Event,
    pad_id: int,
) -> list[list[int]]:
    """Return the new tokens of each prompt, the one that ended it included, from one batch of ``model.generate``.

    Args:
        model: A decoder-only model in eval mode.
        prompts: What is to be answered.
        sampling: Temperature, top_p and top_k.
        ending: Says which answers are finished.
        cancelled: Set from another thread to end the decoding within one token.
        pad_id: Token that stands before short prompts and fills finished rows.
    """
    limits = [prompt.limit for prompt in prompts]
    steps, width = max(limits), max(len(prompt.ids) for prompt in prompts)
    padding = [width - len(prompt.ids) for prompt in prompts]
    device = model.device
    ids = torch.tensor([[pad_id] * n + p.ids for n, p in zip(padding, prompts)], device=device)
    mask = torch.tensor([[0] * n + [1] * (width - n) for n in padding], device=device)
    stop = _Stop(ending, limits, width, cancelled)
    draw = LogitsProcessorList()
    if sampling.temperature > 0:
        draw.append(_Draw(uniforms([p.seed for p in prompts], steps).to(device), sampling, width))
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        # Drawing is the processor's part, so what is left to ``generate`` is greedy and touches no global random state.
        generation_config=GenerationConfig(
            max_new_tokens=steps, do_sample=False, pad_token_id=pad_id
        ),
        logits_processor=draw,
        stopping_criteria=StoppingCriteriaList([stop]),
    )
    return [row[:length] for row, length in zip(out[:, width:].tolist(), stop.lengths)]
