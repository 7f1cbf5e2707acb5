"""REINFORCE with the leave-one-out baseline (Ahmadian et al. 2024) with TRL's RLOOTrainer."""

from __future__ import annotations

from pathlib import Path

from trl import RLOOConfig, RLOOTrainer

from orbiter.records import Task
from orbiter.train.backend import TrainJob
from orbiter_trl.data import Data, read_data
from orbiter_trl.groups import GroupTrainer, make_group_arguments, make_group_trainer
from orbiter_trl.online import check_online, read_tasks
from orbiter_trl.settings import check_reference
from orbiter_trl.training import Setup

CONFIG = RLOOConfig
"""The class whose arguments a job's options are."""

IDLE = frozenset({"reward_weights"})
"""Arguments of it that would change nothing here."""


class GroupRLOOTrainer(GroupTrainer, RLOOTrainer):  # type: ignore[misc]
    """TRL's trainer, with groups that are counted."""


def check(job: TrainJob) -> Data[Task]:
    """Return the job's tasks; raise if it asks for what this algorithm cannot do, or its data are no tasks."""
    check_online(job, bound="max_completion_length")
    check_reference(job, beta=0.05)
    return read_data(job, lambda path: read_tasks(path, job))


def make_arguments(job: TrainJob, folder: Path) -> RLOOConfig:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return make_group_arguments(RLOOConfig, job, folder)


def make_trainer(setup: Setup) -> tuple[GroupRLOOTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    return make_group_trainer(GroupRLOOTrainer, setup)
