"""What a training run is told and what it reports: TrainConfig, LoraConfig, TrainMetrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from orbiter.errors import ConfigError

PRECISIONS = ("auto", "fp32", "bf16")


@frozen(kw_only=True)
class LoraConfig:
    """Train low-rank adapters instead of all weights (Hu et al. 2021); they are merged into the checkpoint.

    Args:
        rank: Rank of the adapters, >= 1.
        alpha: Scale; the update is multiplied by alpha / rank.
        dropout: In [0, 1).
        target_modules: Names of the layers to adapt; ``all-linear`` for every linear layer.
    """

    rank: int = 32
    alpha: int = 64
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"

    def __attrs_post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"rank must be >= 1, got {self.rank!r}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be in [0, 1), got {self.dropout!r}")


@frozen(kw_only=True)
class TrainConfig:
    """Hyperparameters that every backend understands.

    Args:
        epochs: Passes over the data, > 0; ``max_steps`` wins if given.
        batch_size: Rows per device and step.
        learning_rate: Peak learning rate.
        warmup_steps: Steps of linear warm-up.
        eval_every: Steps between evaluations; None for none.
        max_steps: Optimiser steps; None to go by epochs.
        gradient_accumulation: Batches per optimiser step.
        max_length: Tokens per row; longer rows are cut, and counted. None for no bound.
        lr_scheduler: ``linear``, ``cosine`` or ``constant``; the last with warm-up too.
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
    lr_scheduler: str = "linear"
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
        rules: tuple[tuple[str, bool, str], ...] = (
            ("epochs", self.epochs > 0, "> 0"),
            ("batch_size", self.batch_size >= 1, ">= 1"),
            ("learning_rate", self.learning_rate >= 0, ">= 0"),
            ("warmup_steps", self.warmup_steps >= 0, ">= 0"),
            ("gradient_accumulation", self.gradient_accumulation >= 1, ">= 1"),
            ("log_every", self.log_every >= 1, ">= 1"),
            ("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise ConfigError(f"{name} must be {rule}, got {getattr(self, name)!r}")
        for name in ("eval_every", "max_steps", "max_length", "save_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be >= 1 or None, got {value!r}")


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
