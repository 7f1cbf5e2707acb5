"""Odds ratio preference optimisation (Hong et al. 2024) with TRL's ORPOTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orbiter.checks import check_number
from orbiter.records import Pair
from orbiter.train.backend import TrainJob
from orbiter_trl.data import Data, read_data
from orbiter_trl.experimental import experimental
from orbiter_trl.offline import make_config
from orbiter_trl.preferences import read_pairs
from orbiter_trl.reference_free import IDLE as IDLE
from orbiter_trl.reference_free import LONGEST, ReferenceFreeTrainer, make_pair_trainer
from orbiter_trl.settings import refuse_rewards
from orbiter_trl.training import Setup

ORPOConfig, ORPOTrainer = experimental("orpo", "ORPOConfig", "ORPOTrainer")

CONFIG = ORPOConfig
"""The class whose arguments a job's options are."""


class PairORPOTrainer(ReferenceFreeTrainer, ORPOTrainer):  # type: ignore[misc, valid-type]
    """TRL's trainer on tokens that are ready, with weights of pairs."""


def check(job: TrainJob) -> Data[Pair]:
    """Return the job's pairs; raise if it asks for what this algorithm cannot do, or its data are no pairs."""
    refuse_rewards(job)
    check_number("beta", job.options.get("beta", 0.1), "[0, inf)")
    return read_data(job, read_pairs)


def make_arguments(job: TrainJob, folder: Path) -> Any:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return make_config(ORPOConfig, job, folder, max_length=LONGEST)


def make_trainer(setup: Setup) -> tuple[PairORPOTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    return make_pair_trainer(PairORPOTrainer, setup)
