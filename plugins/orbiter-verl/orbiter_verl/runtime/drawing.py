"""Drawing: the next token by inverting the cumulative distribution, so that a draw belongs to its request and to nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor


def uniforms(key: Sequence[object], count: int) -> torch.Tensor:
    """Return ``count`` numbers in [0, 1) that depend on ``key`` alone."""
    digest = hashlib.blake2b(repr(tuple(key)).encode(), digest_size=16).digest()
    stream = np.random.Generator(np.random.Philox(key=int.from_bytes(digest)))
    return torch.from_numpy(stream.random(count, dtype=np.float32))


class Drawing(LogitsProcessor):
    """Leaves ``generate`` one token to choose from per row, and remembers its log-probability.

    Args:
        numbers: In [0, 1), one row per answer and one column per token.
        temperature: 0 for the likeliest token.
        top_p: Share of the probability that is drawn from.
        top_k: Number of tokens that are drawn from; 0 or less for all.
        width: Prompt tokens, padding included.
    """

    def __init__(
        self, numbers: torch.Tensor, *, temperature: float, top_p: float, top_k: int, width: int
    ) -> None:
        self._numbers, self._width = numbers, width
        self._temperature, self._top_p, self._top_k = temperature, top_p, top_k
        self.logps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores of which one per row is not minus infinity."""
        logps = (scores.float() / (self._temperature or 1.0)).log_softmax(-1)
        if self._temperature:
            chosen = self._draw(logps.exp(), self._numbers[:, input_ids.shape[1] - self._width])
        else:
            chosen = logps.argmax(-1, keepdim=True)
        self.logps.append(logps.gather(-1, chosen).squeeze(-1))
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen, 0.0)

    def _draw(self, probs: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        size = probs.shape[-1]
        few = 0 < self._top_k < size or self._top_p < 1
        kept, tokens = (
            probs.topk(self._top_k if 0 < self._top_k < size else size) if few else (probs, None)
        )
        if self._top_p < 1:
            share = kept / kept.sum(-1, keepdim=True)
            kept = kept.masked_fill(share.cumsum(-1) - share >= self._top_p, 0.0)
        total = kept.cumsum(-1)
        place = torch.searchsorted(total, (numbers * total[:, -1])[:, None], right=True)
        # Rounding may land behind the last token that is possible.
        last = (kept > 0).long().cumsum(-1).argmax(-1, keepdim=True)
        place = torch.minimum(place, last)
        return place if tokens is None else tokens.gather(-1, place)
