"""Settings: orbiter's TrainConfig and a job's options as the arguments of a TRL config class."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from orbiter.errors import BackendError, ConfigError, MissingPluginError, did_you_mean
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig

SCHEDULERS = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
"""The config's name of a schedule to transformers' name."""

TRACKERS = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "trackio": "trackio",
    "mlflow": "mlflow",
}
"""Tracker to the distribution and module that it needs."""

FROM_CONFIG = {
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "learning_rate": "learning_rate",
    "warmup_steps": "warmup_steps",
    "eval_steps": "eval_every",
    "max_steps": "max_steps",
    "gradient_accumulation_steps": "gradient_accumulation",
    "max_length": "max_length",
    "lr_scheduler_type": "lr_scheduler",
    "weight_decay": "weight_decay",
    "adam_beta2": "adam_beta2",
    "max_grad_norm": "max_grad_norm",
    "bf16": "precision",
    "fp16": "precision",
    "gradient_checkpointing": "gradient_checkpointing",
    "save_steps": "save_every",
    "logging_steps": "log_every",
    "seed": "seed",
    "report_to": "report_to",
}
"""Arguments of TRL that the TrainConfig sets, and by which field."""

OWN = frozenset(
    {
        "output_dir", "dataset_kwargs", "disable_tqdm", "eval_strategy", "hub_model_id", "hub_token", "load_best_model_at_end",
        "logging_nan_inf_filter", "logging_strategy", "model_init_kwargs", "overwrite_output_dir", "push_to_hub", "resume_from_checkpoint",
        "save_only_model", "save_strategy", "save_total_limit",
    }
)  # fmt: skip
"""Arguments that the backend must set itself, to keep its promises about folders and resuming."""


def check_options(
    options: Mapping[str, Any], config_class: type, *, idle: Set[str] = frozenset()
) -> None:
    """Raise ConfigError unless every option is an argument of ``config_class`` that is free to be set and does something.

    Args:
        options: A job's.
        config_class: Of TRL, or a subclass with arguments of our own.
        idle: Its arguments that would change nothing.
    """
    known = {f.name for f in dataclasses.fields(config_class) if f.init} - OWN - FROM_CONFIG.keys()
    for name in options:
        if name in idle:
            raise ConfigError(
                f"option {name!r} must be left out, since it would change nothing here, got {options[name]!r}"
            )
        if name in FROM_CONFIG:
            raise ConfigError(
                f"option {name!r} must be left to the config, got {options[name]!r}",
                hint=f"set {FROM_CONFIG[name]} in the config instead",
            )
        if name in OWN:
            raise ConfigError(f"option {name!r} must be left to the backend, got {options[name]!r}")
        if name not in known:
            raise ConfigError(
                f"unknown option {name!r}{did_you_mean(name, known)}",
                hint=f"options are arguments of {config_class.__name__} in TRL {version('trl')}",
            )


def check_choices(name: str, value: Any, known: Collection[str]) -> None:
    """Raise ConfigError unless the value is one of those that are known."""
    if value not in known:
        raise ConfigError(
            f"{name} must be one of {', '.join(known)}, got {value!r}{did_you_mean(str(value), known)}"
        )


def check_reference(job: TrainJob, *, beta: float) -> None:
    """Raise ConfigError if a job asks for a moving reference that it cannot have, or for adapters that its loss would not see.

    Args:
        job: Of an algorithm with a reference.
        beta: The algorithm's default weight of it; with 0 there is none.
    """
    options, lora = job.options, job.config.lora
    if lora is not None and "lm_head" in lora.target_modules:
        raise ConfigError(
            f"target_modules of lora must leave out lm_head for {job.algorithm}, got {lora.target_modules!r}",
            hint="the trainer reads the weights of that layer directly, past an adapter; all-linear leaves it out",
        )
    if not options.get("sync_ref_model"):
        return
    if lora is not None:
        raise ConfigError(
            "sync_ref_model must be left out with lora: the reference is the model without its adapters, and cannot move",
            hint="train all weights, or keep the first model as the reference",
        )
    if options.get("precompute_ref_log_probs"):
        raise ConfigError(
            "sync_ref_model must be left out with precompute_ref_log_probs, which takes the reference as it is at first"
        )
    if options.get("beta", beta) == 0:
        raise ConfigError(
            f"beta must be above 0 with sync_ref_model, got {options.get('beta', beta)}",
            hint="without beta there is no reference that could be moved",
        )


def refuse_rewards(job: TrainJob) -> None:
    """Raise ConfigError if an algorithm that samples nothing is given rewards."""
    if job.rewards:
        raise ConfigError(
            f"rewards must be empty for {job.algorithm}, got {[r.name for r in job.rewards]!r}"
        )


def check_config(config: TrainConfig) -> None:
    """Raise unless the schedule is known and the trackers are installed."""
    if config.lr_scheduler is not None:
        check_choices("lr_scheduler", config.lr_scheduler, SCHEDULERS)
    for name in config.report_to:
        if name not in TRACKERS:
            raise ConfigError(
                f"report_to must be among {', '.join(TRACKERS)}, got {name!r}{did_you_mean(name, TRACKERS)}"
            )
        if importlib.util.find_spec(TRACKERS[name]) is None:
            raise MissingPluginError(
                f"tracker {name!r} is not installed", hint=f"pip install {TRACKERS[name]}"
            )


@contextmanager
def tracked() -> Iterator[None]:
    """Name the tracker that failed, such as one that nobody has logged in to.

    Raises:
        BackendError: A tracker raised.
    """
    try:
        yield
    except Exception as error:
        module = type(error).__module__.partition(".")[0]
        for name, owner in TRACKERS.items():
            if owner == module:
                said = " ".join(str(error).split())
                raise BackendError(
                    f"tracker {name!r} raised {type(error).__name__}: {said}",
                    hint="mend that and train again, or leave it out of report_to",
                ) from error
        raise


def trl_arguments(
    config: TrainConfig, options: Mapping[str, Any], *, folder: Path, evaluate: bool
) -> dict[str, Any]:
    """Return the arguments of a TRL config class.

    Args:
        config: What every backend understands.
        options: Arguments of TRL's own.
        folder: Where resumable checkpoints go.
        evaluate: Whether there is data to evaluate on.
    """
    import torch

    cpu = bool(options.get("use_cpu")) or not torch.cuda.is_available()
    bf16 = config.precision == "bf16" or (
        config.precision == "auto" and not cpu and torch.cuda.is_bf16_supported()
    )
    return {
        "use_cpu": cpu,
        # Pinned memory speeds up copies to a GPU; without one it only warns.
        "dataloader_pin_memory": not cpu,
        "per_device_eval_batch_size": config.batch_size,
        **options,
        "output_dir": str(folder),
        "num_train_epochs": config.epochs,
        "max_steps": -1 if config.max_steps is None else config.max_steps,
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": SCHEDULERS[config.lr_scheduler or "linear"],
        "warmup_steps": config.warmup_steps,
        "weight_decay": config.weight_decay,
        "adam_beta2": config.adam_beta2,
        "max_grad_norm": config.max_grad_norm,
        "bf16": bf16,
        "fp16": False,
        "gradient_checkpointing": config.gradient_checkpointing,
        "seed": config.seed,
        "eval_strategy": "steps" if evaluate and config.eval_every else "no",
        "eval_steps": config.eval_every,
        "save_strategy": "steps" if config.save_every else "no",
        "save_steps": config.save_every or 500,
        # Two, since the newest may be incomplete after a crash.
        "save_total_limit": 2,
        "logging_steps": config.log_every,
        # A loss that is not a number is an error here, not a value to skip.
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        # The backend adds tensorboard itself, with a folder of its own.
        "report_to": [name for name in config.report_to if name != "tensorboard"],
    }
