"""Settings: what a job's options mean here, checked before anything is loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field, frozen

from orbiter.checks import check_bool, check_number, check_whole_number
from orbiter.errors import ConfigError, did_you_mean
from orbiter.train.config import TrainConfig

DEVICES = ("auto", "cpu", "cuda")
ROLLOUTS = ("auto", "transformers", "vllm", "sglang")
STRATEGIES = ("fsdp2", "fsdp", "megatron")
SCHEDULERS = ("constant", "cosine")
TRACKERS = ("tensorboard", "wandb", "mlflow", "swanlab", "trackio")


@frozen(kw_only=True)
class Settings:
    """The options of a job.

    Args:
        kl_coef: Weight of the KL divergence from the reference model: per token in the reward with ``ppo``, in the loss with
            ``grpo``; 0 for no reference model.
        clip_range: Bound on the change of the probability ratio.
        group_size: Samples per prompt.
        kl_target: Divergence in nats per token that an adaptive controller steers for; None for a fixed ``kl_coef``. With ``ppo``.
        kl_horizon: Samples over which the controller reacts.
        critic_learning_rate: Peak learning rate of the critic; default: the policy's. With ``ppo``.
        value_clip: Bound on the change of a value. With ``ppo``.
        discount: Of a reward, per token, in (0, 1]. With ``ppo``.
        gae_lambda: Of generalised advantage estimation, in [0, 1]. With ``ppo``.
        max_prompt_length: Tokens of a prompt; a longer one is refused.
        max_response_length: Tokens of an answer.
        temperature: Of sampling.
        top_p: Of sampling.
        device: ``cpu``, ``cuda``, or ``auto``: cuda where torch has it.
        devices: Devices per node.
        nodes: Nodes of the Ray cluster that are used.
        rollout: What samples: ``transformers``, ``vllm``, ``sglang``, or ``auto``: vllm on a GPU where it is installed, or else
            transformers.
        tensor_parallel: Devices that one copy of the sampling model is spread over, with vllm and sglang.
        strategy: What trains: ``fsdp2``, ``fsdp`` or ``megatron``.
        ray_address: A running cluster to join; None to start one here.
        python: The interpreter that has verl; default: the present one.
        reward_workers: Processes that score.
        trust_remote_code: Let the model's folder bring Python code.
        overrides: Any settings of verl's own, as on its command line: ``actor_rollout_ref.actor.entropy_coeff=0.01``.
    """

    kl_coef: float = 0.001
    clip_range: float = 0.2
    group_size: int = 8
    kl_target: float | None = None
    kl_horizon: int = 10_000
    critic_learning_rate: float | None = None
    value_clip: float = 0.5
    discount: float = 1.0
    gae_lambda: float = 1.0
    max_prompt_length: int = 512
    max_response_length: int = 512
    temperature: float = 1.0
    top_p: float = 1.0
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    rollout: str = "auto"
    tensor_parallel: int = 1
    strategy: str = "fsdp2"
    ray_address: str | None = None
    python: str = sys.executable
    reward_workers: int = 1
    trust_remote_code: bool = False
    overrides: tuple[str, ...] = field(
        default=(), converter=lambda value: _texts("overrides", value)
    )

    def __attrs_post_init__(self) -> None:
        for name, interval in _NUMBERS.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                check_number(name, value, interval)
        for name in _COUNTS:
            check_whole_number(name, getattr(self, name), low=1)
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    f"{name} must be one of {', '.join(known)}, got {value!r}{did_you_mean(str(value), known)}"
                )
        check_bool("trust_remote_code", self.trust_remote_code)
        for name in ("python", "ray_address"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise ConfigError(f"{name} must be a text, got {value!r}")


_OPTIONAL = frozenset({"kl_target", "critic_learning_rate"})
_NUMBERS = {
    "kl_coef": "[0, inf)",
    "clip_range": "(0, 1)",
    "kl_target": "(0, inf)",
    "critic_learning_rate": "[0, inf)",
    "value_clip": "(0, inf)",
    "discount": "(0, 1]",
    "gae_lambda": "[0, 1]",
    "temperature": "(0, inf)",
    "top_p": "(0, 1]",
}
_COUNTS = (
    "group_size", "kl_horizon", "max_prompt_length", "max_response_length", "devices", "nodes", "tensor_parallel", "reward_workers",
)  # fmt: skip
_CHOICES = {"device": DEVICES, "rollout": ROLLOUTS, "strategy": STRATEGIES}
_OF_PPO = (
    "kl_target",
    "kl_horizon",
    "critic_learning_rate",
    "value_clip",
    "discount",
    "gae_lambda",
)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    many = isinstance(value, list | tuple)
    if not many or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{name} must be a list of texts like 'key=value', got {value!r}")
    return tuple(value)


def read_settings(algorithm: str, options: Mapping[str, Any]) -> Settings:
    """Return the settings that options stand for.

    Raises:
        ConfigError: An option is unknown, has a value that cannot be used, or would change nothing with this algorithm.
    """
    known = [f.name for f in attrs.fields(Settings)]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"unknown option {name!r}{did_you_mean(name, known)}",
                hint="verl's own settings go into the option 'overrides', as on its command line",
            )
    settings = Settings(**options)
    if algorithm == "grpo":
        for name in _OF_PPO:
            if name in options:
                raise ConfigError(
                    f"option {name!r} must be left out with grpo, which has no critic and a fixed KL weight, got {options[name]!r}"
                )
        if settings.group_size < 2:
            raise ConfigError(
                f"group_size must be an integer >= 2 with grpo, got {settings.group_size!r}"
            )
    if settings.kl_target is not None and settings.kl_coef == 0:
        raise ConfigError("kl_coef must be > 0 for kl_target to steer it, got 0")
    check_machine(settings)
    return settings


def check_machine(settings: Settings) -> None:
    """Raise ConfigError for a device, a rollout and a strategy that do not go together."""
    wide = settings.tensor_parallel
    if settings.device == "cpu":
        if settings.rollout in ("vllm", "sglang"):
            raise ConfigError(f"rollout must be transformers on a CPU, got {settings.rollout!r}")
        if settings.strategy != "fsdp2":
            raise ConfigError(f"strategy must be fsdp2 on a CPU, got {settings.strategy!r}")
    if settings.rollout == "transformers" and wide > 1:
        raise ConfigError(
            f"tensor_parallel must be 1 with the rollout transformers, got {wide}",
            hint="it holds a whole copy of the model per device; use vllm or sglang",
        )
    if settings.devices * settings.nodes % wide:
        raise ConfigError(
            f"tensor_parallel must divide devices * nodes = {settings.devices * settings.nodes}, got {wide}"
        )
    if settings.nodes > 1 and settings.ray_address is None:
        raise ConfigError(
            f"ray_address must be given with nodes={settings.nodes}, got None",
            hint="start Ray on each node with 'ray start', and give 'auto' or the address of the head",
        )


def check_config(config: TrainConfig, settings: Settings) -> None:
    """Raise ConfigError for hyperparameters that verl has no setting for."""
    if settings.strategy == "megatron":
        if config.precision == "fp32":
            raise ConfigError("precision must be auto or bf16 with megatron, got 'fp32'")
        if config.lora is not None:
            raise ConfigError(
                "lora must be None with megatron",
                hint="set verl's own actor_rollout_ref.model.lora in the option overrides",
            )
    if config.lr_scheduler is not None and config.lr_scheduler not in SCHEDULERS:
        raise ConfigError(
            f"lr_scheduler must be {' or '.join(SCHEDULERS)} with the backend 'verl', got {config.lr_scheduler!r}"
        )
    if config.max_length is not None:
        raise ConfigError(
            f"max_length must be None with the backend 'verl', got {config.max_length!r}",
            hint="bound prompts and answers with the options max_prompt_length and max_response_length",
        )
    if config.lora is not None and config.lora.dropout:
        raise ConfigError(
            f"lora.dropout must be 0 with the backend 'verl', got {config.lora.dropout!r}"
        )
    if config.lora is not None and config.lora.bits is not None:
        raise ConfigError(
            f"lora.bits must be None with the backend 'verl', got {config.lora.bits!r}",
            hint="adapters on quantised weights are trained by the backend 'trl'",
        )
    for name in config.report_to:
        if name not in TRACKERS:
            raise ConfigError(
                f"report_to must be among {', '.join(TRACKERS)}, got {name!r}{did_you_mean(name, TRACKERS)}"
            )
