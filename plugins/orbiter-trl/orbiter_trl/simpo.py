"""Simple preference optimisation (Meng et al. 2024) and its kin, with TRL's CPOTrainer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orbiter.checks import check_number
from orbiter.records import Pair
from orbiter.train.backend import TrainJob
from orbiter_trl.data import Data, read_data
from orbiter_trl.experimental import experimental
from orbiter_trl.offline import make_config
from orbiter_trl.preferences import read_pairs
from orbiter_trl.reference_free import IDLE as IDLE
from orbiter_trl.reference_free import LONGEST, ReferenceFreeTrainer, make_pair_trainer
from orbiter_trl.settings import check_choices, refuse_rewards
from orbiter_trl.training import Setup

CPOConfig, CPOTrainer = experimental("cpo", "CPOConfig", "CPOTrainer")

LOSSES = ("simpo", "sigmoid", "hinge", "ipo")
"""The names of losses in TRL's CPO; all but the first are Xu et al. 2024's."""


@dataclass
class SimPOConfig(CPOConfig):  # type: ignore[misc, valid-type]
    """TRL's arguments with the values of SimPO; ``cpo_alpha`` > 0 adds a supervised loss on the chosen answer."""

    loss_type: str = field(default="simpo")
    beta: float = field(default=2.0)
    simpo_gamma: float = field(default=1.0)
    cpo_alpha: float = field(default=0.0)


CONFIG = SimPOConfig
"""The class whose arguments a job's options are."""


class PairCPOTrainer(ReferenceFreeTrainer, CPOTrainer):  # type: ignore[misc, valid-type]
    """TRL's trainer on tokens that are ready, with weights of pairs."""


def check(job: TrainJob) -> Data[Pair]:
    """Return the job's pairs; raise if it asks for what this algorithm cannot do, or its data are no pairs."""
    refuse_rewards(job)
    check_choices("loss_type", job.options.get("loss_type", "simpo"), LOSSES)
    check_number("beta", job.options.get("beta", 2.0), "(0, inf)")
    check_number("simpo_gamma", job.options.get("simpo_gamma", 1.0), "[0, inf)")
    return read_data(job, read_pairs)


def make_arguments(job: TrainJob, folder: Path) -> SimPOConfig:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return make_config(SimPOConfig, job, folder, max_length=LONGEST)


def make_trainer(setup: Setup) -> tuple[PairCPOTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    return make_pair_trainer(PairCPOTrainer, setup)
