"""Group-relative policy optimisation (Shao et al. 2024) and its kin, with TRL's GRPOTrainer."""

from __future__ import annotations

from pathlib import Path

from trl import GRPOConfig, GRPOTrainer

from orbiter.errors import ConfigError
from orbiter.records import Task
from orbiter.train.backend import TrainJob
from orbiter_trl.data import Data, read_data
from orbiter_trl.groups import GroupTrainer, make_group_arguments, make_group_trainer
from orbiter_trl.online import check_online, read_tasks
from orbiter_trl.settings import check_choices, check_reference
from orbiter_trl.training import Setup

CONFIG = GRPOConfig
"""The class whose arguments a job's options are."""

IDLE = frozenset({"reward_weights"})
"""Arguments of it that would change nothing here."""

LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo")
"""The names of losses in TRL 1.16."""

LEVELS = ("token", "sequence")
"""What the importance ratio is of: each token, or the whole answer, as in GSPO."""

NEEDS = {"luspo": "sequence", "vespo": "token"}
"""The losses that are defined for one of them alone."""


class GroupGRPOTrainer(GroupTrainer, GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer, with groups that are counted."""


def check(job: TrainJob) -> Data[Task]:
    """Return the job's tasks; raise if it asks for what this algorithm cannot do, or its data are no tasks."""
    check_online(job, bound="max_completion_length")
    check_reference(job, beta=0.0)
    loss = job.options.get("loss_type", "dapo")
    level = job.options.get("importance_sampling_level", "token")
    check_choices("loss_type", loss, LOSSES)
    check_choices("importance_sampling_level", level, LEVELS)
    if NEEDS.get(loss, level) != level:
        raise ConfigError(
            f"importance_sampling_level must be {NEEDS[loss]!r} for the loss {loss!r}, got {level!r}"
        )
    return read_data(job, lambda path: read_tasks(path, job))


def make_arguments(job: TrainJob, folder: Path) -> GRPOConfig:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return make_group_arguments(GRPOConfig, job, folder)


def make_trainer(setup: Setup) -> tuple[GroupGRPOTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    return make_group_trainer(GroupGRPOTrainer, setup)
