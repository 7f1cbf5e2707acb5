"""Reward models on pairs (Bradley and Terry 1952; Ouyang et al. 2022) with TRL's RewardTrainer."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import RewardConfig, RewardTrainer

from orbiter.records import Pair
from orbiter.train.backend import TrainJob
from orbiter_trl.data import Data, read_data
from orbiter_trl.offline import make_config, make_offline_trainer
from orbiter_trl.preferences import PairBatch, Tokeniser, pad_id_of, read_pairs
from orbiter_trl.settings import refuse_rewards
from orbiter_trl.training import Setup
from orbiter_trl.weighing import WeighingTrainer


@dataclass
class MarginConfig(RewardConfig):
    """TRL's arguments, and whether the chosen answer must lead by the pair's margin (Touvron et al. 2023, eq. 2)."""

    use_margin: bool = field(default=False)


CONFIG = MarginConfig
"""The class whose arguments a job's options are."""

IDLE = frozenset(
    {"chat_template_path", "dataset_num_proc", "eos_token", "model_init_kwargs", "pad_to_multiple_of", "pad_token",
     "remove_unused_columns"}
)  # fmt: skip
"""Arguments of it that would change nothing here."""


class PairRewardTrainer(WeighingTrainer, RewardTrainer):  # type: ignore[misc]
    """TRL's trainer, with weights of pairs."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def count_tokens(self, inputs: dict[str, Any]) -> int:
        """Return how many answers a batch has: the loss is on one score of each."""
        return len(inputs["input_ids"])


class ScoreBatch(PairBatch):
    """Collates pairs of which only the whole is scored."""

    def __call__(self, rows: Any) -> dict[str, Any]:
        """Return the batch."""
        batch = super().__call__(rows)
        del batch["completion_mask"]
        return batch


def check(job: TrainJob) -> Data[Pair]:
    """Return the job's pairs; raise if it asks for what this algorithm cannot do, or its data are no pairs."""
    refuse_rewards(job)
    with_margin = bool(job.options.get("use_margin"))
    return read_data(job, lambda path: read_pairs(path, with_margin=with_margin))


def make_arguments(job: TrainJob, folder: Path) -> MarginConfig:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return make_config(MarginConfig, job, folder)


def make_trainer(setup: Setup) -> tuple[PairRewardTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    columns = ("weight", "margin") if setup.args.use_margin else ("weight",)
    return make_offline_trainer(
        PairRewardTrainer,
        setup,
        table=partial(Tokeniser.pairs, whole=True),
        data_collator=ScoreBatch(pad_id_of(setup.tokenizer), columns=columns),
    )
