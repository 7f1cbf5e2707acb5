"""Preflight: what of a job's model and prompts can be seen without loading a weight, so that it fails early and not late.

It is for the interpreter that trains, which may know models that another does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from orbiter import jsonl
from orbiter.errors import ConfigError, MissingPluginError, RecordError
from orbiter.records import Task
from orbiter.train.model_checks import check_answers, check_model_weights, check_tokenizer, opening
from orbiter_verl.keys import Request


def preflight(request: Request, files: Sequence[str]) -> list[str]:
    """Look at the model, its tokenizer and every prompt, and return alarms.

    Args:
        request: With the device decided.
        files: JSONL of tasks.

    Raises:
        ConfigError: The model cannot be trained here, or a prompt is too long; names file and line.
        RecordError: The chat template refuses a prompt; names file, line and field.
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
    with opening(request.model):
        config = AutoConfig.from_pretrained(request.model, **how)
        tokenizer = AutoTokenizer.from_pretrained(request.model, **how)
    check_tokenizer(request.model, config, tokenizer)
    check_answers(request.model, config, algorithm=request.algorithm)
    for file in files:
        _check_prompts(Path(file), tokenizer, settings.max_prompt_length)
    check_model_weights(request.model)
    return _tight(request, config)


def _check_prompts(path: Path, tokenizer: Any, bound: int) -> None:
    for line, task in enumerate(jsonl.read(path, Task), start=1):
        chat = [{"role": m.role, "content": m.content} for m in task.messages]
        try:
            tokens = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
        except TemplateError as error:
            raise RecordError(
                f"must be rendered by the chat template, which refused it: {error}",
                source=str(path),
                line=line,
                field="messages",
            ) from error
        count = len(tokens)
        if count > bound:
            raise ConfigError(
                f"{path} line {line}: prompt must be at most max_prompt_length={bound} tokens, got {count}",
                hint="raise the option max_prompt_length, or leave the task out",
            )


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
