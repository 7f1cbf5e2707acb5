"""Slots: the keys and values of the answers under way, in one buffer whose rows are given from one answer to the next.

Shapes: S slots, B of them in use (always the first B), H heads, C capacity in tokens, D width of a head.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

_ATTENTION = ("sdpa", "eager")
"""Attention that takes any mask; flash attention knows causal ones alone."""


def fits_slots(model: PreTrainedModel) -> bool:
    """Return whether the model's cache can be kept in slots.

    It can where each layer keeps the keys and values of all tokens, and where a token's place is told by ``position_ids`` and what
    it sees by a mask of its own: decoders of transformers itself with full attention, such as Llama, Qwen and GPT-2. A sliding window, a
    recurrent state (Mamba), positions that are counted from the mask (ALiBi), flash attention, several modalities and code that came with a
    model are not that.
    """
    config = model.config
    if config.is_encoder_decoder or config.get_text_config(decoder=True) is not config:
        return False
    known = type(model).__module__.startswith("transformers.models.")
    if not (known and model._supports_attention_backend and model._can_compile_fullgraph):
        return False
    takes = inspect.signature(model.forward).parameters
    return (
        config._attn_implementation in _ATTENTION
        # Sparse attention, whose indexer keeps a cache of its own.
        and not hasattr(config, "index_topk")
        and {"position_ids", "past_key_values", "logits_to_keep"} <= set(takes)
        and all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
    )


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values (S, H, C, D); a step adds one token to each row in use, at that row's own place."""

    def __init__(self, slots: int) -> None:
        super().__init__()
        self._slots = slots
        self._rows = self._places = torch.empty(0, dtype=torch.long)
        self._width = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take the sizes of a head from the first keys and values."""
        self.keys, self.values = (
            states.new_zeros(self._slots, states.shape[1], 0, states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def reserve(self, capacity: int) -> None:
        """Make room for rows of ``capacity`` tokens."""
        more = capacity - self.keys.shape[2]
        if more > 0:
            # One layer after the other, so that no two whole caches exist at once.
            self.keys = torch.nn.functional.pad(self.keys, (0, 0, 0, more))
            self.values = torch.nn.functional.pad(self.values, (0, 0, 0, more))

    def fill(self, first: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write whole prompts into the rows from ``first`` on."""
        rows, width = slice(first, first + len(keys)), keys.shape[2]
        self.keys[rows, :, :width], self.values[rows, :, :width] = keys, values

    def move(self, source: torch.Tensor, target: torch.Tensor, width: int) -> None:
        """Copy rows over others, up to ``width`` tokens."""
        self.keys[target, :, :width] = self.keys[source, :, :width]
        self.values[target, :, :width] = self.values[source, :, :width]

    def aim(self, rows: torch.Tensor, places: torch.Tensor, width: int) -> None:
        """Say where the next token of each row is written (B,), and how many places can be seen."""
        self._rows, self._places, self._width = rows, places, width

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one token per row, and return what can be seen (B, H, width, D)."""
        self.keys[self._rows, :, self._places] = key_states[:, :, 0]
        self.values[self._rows, :, self._places] = value_states[:, :, 0]
        count = len(self._rows)
        return self.keys[:count, :, : self._width], self.values[:count, :, : self._width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002
        """Return how many places can be seen, and the first of them."""
        return self._width, 0

    def get_seq_length(self) -> int:
        """Return how many places can be seen before the next token."""
        return max(self._width - 1, 0)

    def get_max_length(self) -> int:
        """Return -1: it grows."""
        return -1

    get_max_cache_shape = get_max_length
    """Its name before transformers 5.13."""


class SlotCache(Cache):
    """All layers' slots.

    Args:
        layers: Number of layers.
        slots: Number of rows.
    """

    def __init__(self, layers: int, slots: int) -> None:
        super().__init__(layers=[SlotLayer(slots) for _ in range(layers)])
        self._capacity = 0

    def fill(self, first: int, prompts: Cache, index: torch.Tensor, *, most: int) -> None:
        """Give the slots from ``first`` on the prompts ``index`` of another cache; ``most`` bounds the tokens of any row."""
        self.reserve(prompts.get_seq_length(), most=most)
        for layer, read in zip(self.layers, prompts.layers):
            if not layer.is_initialized:
                layer.lazy_initialization(read.keys, read.values)
                layer.reserve(self._capacity)
            layer.fill(first, read.keys[index], read.values[index])

    def reserve(self, width: int, *, most: int) -> None:
        """Make room for ``width`` tokens a row; by half more each time, so that growing stays cheap, but never beyond ``most``."""
        if width <= self._capacity:
            return
        self._capacity = max(width, min(most, self._capacity * 3 // 2, width + 4096))
        for layer in self.layers:
            if layer.is_initialized:
                layer.reserve(self._capacity)

    def move(self, source: torch.Tensor, target: torch.Tensor, width: int) -> None:
        """Copy rows over others, up to ``width`` tokens."""
        for layer in self.layers:
            layer.move(source, target, width)

    def aim(self, rows: torch.Tensor, places: torch.Tensor, width: int) -> None:
        """Say where the next token of each row is written (B,), and how many places can be seen."""
        for layer in self.layers:
            layer.aim(rows, places, width)
