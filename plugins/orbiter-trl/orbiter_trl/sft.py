"""Supervised fine-tuning with TRL's SFTTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from orbiter.errors import BackendError
from orbiter.records import Trajectory
from orbiter.train.backend import TrainJob
from orbiter_trl.chat import end_ids
from orbiter_trl.reading import read_records
from orbiter_trl.rows import TokenRows, tokenise
from orbiter_trl.settings import trl_arguments

CONFIG = SFTConfig


class CountingSFTTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, counting the tokens that carry loss."""

    trained_token_count = 0

    def training_step(
        self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any
    ) -> torch.Tensor:
        """Take one step, as the parent does."""
        self.trained_token_count += int((inputs["labels"][:, 1:] != -100).sum())
        return super().training_step(model, inputs, *more, **named)


def make_trainer(
    job: TrainJob,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    peft_config: Any,
    folder: Path,
) -> tuple[CountingSFTTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    ends = end_ids(model, tokenizer)
    max_length = job.config.max_length

    def rows_of(path: Path) -> TokenRows:
        found = tokenise(
            read_records(path, Trajectory), tokenizer, max_length=max_length, end_ids=ends
        )
        if not found.rows:
            raise BackendError(
                f"{path} must hold a row that carries loss, got {len(found.lengths)} rows that do not"
            )
        return found

    rows = rows_of(job.data)
    packed = bool(job.options.get("packing"))
    arguments = trl_arguments(
        job.config, job.options, folder=folder, evaluate=job.eval_data is not None
    )
    args = SFTConfig(
        **arguments,
        # The rows are cut already; packing wants the bound for its bins.
        max_length=max_length if packed else None,
        dataset_kwargs=None if packed else {"skip_prepare_dataset": True},
    )
    trainer = CountingSFTTrainer(
        model=model,
        args=args,
        train_dataset=_table(rows),
        eval_dataset=None if job.eval_data is None else _table(rows_of(job.eval_data)),
        processing_class=tokenizer,
        peft_config=peft_config,
    )
    return trainer, rows.alarms(context=context, max_length=max_length)


def _table(rows: TokenRows) -> Dataset:
    return Dataset.from_dict(
        {"input_ids": [r.ids for r in rows.rows], "labels": [r.labels for r in rows.rows]}
    )
