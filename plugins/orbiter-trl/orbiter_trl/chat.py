"""Chat: how messages become a model's text, the same for answering and for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbiter.generate.chat_template import to_chat, turn_end_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["NANO_PARAMETERS", "context_of", "end_ids", "fit_threads", "to_chat"]

NANO_PARAMETERS = 5_000_000
"""Models below this size run on one CPU thread."""


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the tokens that end an answer: the one that the chat template writes after a turn, the model's, and the tokenizer's."""
    generation = getattr(model, "generation_config", None)  # a model that scores has none
    configured = generation.eos_token_id if generation else model.config.eos_token_id
    found: list[int] = []
    for item in (turn_end_id(tokenizer), configured, tokenizer.eos_token_id):
        found += item if isinstance(item, list) else [item] if item is not None else []
    return tuple(dict.fromkeys(found))


def context_of(model: PreTrainedModel) -> int | None:
    """Return the longest prompt and answer together, in tokens, that the model was made for; None if its config does not say."""
    found: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return found


def fit_threads(model: PreTrainedModel, threads: int | None = None) -> None:
    """Set torch's CPU threads, for the whole process: ``threads``, or 1 for a nano model, for which a second costs more than it gives."""
    import torch

    if threads is not None or model.num_parameters() < NANO_PARAMETERS:
        torch.set_num_threads(threads or 1)
