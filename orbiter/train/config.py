"""What a training run is told and what it reports: TrainConfig, LoraConfig, TrainMetrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from orbiter.errors import ConfigError

PRECISIONS = ("auto", "fp32", "bf16")


Rule = tuple[str, Callable[[Any], bool], str]
"""A field's name, what must hold for its value, and the same in words."""


def check_fields(config: object, *rules: Rule) -> None:
    """Raise ConfigError for the first field that breaks its rule; a value of another type breaks it too."""
    for name, holds, rule in rules:
        value = getattr(config, name)
        try:
            # A flag is an integer to Python, and infinity is >= anything.
            good = not isinstance(value, bool) and holds(value)
            good = good and not (isinstance(value, float) and not math.isfinite(value))
        except TypeError:
            good = False
        if not good:
            raise ConfigError(f"{name} must be {rule}, got {value!r}")


def whole(least: int) -> Callable[[Any], bool]:
    """Return the rule that a value is an integer >= ``least``."""
    return lambda value: isinstance(value, int) and value >= least


def _whole_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int) and value >= 1)


@frozen(kw_only=True)
class LoraConfig:
    """Train low-rank adapters instead of all weights (Hu et al. 2021); they are merged into the checkpoint.

    Args:
        rank: Rank of the adapters, >= 1.
        alpha: Scale; the update is multiplied by alpha / rank.
        dropout: In [0, 1).
        target_modules: Names of the layers to adapt; ``all-linear`` for every linear layer.
        bits: Round the frozen weights to 4 bits (QLoRA, Dettmers et al. 2023) or 8; None leaves them. Needs a CUDA device.
    """

    rank: int = 32
    alpha: int = 64
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"
    bits: int | None = None

    def __attrs_post_init__(self) -> None:
        check_fields(
            self,
            ("rank", whole(1), "an integer >= 1"),
            ("alpha", lambda value: value > 0, "> 0"),
            ("dropout", lambda value: 0 <= value < 1, "in [0, 1)"),
            ("bits", (None, 4, 8).__contains__, "4, 8 or None"),
        )


@frozen(kw_only=True)
class TrainConfig:
    """Hyperparameters that every backend understands.

    Args:
        epochs: Passes over the data, > 0; ``max_steps`` wins if given.
        batch_size: Rows per device and step.
        learning_rate: Peak learning rate.
        warmup_steps: Steps of linear warm-up.
        eval_every: Steps between evaluations; None for none but the last, which comes after the last step wherever there are held-out data.
        max_steps: Optimiser steps; None to go by epochs.
        gradient_accumulation: Batches per optimiser step.
        max_length: Tokens per row; longer rows are cut, and counted. None for no bound.
        lr_scheduler: ``linear``, ``cosine`` or ``constant``, the last with warm-up too; None for the backend's own: linear with trl,
            constant with verl.
        weight_decay: AdamW's.
        adam_beta2: AdamW's.
        max_grad_norm: Bound on the gradient's norm.
        precision: ``bf16``, ``fp32``, or ``auto``: bf16 where the device has it, fp32 on CPU.
        gradient_checkpointing: Trade compute for memory.
        save_every: Steps between resumable checkpoints; None for none but the last.
        log_every: Steps between rows of metrics.jsonl.
        seed: Seed of shuffling, dropout and sampling.
        lora: Train adapters instead of all weights.
        report_to: Trackers by name, if installed: ``tensorboard``, ``wandb``, ``trackio``.
    """

    epochs: float = 1
    batch_size: int = 8
    learning_rate: float = 1e-5
    warmup_steps: int = 0
    eval_every: int | None = None
    max_steps: int | None = None
    gradient_accumulation: int = 1
    max_length: int | None = None
    lr_scheduler: str | None = None
    weight_decay: float = 0.0
    adam_beta2: float = 0.999
    max_grad_norm: float = 1.0
    precision: str = "auto"
    gradient_checkpointing: bool = False
    save_every: int | None = None
    log_every: int = 10
    seed: int = 0
    lora: LoraConfig | None = None
    report_to: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        check_fields(
            self,
            ("epochs", lambda value: value > 0, "> 0"),
            ("batch_size", whole(1), "an integer >= 1"),
            ("learning_rate", lambda value: value >= 0, ">= 0"),
            ("warmup_steps", whole(0), "an integer >= 0"),
            ("gradient_accumulation", whole(1), "an integer >= 1"),
            ("log_every", whole(1), "an integer >= 1"),
            ("weight_decay", lambda value: value >= 0, ">= 0"),
            ("adam_beta2", lambda value: 0 <= value < 1, "in [0, 1)"),
            ("max_grad_norm", lambda value: value >= 0, ">= 0"),
            ("seed", whole(0), "an integer >= 0"),
            ("precision", PRECISIONS.__contains__, f"one of {', '.join(PRECISIONS)}"),
            *(
                (name, _whole_or_none, "an integer >= 1 or None")
                for name in ("eval_every", "max_steps", "max_length", "save_every")
            ),
        )


@frozen
class TrainMetrics:
    """What a training or an evaluation measured; None where nothing was measured.

    Args:
        loss: Mean loss in nats per trained token, over the last logging window.
        accuracy: Share in [0, 1].
        reward: Mean reward of the scored samples.
        steps: Optimiser steps.
        extra: Anything else, by name.
    """

    loss: float | None = None
    accuracy: float | None = None
    reward: float | None = None
    steps: int = 0
    extra: Mapping[str, Any] = field(factory=dict)
