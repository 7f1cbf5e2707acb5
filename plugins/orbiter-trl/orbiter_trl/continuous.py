"""Continuous batching: when an answer ends, its place is given to the next prompt, and where none waits the batch shrinks.

``model.generate`` decodes a batch until its longest answer ends, and finished rows are decoded with it. Here a step is taken for answers
under way alone.

What shares a step with what follows from the prompts of one call, never from the clock: a batch that is asked again is decoded in the same
steps, to the last bit. For this reason calls are not merged, though the places of one run empty at its end: a resumed run does not ask
again what was answered, so the end of one call would meet other prompts than the first time, and rounding could tell another token.

(transformers has continuous batching of its own. It draws from torch's global random state, schedules in a thread of its own,
and spends seconds on warming up.)

Shapes: S slots, B of them in use (always the first B), T prompt tokens, W places that can be seen, V vocabulary.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

from orbiter.generate.policy import Sampling
from orbiter_trl.decode import Ending, Prompt, by_length, pick, uniforms
from orbiter_trl.slots import SlotCache

REFILL = 8
"""An eighth of the slots must be free before prompts are taken in: each time costs a pass over the model."""

TOKEN, PLACE, FIRST, COUNT = range(4)
"""Rows of the state: the last token, where the next step writes, where the prompt begins behind its padding, tokens so far."""


@torch.inference_mode()
def decode_continuously(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    *,
    slots: int,
    sampling: Sampling,
    ending: Ending,
    cancelled: threading.Event,
) -> list[list[int]]:
    """Return the new tokens of each prompt, the one that ended it included; of a prompt that was not begun when it was cancelled, none.

    Args:
        model: A model that :func:`~orbiter_trl.slots.fits_slots`, in eval mode.
        prompts: What is to be answered.
        slots: How many are decoded at once, at most.
        sampling: Temperature, top_p and top_k.
        ending: Says which answers are finished.
        cancelled: Set from another thread to end the decoding within one token.
    """
    if not prompts:
        return []
    return _Decoding(model, prompts, slots, sampling, ending).run(cancelled)


class _Decoding:
    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Prompt],
        slots: int,
        sampling: Sampling,
        ending: Ending,
    ) -> None:
        self._model, self._sampling, self._ending = model, sampling, ending
        self._prompts = prompts
        # Prompts of like length wait side by side, so that little is padded when they are taken in together.
        self._waiting = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].ids), i))
        self._slots = min(slots, len(prompts))
        self._answers: list[list[int]] = [[] for _ in prompts]
        self._live: list[int] = []
        device = model.device
        self._state = torch.zeros(4, self._slots, dtype=torch.long, device=device)
        self._rows = torch.arange(self._slots, device=device)
        steps = max(prompt.limit for prompt in prompts)
        self._places = torch.arange(max(len(p.ids) for p in prompts) + steps, device=device)
        self._uniforms = torch.zeros(
            self._slots, steps if sampling.temperature > 0 else 0, device=device
        )
        self._cache = SlotCache(model.config.num_hidden_layers, self._slots)
        self._additive = model.config._attn_implementation == "eager"

    def run(self, cancelled: threading.Event) -> list[list[int]]:
        while self._waiting or self._live:
            if self._waiting and len(self._live) <= self._slots - max(1, self._slots // REFILL):
                for group in self._next_groups():
                    self._take_in(group)
                    if cancelled.is_set():
                        return self._answers
                self._drop_finished()
            else:
                self._step()
                if cancelled.is_set():
                    return self._answers
                self._drop_finished()
        return self._answers

    def _next_groups(self) -> Iterator[list[int]]:
        free = self._slots - len(self._live)
        taken, self._waiting = self._waiting[:free], self._waiting[free:]
        yield from by_length(taken, lambda i: len(self._prompts[i].ids))

    def _take_in(self, group: list[int]) -> None:
        """Read prompts (T at most), and draw the first token of each."""
        first, count = len(self._live), len(group)
        device = self._model.device
        # Samples of one task have one prompt, which is read once.
        distinct = {tuple(self._prompts[i].ids): None for i in group}
        ids = [list(key) for key in distinct]
        place = {key: n for n, key in enumerate(distinct)}
        index = torch.tensor([place[tuple(self._prompts[i].ids)] for i in group], device=device)
        width = max(map(len, ids))
        padding = torch.tensor([width - len(row) for row in ids], device=device)
        tokens = torch.tensor([[0] * (width - len(row)) + row for row in ids], device=device)
        places = self._places[:width]
        read = DynamicCache(config=self._model.config)
        logits = self._model(
            input_ids=tokens,
            attention_mask=(places >= padding[:, None]).long(),
            position_ids=(places - padding[:, None]).clamp(min=0),
            past_key_values=read,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self._cache.fill(first, read, index, most=len(self._places))
        rows = slice(first, first + count)
        self._live += group
        if self._sampling.temperature > 0:
            steps = max(self._prompts[i].limit for i in group)
            self._uniforms[rows, :steps] = uniforms(
                [self._prompts[i].seed for i in group], steps
            ).to(device)
        self._state[PLACE, rows] = width - 1
        self._state[FIRST, rows] = padding[index]
        self._state[COUNT, rows] = 0
        self._draw(logits[index], rows)

    def _step(self) -> None:
        """Take one step of all answers under way."""
        count = len(self._live)
        state = self._state[:, :count]
        width = int(state[PLACE].max()) + 1
        self._cache.reserve(width, most=len(self._places))
        self._cache.aim(self._rows[:count], state[PLACE], width)
        logits = self._model(
            input_ids=state[TOKEN, :, None],
            attention_mask=self._mask(state, width),
            position_ids=(state[PLACE] - state[FIRST])[:, None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self._draw(logits, slice(0, count))

    def _mask(self, state: torch.Tensor, width: int) -> torch.Tensor:
        """Return what each row sees of the places: its prompt without the padding, and its answer so far (B, 1, 1, W)."""
        places = self._places[:width]
        seen = (places >= state[FIRST, :, None]) & (places <= state[PLACE, :, None])
        seen = seen[:, None, None, :]
        if not self._additive:
            return seen
        dtype = self._model.dtype
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(
            ~seen, torch.finfo(dtype).min
        )

    def _draw(self, logits: torch.Tensor, rows: slice) -> None:
        """Add one token to the answers in ``rows``."""
        state = self._state[:, rows]
        uniform = logits.new_empty(0)
        if self._sampling.temperature > 0:
            uniform = self._uniforms[rows].gather(1, state[COUNT, :, None])[:, 0]
        tokens = pick(logits, uniform, self._sampling)
        state[TOKEN] = tokens
        state[PLACE] += 1
        state[COUNT] += 1
        for prompt, token in zip(self._live[rows], tokens.tolist()):
            self._answers[prompt].append(token)

    def _drop_finished(self) -> None:
        """Give up the rows of finished answers; the last rows move into their places."""
        answers = [self._answers[i] for i in self._live]
        ended = [
            end or len(answer) >= self._prompts[i].limit
            for i, answer, end in zip(self._live, answers, self._ending.reached(answers))
        ]
        if not any(ended):
            return
        count = ended.count(False)
        targets = [row for row in range(count) if ended[row]]
        sources = [row for row in range(count, len(ended)) if not ended[row]]
        if targets:
            device = self._state.device
            source, target = (
                torch.tensor(sources, device=device),
                torch.tensor(targets, device=device),
            )
            self._cache.move(source, target, int(self._state[PLACE, source].max()))
            self._state[:, target] = self._state[:, source]
            self._uniforms[target] = self._uniforms[source]
            for row, other in zip(targets, sources):
                self._live[row] = self._live[other]
        del self._live[count:]
