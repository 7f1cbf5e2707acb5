"""VeRLTrainer: reinforcement learning with verl (Sheng et al. 2024), PPO or GRPO. The backend comes with the plugin orbiter-verl."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from orbiter.errors import ConfigError, did_you_mean
from orbiter.train.config import TrainConfig, check_fields, whole
from orbiter.train.model_trainer import ModelTrainer
from orbiter.train.rewards import RewardSpec, check_rewards

DEFAULT_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
"""The model of verl's quick start."""


class VeRLAlgorithm(enum.StrEnum):
    """How the policy's gradient is estimated."""

    PPO = "ppo"
    """Proximal policy optimisation, with a learned critic (Schulman et al. 2017)."""

    GRPO = "grpo"
    """Group relative policy optimisation: the mean of a group is the baseline (Shao et al. 2024)."""


def _algorithm(value: str) -> VeRLAlgorithm:
    known = [algorithm.value for algorithm in VeRLAlgorithm]
    if value not in known:
        near = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ConfigError(f"algorithm must be one of {', '.join(known)}, got {value!r}{near}")
    return VeRLAlgorithm(value)


@frozen(kw_only=True)
class VeRLConfig(TrainConfig):
    """Hyperparameters of a training with verl, beside those of every backend.

    Args:
        algorithm: A :class:`VeRLAlgorithm` or its value.
        kl_coef: Weight of the KL divergence from the reference model, >= 0; 0 for none.
        clip_range: Bound on the change of the probability ratio, in (0, 1).
        group_size: Samples per prompt, >= 1; GRPO compares them, so it needs at least 2.
    """

    algorithm: VeRLAlgorithm = field(default=VeRLAlgorithm.GRPO, converter=_algorithm)
    kl_coef: float = 0.001
    clip_range: float = 0.2
    group_size: int = 8

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        least = 2 if self.algorithm is VeRLAlgorithm.GRPO else 1
        check_fields(
            self,
            ("kl_coef", lambda value: value >= 0, ">= 0"),
            ("clip_range", lambda value: 0 < value < 1, "in (0, 1)"),
            ("group_size", whole(least), f"an integer >= {least} with {self.algorithm.value}"),
        )

    def options(self) -> dict[str, Any]:
        """Return the settings that are verl's own, as a TrainJob carries them."""
        return {name: getattr(self, name) for name in ("kl_coef", "clip_range", "group_size")}


class VeRLTrainer(ModelTrainer):
    """Trains a model against rewards with verl.

        trainer = VeRLTrainer(
            config=VeRLConfig(algorithm="grpo", kl_coef=0.01),
            rewards=[RewardSpec(name="brevity", fn=lambda output: 1 / (1 + len(output)))],
            model="model-folder",
        )
        metrics = await trainer.train(dataset)

    Without the plugin, validation ends in a MissingPluginError that says how to install it.

    Args:
        config: Hyperparameters; default: ``VeRLConfig()``.
        rewards: At least one reward; an output gets their weighted sum.
        model: Model id or folder to start from; default: :data:`DEFAULT_MODEL`.
        dataset: JSONL file of tasks, or tasks, trajectories or a TrajectoryDataset, whose prompts are used.
        output_dir: Folder of the checkpoint and the metrics; default: ``runs/<algorithm>``.
        eval_data: What to evaluate on, as ``dataset``.
        options: Further settings of the backend's own.
    """

    config: VeRLConfig

    def __init__(
        self,
        config: VeRLConfig | None = None,
        *,
        rewards: Iterable[RewardSpec],
        model: str | Path = DEFAULT_MODEL,
        dataset: Any = None,
        output_dir: str | Path | None = None,
        eval_data: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        config = VeRLConfig() if config is None else config
        if not isinstance(config, VeRLConfig):
            raise ConfigError(f"config must be a VeRLConfig, got {config!r:.200}")
        super().__init__(
            model,
            data=dataset,
            algorithm=config.algorithm.value,
            backend="verl",
            config=config,
            rewards=rewards,
            output_dir=output_dir,
            eval_data=eval_data,
            options={**config.options(), **(options or {})},
        )
        check_rewards(self.reward_fn)

    @property
    def rewards(self) -> tuple[RewardSpec, ...]:
        """The rewards, as they were given."""
        return self.reward_fn  # type: ignore[no-any-return]
