"""Checks of the model that a training starts from: its files, and what transformers has loaded of them; the same for all backends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orbiter.errors import ConfigError, OrbiterError

HEADS = ("ForSequenceClassification", "ForTokenClassification")
"""How the architectures end whose models score."""


@contextmanager
def opening(model: str) -> Iterator[None]:
    """Turn whatever a library raises of a model's files into a ConfigError of one line."""
    try:
        yield
    except OrbiterError:
        raise
    except Exception as error:
        # Of torn files, anything: KeyError, TypeError, errors of the library's own.
        said = " ".join(str(error).split())
        if not isinstance(error, OSError | ValueError):
            said = f"{type(error).__name__}: {said}"
        raise ConfigError(f"model {model!r} cannot be loaded: {said}") from error


def check_tokenizer(model: str, config: Any, tokenizer: Any) -> None:
    """Raise ConfigError unless a model's tokenizer has what conversations need, and no more tokens than the model.

    Args:
        model: Its name in the message.
        config: The model's, of transformers.
        tokenizer: The model's, of transformers.
    """
    whose = f"tokenizer of {model!r}"
    if tokenizer.chat_template is None:
        raise ConfigError(
            f"{whose} must have a chat template, got none",
            hint="start from an instruction-tuned model, or save the tokenizer with a chat_template",
        )
    if tokenizer.eos_token is None:
        raise ConfigError(
            f"{whose} must name an end token (eos_token), got none",
            hint="without one no answer can end, and nothing can be padded",
        )
    size = config.get_text_config().vocab_size
    over = max(tokenizer.get_vocab().values()) + 1
    if over > size:
        raise ConfigError(
            f"{whose} must fit the vocabulary of the model, which has {size} tokens, got {over}",
            hint="the tokenizer is another model's, or tokens were added: resize the model's embeddings and save both",
        )


def check_answers(model: str, config: Any, *, algorithm: str) -> None:
    """Raise ConfigError if a model that is to answer is one that scores.

    Args:
        model: Its name in the message.
        config: The model's, of transformers.
        algorithm: What needs answers.
    """
    names = config.architectures or []
    if names and all(name.endswith(HEADS) for name in names):
        raise ConfigError(
            f"model must be one that answers for {algorithm}, got {model!r}, which scores ({names[0]})",
            hint="start from the model that it was trained from; one that scores can be a reward",
        )


def check_model_weights(model: str) -> None:
    """Raise ConfigError unless a model's folder has its weights, in files of safetensors that can be read.

    A model that is named by its hub id is not looked at.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(model)
    if not folder.is_dir():
        return
    for file in _files(folder):
        try:
            with safe_open(file, framework="pt") as weights:
                weights.keys()
        except (OSError, SafetensorError) as error:
            raise ConfigError(
                f"model {model!r} must hold its weights, and {file.name} cannot be read: {error}",
                hint="copy or save the model again",
            ) from error


def _files(folder: Path) -> list[Path]:
    """Return the files of a model's weights, there or not."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        if not (folder / "model.safetensors").is_file():
            raise ConfigError(
                f"model {str(folder)!r} must hold its weights, and there is no model.safetensors",
                hint="save it with save_pretrained of transformers",
            )
        return [folder / "model.safetensors"]
    try:
        shards = json.loads(index.read_bytes())["weight_map"].values()
        # A name out of the folder is no shard of it.
        return [folder / Path(name).name for name in sorted(set(shards))]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"model {str(folder)!r} must hold its weights, and {index.name} cannot be read"
        ) from error
