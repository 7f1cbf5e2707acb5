"""What the algorithms that train on rows of preferences share: their arguments, and a trainer on a table of tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from datasets import Dataset

from orbiter.train.backend import TrainJob
from orbiter_trl.preferences import Tokeniser
from orbiter_trl.settings import trl_arguments
from orbiter_trl.training import Setup

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


def make_offline_trainer(
    trainer_class: Any,
    setup: Setup,
    *,
    table: Callable[[Tokeniser, list[Any]], Dataset],
    data_collator: Any,
) -> tuple[Any, list[str]]:
    """Return a trainer on the tables of the job's data, and the alarms about them."""
    data = setup.data
    tokens = Tokeniser(setup.model, setup.tokenizer, setup.job.config.max_length)
    trainer = trainer_class(
        model=setup.model,
        args=setup.args,
        data_collator=data_collator,
        train_dataset=table(tokens, data.train),
        eval_dataset=None if data.held_out is None else table(tokens, data.held_out),
        processing_class=setup.tokenizer,
        peft_config=setup.peft_config,
    )
    trainer.tally = setup.tally
    return trainer, tokens.alarms
