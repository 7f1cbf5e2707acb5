"""Supervised fine-tuning with TRL's SFTTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from orbiter import jsonl
from orbiter.errors import BackendError, ConfigError
from orbiter.records import Outcome, Trajectory
from orbiter.train.backend import TrainJob
from orbiter.train.tally import Tally
from orbiter_trl.bucketing import BucketingTrainer
from orbiter_trl.chat import context_of, end_ids
from orbiter_trl.data import Data, read_data
from orbiter_trl.rows import IGNORED, TokenRows, tokenise
from orbiter_trl.settings import refuse_rewards, trl_arguments
from orbiter_trl.training import Setup

CONFIG = SFTConfig
"""The class whose arguments a job's options are."""

IDLE = frozenset(
    {"assistant_only_loss", "chat_template_path", "completion_only_loss", "dataset_text_field", "truncation_mode"}
)  # fmt: skip
"""Arguments of it that would change nothing here."""


class CountingSFTTrainer(BucketingTrainer, SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, counting the tokens that carry loss."""

    tally: Tally

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        """Compute the loss, as the parent does."""
        if model.training:
            self.tally.token_count += int((inputs["labels"][:, 1:] != IGNORED).sum())
        return super().compute_loss(model, inputs, *more, **named)


def check(job: TrainJob) -> Data[Trajectory]:
    """Return the job's rows; raise if it asks for what this algorithm cannot do, or its data are no trajectories."""
    refuse_rewards(job)
    if job.options.get("packing") and job.config.max_length is None:
        raise ConfigError("max_length must be set for packing, got None")
    return read_data(job, lambda path: list(jsonl.read(path, Trajectory)))


def make_arguments(job: TrainJob, folder: Path) -> SFTConfig:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    packed = bool(job.options.get("packing"))
    return SFTConfig(
        **trl_arguments(job.config, job.options, folder=folder, evaluate=job.eval_data is not None),
        # The rows come cut to length; packing wants the bound for its bins.
        max_length=job.config.max_length if packed else None,
        dataset_kwargs=None if packed else {"skip_prepare_dataset": True},
    )


def make_trainer(setup: Setup) -> tuple[CountingSFTTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    job, data, model = setup.job, setup.data, setup.model
    ends = end_ids(model, setup.tokenizer)

    def tokens_of(path: Path, trajectories: list[Trajectory]) -> TokenRows:
        rows = tokenise(
            trajectories, setup.tokenizer, max_length=job.config.max_length, end_ids=ends
        )
        if not rows.rows:
            raise BackendError(
                f"{path} must hold a row that carries loss, got {len(rows.lengths)} rows that do not"
            )
        return rows

    rows = tokens_of(job.data, data.train)
    held_out = None
    if job.eval_data is not None and data.held_out is not None:
        held_out = _table(tokens_of(job.eval_data, data.held_out))
    trainer = CountingSFTTrainer(
        model=model,
        args=setup.args,
        train_dataset=_table(rows),
        eval_dataset=held_out,
        processing_class=setup.tokenizer,
        peft_config=setup.peft_config,
    )
    trainer.tally = setup.tally
    alarms = rows.alarms(context=context_of(model), max_length=job.config.max_length)
    return trainer, [*_unproven(data.train), *alarms]


def _unproven(rows: list[Trajectory]) -> list[str]:
    """Return an alarm if rows are imitated that a verifier did not pass; those that nobody judged are another thing."""
    count = sum(row.verdict is not None and row.verdict.outcome is not Outcome.PASS for row in rows)
    if not count:
        return []
    return [f"{count} of {len(rows)} rows failed or could not be judged, and are imitated"]


def _table(rows: TokenRows) -> Dataset:
    learned = rows.rows
    return Dataset.from_dict(
        {"input_ids": [row.ids for row in learned], "labels": [row.labels for row in learned]}
    )
