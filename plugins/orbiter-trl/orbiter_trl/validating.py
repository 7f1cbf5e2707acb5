"""Validating: what a job's model, tokenizer and rows must be, found out without loading a weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from orbiter.errors import BackendError, ConfigError, RecordError
from orbiter.records import Task
from orbiter.train.backend import TrainJob
from orbiter.train.model_checks import check_answers, check_tokenizer, opening
from orbiter_trl.chat import to_chat
from orbiter_trl.data import Data
from orbiter_trl.loading import SCORING, from_where
from orbiter_trl.online import longest_prompt
from orbiter_trl.preferences import Tokeniser
from orbiter_trl.quiet import quiet
from orbiter_trl.rows import refusals, tokenise
from orbiter_trl.tools import shown_tools

CHUNKS = (1, 8, 64)
"""Rows that are tried at once, until one can be trained on; the last size goes on."""


def check_model(job: TrainJob) -> tuple[Any, PreTrainedTokenizerBase]:
    """Return the config and the tokenizer of the job's model.

    Raises:
        ConfigError: They cannot be loaded, do not fit each other, or lack what training needs.
    """
    folder = Path(job.model)
    if (folder / "adapter_config.json").is_file():
        base = _base_of(folder / "adapter_config.json")
        raise ConfigError(
            f"model must be whole, got {job.model!r}, which holds an adapter of {base!r}",
            hint="merge the adapter into its base, and start from the merged model",
        )
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ConfigError(
            f"model must be a hub id or a folder with a config.json, got {job.model!r}"
        )
    with opening(job.model), quiet():
        config = AutoConfig.from_pretrained(job.model, **from_where(job))
        tokenizer = AutoTokenizer.from_pretrained(job.model, **from_where(job))
    check_tokenizer(job.model, config, tokenizer)
    if job.algorithm not in SCORING:
        check_answers(job.model, config, algorithm=job.algorithm)
    return config, tokenizer


def check_rows(
    job: TrainJob, data: Data[Any], config: Any, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Raise ConfigError if no row of the job's data can be trained on, or a prompt leaves no room for an answer."""
    for path, rows in ((job.data, data.train), (job.eval_data, data.held_out)):
        if path is None or rows is None:
            continue
        if job.algorithm in PROBES:
            _one_learns(path, rows, job, tokenizer)
        else:
            _prompts_fit(path, rows, job, config, tokenizer)


def _one_learns(path: Path, rows: Sequence[Any], job: TrainJob, tokenizer: Any) -> None:
    if not rows:
        raise RecordError("must hold at least one Trajectory, got none", source=str(path))
    alarms: list[str] = []
    for chunk in _chunks(rows):
        alarms = []
        if PROBES[job.algorithm](chunk, tokenizer, job.config.max_length, alarms):
            return
    raise RecordError(
        f"must hold a row that can be trained on, got none; of the last rows: {'; '.join(alarms)}",
        source=str(path),
        hint="raise max_length, or look at the chat template: it must render an assistant's turn as it is",
    )


def _learning(chunk: Any, tokenizer: Any, max_length: int | None, alarms: list[str]) -> int:
    tokens = tokenise(chunk, tokenizer, max_length=max_length, end_ids=())
    alarms += tokens.alarms(context=None, max_length=max_length)
    return len(tokens.rows)


def _pairs(chunk: Any, tokenizer: Any, max_length: int | None, alarms: list[str]) -> int:
    return _kept(lambda tokens: tokens.pairs(chunk), tokenizer, max_length, alarms)


def _whole_pairs(chunk: Any, tokenizer: Any, max_length: int | None, alarms: list[str]) -> int:
    return _kept(lambda tokens: tokens.pairs(chunk, whole=True), tokenizer, max_length, alarms)


def _answers(chunk: Any, tokenizer: Any, max_length: int | None, alarms: list[str]) -> int:
    return _kept(lambda tokens: tokens.unpaired(chunk), tokenizer, max_length, alarms)


def _whole_answers(chunk: Any, tokenizer: Any, max_length: int | None, alarms: list[str]) -> int:
    return _kept(lambda tokens: tokens.unpaired(chunk, whole=True), tokenizer, max_length, alarms)


def _kept(make: Callable[..., Any], tokenizer: Any, max_length: Any, alarms: list[str]) -> int:
    tokens = Tokeniser(None, tokenizer, max_length, alarms)
    try:
        return len(make(tokens))
    except BackendError:  # which says that it found none
        return 0


PROBES: dict[str, Callable[..., int]] = {
    "sft": _learning,
    "spin": _learning,
    "reward": _whole_pairs,
    "dpo": _pairs,
    "simpo": _pairs,
    "orpo": _pairs,
    "kto": _answers,
    "prm": _whole_answers,
}
"""The algorithms that train on rows, and what counts those of a chunk that can be trained on."""


def _prompts_fit(
    path: Path, tasks: Sequence[Task], job: TrainJob, config: Any, tokenizer: Any
) -> None:
    """Raise if the longest prompt fills the model's context."""
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    longest = longest_prompt(tasks)
    with refusals():
        size = len(
            tokenizer.apply_chat_template(
                to_chat(longest.messages),
                tools=shown_tools(job.toolbox),
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
            )["input_ids"]
        )
    if context is not None and size >= context:
        raise RecordError(
            f"must leave room for an answer in the model's context of {context} tokens, got a prompt of {size}",
            source=str(path),
            line=next(n for n, task in enumerate(tasks, start=1) if task is longest),
            field="messages",
            hint="shorten it, leave the task out, or take a model with a longer context",
        )


def _chunks(rows: Iterable[Any]) -> Iterator[Sequence[Any]]:
    sizes = iter(CHUNKS)
    size, chunk = next(sizes), []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            size, chunk = next(sizes, size), []
    if chunk:
        yield chunk


def _base_of(file: Path) -> object:
    try:
        return orjson.loads(file.read_bytes())["base_model_name_or_path"]
    except (ValueError, LookupError, TypeError):
        return "an unnamed model"
