"""Odds ratio preference optimisation (Hong et al. 2024) with TRL's ORPOTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from orbiter.checks import check_number
from orbiter.train.backend import TrainJob
from orbiter.train.tally import Tally
from orbiter_trl.experimental import experimental
from orbiter_trl.offline import make_config
from orbiter_trl.preferences import read_pairs
from orbiter_trl.reference_free import IDLE as IDLE
from orbiter_trl.reference_free import LONGEST, ReferenceFreeTrainer, make_pair_trainer
from orbiter_trl.settings import refuse_rewards

ORPOConfig, ORPOTrainer = experimental("orpo", "ORPOConfig", "ORPOTrainer")

CONFIG = ORPOConfig
"""The class whose arguments a job's options are."""


class PairORPOTrainer(ReferenceFreeTrainer, ORPOTrainer):  # type: ignore[misc, valid-type]
    """TRL's trainer on tokens that are ready, with weights of pairs."""


def check(job: TrainJob) -> None:
    """Raise if the job asks for what this algorithm cannot do, or its data are no pairs."""
    refuse_rewards(job)
    check_number("beta", job.options.get("beta", 0.1), "[0, inf)")
    for path in filter(None, (job.data, job.eval_data)):
        read_pairs(path)


def make_arguments(job: TrainJob, folder: Path) -> Any:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return make_config(ORPOConfig, job, folder, max_length=LONGEST)


def make_trainer(
    job: TrainJob,
    args: Any,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    peft_config: Any,
    tally: Tally,
) -> tuple[PairORPOTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    return make_pair_trainer(
        PairORPOTrainer, job, args, model, tokenizer, peft_config=peft_config, tally=tally
    )
