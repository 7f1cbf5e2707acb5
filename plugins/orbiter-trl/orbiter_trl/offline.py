"""What the algorithms that train on rows of preferences share: their arguments, and a trainer on a table of tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from orbiter.train.backend import TrainJob
from orbiter.train.tally import Tally
from orbiter_trl.preferences import Tokeniser, read_pairs
from orbiter_trl.settings import trl_arguments

C = TypeVar("C")


def make_config(
    config_class: type[C], job: TrainJob, folder: Path, *, max_length: int | None = None
) -> C:
    """Return TRL's arguments for the job.

    Args:
        config_class: TRL's, or a subclass.
        job: What to train.
        folder: Gets the resumable checkpoints.
        max_length: TRL's own bound, which must cut nothing: the rows come cut to length, or without those that are too long.
    """
    return config_class(
        **trl_arguments(job.config, job.options, folder=folder, evaluate=job.eval_data is not None),
        max_length=max_length,
        remove_unused_columns=False,
    )


def pair_table(tokens: Tokeniser, path: Path) -> Dataset:
    """Return the pairs of a file as a table."""
    return tokens.pairs(read_pairs(path))


def make_offline_trainer(
    trainer_class: Any,
    job: TrainJob,
    args: Any,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    table: Callable[[Tokeniser, Path], Dataset],
    data_collator: Any,
    peft_config: Any,
    tally: Tally,
) -> tuple[Any, list[str]]:
    """Return a trainer on the tables of the job's files, and the alarms about its data."""
    tokens = Tokeniser(model, tokenizer, job.config.max_length)
    trainer = trainer_class(
        model=model,
        args=args,
        data_collator=data_collator,
        train_dataset=table(tokens, job.data),
        eval_dataset=None if job.eval_data is None else table(tokens, job.eval_data),
        processing_class=tokenizer,
        peft_config=peft_config,
    )
    trainer.tally = tally
    return trainer, tokens.alarms
