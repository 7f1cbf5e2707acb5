"""Chat: how messages become a model's text, the same for answering and for training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orbiter.convert import unstructure
from orbiter.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NANO_PARAMETERS = 5_000_000
"""Models below this size run on one CPU thread."""


def to_chat(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages as chat templates expect them: arguments of tool calls as objects, not as JSON text."""
    rows = []
    for message in messages:
        row = unstructure(message)
        if message.tool_calls:
            row["tool_calls"] = [_with_object_arguments(call) for call in row["tool_calls"]]
        row.setdefault("content", None)
        rows.append(row)
    return rows


def _with_object_arguments(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        return call
    return (
        {**call, "function": {**function, "arguments": arguments}}
        if isinstance(arguments, dict)
        else call
    )


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the tokens that end an answer: the model's, the tokenizer's, and the one that the chat template writes after a turn."""
    found: list[int] = []
    generation = getattr(model, "generation_config", None)  # a model that scores has none
    configured = generation.eos_token_id if generation else model.config.eos_token_id
    for item in (configured, tokenizer.eos_token_id):
        found += item if isinstance(item, list) else [item] if item is not None else []
    probe = "orbiter"
    try:
        turn = tokenizer.apply_chat_template(
            [{"role": "user", "content": probe}, {"role": "assistant", "content": probe}],
            tokenize=False,
        )
    except Exception:  # a template may refuse this conversation; then its end token is not known
        turn = ""
    after = tokenizer(turn.rpartition(probe)[2].lstrip(), add_special_tokens=False)["input_ids"]
    marker = tokenizer.added_tokens_decoder.get(after[0]) if after else None
    if marker is not None and marker.special:
        found.append(after[0])
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
