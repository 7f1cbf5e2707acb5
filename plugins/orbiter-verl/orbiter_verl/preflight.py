"""Preflight: what of a job's model and prompts can be seen without loading a weight, so that it fails early and not late.

It is for the interpreter that trains, which may know models that another does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orbiter import jsonl
from orbiter.errors import ConfigError, MissingPluginError
from orbiter.records import Task
from orbiter_verl.keys import Request

HEADS = ("ForSequenceClassification", "ForTokenClassification")
"""How the architectures end whose models score."""


def preflight(request: Request, files: Sequence[str]) -> list[str]:
    """Look at the model, its tokenizer and every prompt, and return alarms.

    Args:
        request: With the device decided.
        files: JSONL of tasks.

    Raises:
        ConfigError: The model cannot be trained here, or a prompt is too long; names file and line.
        MissingPluginError: torch does not find the GPU that is asked for.
    """
    import torch
    from transformers import AutoConfig, AutoTokenizer

    settings = request.settings
    if settings.device == "cuda" and settings.ray_address is None and not torch.cuda.is_available():
        raise MissingPluginError(
            "device 'cuda' needs a torch that finds the GPU, and this one does not",
            hint="orbiter doctor says what is missing; or set device to cpu",
        )
    folder = Path(request.model)
    how = {"trust_remote_code": settings.trust_remote_code, "local_files_only": folder.is_dir()}
    try:
        config = AutoConfig.from_pretrained(request.model, **how)
        tokenizer = AutoTokenizer.from_pretrained(request.model, **how)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model {request.model!r} cannot be loaded: {error}") from error
    _check_tokenizer(request.model, config, tokenizer)
    for file in files:
        _check_prompts(Path(file), tokenizer, settings.max_prompt_length)
    names = config.architectures or []
    if names and all(name.endswith(HEADS) for name in names):
        raise ConfigError(
            f"model must be one that answers, got {request.model!r}, which scores ({names[0]})",
            hint="start from the model that it was trained from; one that scores can be a reward",
        )
    if folder.is_dir():
        _check_weights(folder)
    return _tight(request, config)


def _check_tokenizer(model: str, config: Any, tokenizer: Any) -> None:
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


def _check_prompts(path: Path, tokenizer: Any, bound: int) -> None:
    for line, task in enumerate(jsonl.read(path, Task), start=1):
        chat = [{"role": m.role, "content": m.content} for m in task.messages]
        count = len(tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"])
        if count > bound:
            raise ConfigError(
                f"{path} line {line}: prompt must be at most max_prompt_length={bound} tokens, got {count}",
                hint="raise the option max_prompt_length, or leave the task out",
            )


def _check_weights(folder: Path) -> None:
    """Raise ConfigError unless a folder holds weights in the format of safetensors that can be read."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ConfigError(
            f"model {str(folder)!r} must hold its weights, and there is no model.safetensors",
            hint="save it with save_pretrained of transformers",
        )
    for file in files:
        try:
            with safe_open(file, framework="pt") as weights:
                weights.keys()
        except (OSError, SafetensorError) as error:
            raise ConfigError(
                f"model {str(folder)!r} must hold its weights, and {file.name} cannot be read: {error}",
                hint="copy or save the model again",
            ) from error


def _tight(request: Request, config: Any) -> list[str]:
    """Return an alarm if prompt and answer together may be longer than the model's context."""
    settings = request.settings
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    room = settings.max_prompt_length + settings.max_response_length
    if context is None or room <= context:
        return []
    return [
        f"max_prompt_length and max_response_length together are {room} tokens, and the model's context is {context}"
    ]
