"""Keys: what a job says, in the keys of verl's configuration."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from orbiter.train.config import TrainConfig
from orbiter_verl.settings import Settings

NEVER = 10**9
"""A number of steps that no run reaches; verl saves and validates at the last step if it does so at any."""

POLL_S = 0.1
"""Seconds between two looks for answers; verl's own 2 would be most of a small model's step."""

AGENTS = Path(__file__).parent / "runtime" / "agents.yaml"
"""Our table of agent loops."""


@frozen
class Reference:
    """Another key, whose value is taken, whatever an override makes of it."""

    key: str


@frozen(kw_only=True)
class Files:
    """Where a job's files are.

    Args:
        train: Prompts, as verl reads them.
        eval: Prompts to evaluate on, or None.
        tasks: Split to the JSONL file of its tasks.
        checkpoints: Folder of verl's checkpoints.
        resume_from: One of them, or None.
        samples: Folder of this attempt's samples.
        rewards: The sealed rewards.
        rewards_digest: What they hash to.
    """

    train: str
    eval: str | None
    tasks: Mapping[str, str]
    checkpoints: str
    resume_from: str | None
    samples: str
    rewards: str
    rewards_digest: str


@frozen(kw_only=True)
class Request:
    """What a configuration is made from.

    Args:
        algorithm: ``ppo`` or ``grpo``.
        model: Model id or folder.
        config: Hyperparameters.
        settings: With device and rollout decided.
        row_count: Prompts to train on; None if that is not known yet.
        files: None to compose for a look alone.
    """

    algorithm: str
    model: str
    config: TrainConfig
    settings: Settings
    row_count: int | None = None
    files: Files | None = None

    @property
    def prompt_count(self) -> int:
        """Prompts per optimiser step."""
        config, settings = self.config, self.settings
        return config.batch_size * config.gradient_accumulation * settings.devices * settings.nodes

    @property
    def step_count(self) -> int | None:
        """Optimiser steps; None if the number of prompts is not known."""
        if self.config.max_steps is not None:
            return self.config.max_steps
        if self.row_count is None:
            return None
        return max(1, round(self.row_count // self.prompt_count * self.config.epochs))


def keys_of(request: Request) -> dict[str, Any]:
    """Return what the job says, in verl's keys; ``+`` stands before a key that verl's files do not have."""
    return {
        **_data(request),
        **_policy(request),
        **_algorithm(request),
        **(_critic(request) if request.algorithm == "ppo" else {}),
        **_rollout(request),
        **_trainer(request),
        **_machine(request),
        **(_files(request.files) if request.files else {}),
    }


def _data(request: Request) -> dict[str, Any]:
    settings, config = request.settings, request.config
    return {
        "data.train_batch_size": request.prompt_count,
        "data.max_prompt_length": settings.max_prompt_length,
        "data.max_response_length": settings.max_response_length,
        "data.seed": config.seed,
        "data.dataloader_num_workers": 0,
        "data.trust_remote_code": settings.trust_remote_code,
    }


def _policy(request: Request) -> dict[str, Any]:
    config, settings = request.config, request.settings
    actor, ref = "actor_rollout_ref.actor", "actor_rollout_ref.ref"
    micro = config.batch_size * settings.group_size
    found = {
        **_model("actor_rollout_ref.model", request),
        f"{actor}.ppo_mini_batch_size": request.prompt_count,
        f"{actor}.ppo_micro_batch_size_per_gpu": micro,
        f"{ref}.log_prob_micro_batch_size_per_gpu": micro,
        f"{actor}.data_loader_seed": config.seed,
        f"{actor}.clip_ratio": settings.clip_range,
        # verl takes these two, whatever clip_ratio says.
        f"{actor}.clip_ratio_low": settings.clip_range,
        f"{actor}.clip_ratio_high": settings.clip_range,
        **_optimiser(actor, request, config.learning_rate),
        # Kept in the format of transformers, beside what a resumed run needs.
        f"{actor}.checkpoint.save_contents": ["model", "optimizer", "extra", "hf_model"],
        f"{actor}.checkpoint.load_contents": ["model", "optimizer", "extra"],
    }
    if settings.strategy == "megatron":
        found |= {f"{engine}.megatron.seed": config.seed for engine in (actor, ref)}
    else:
        found |= {
            f"{actor}.strategy": settings.strategy,
            f"{actor}.use_torch_compile": settings.device != "cpu",
        }
        for engine in (f"{actor}.fsdp_config", f"{ref}.fsdp_config"):
            found |= _engine(engine, request)
    if config.lora is not None:
        modules = config.lora.target_modules
        found |= {
            "actor_rollout_ref.model.lora_rank": config.lora.rank,
            "actor_rollout_ref.model.lora_alpha": config.lora.alpha,
            "actor_rollout_ref.model.target_modules": modules
            if isinstance(modules, str)
            else list(modules),
            "actor_rollout_ref.model.lora.merge": settings.rollout == "transformers",
        }
    return found


def _model(prefix: str, request: Request) -> dict[str, Any]:
    packed = request.settings.device != "cpu" and _has("flash_attn")
    found = {
        f"{prefix}.path": request.model,
        f"{prefix}.trust_remote_code": request.settings.trust_remote_code,
        f"{prefix}.enable_gradient_checkpointing": request.config.gradient_checkpointing,
        f"{prefix}.use_remove_padding": packed,
    }
    if not packed:  # verl would take flash-attn
        found[f"+{prefix}.override_config.attn_implementation"] = "sdpa"
    return found


def _engine(prefix: str, request: Request) -> dict[str, Any]:
    """Return the settings of one FSDP engine: fp32 on a CPU and where it is asked for, or else verl's mixed bf16."""
    config, settings = request.config, request.settings
    found: dict[str, Any] = {
        f"{prefix}.strategy": settings.strategy,
        f"{prefix}.seed": config.seed,
        f"{prefix}.use_torch_compile": settings.device != "cpu",
    }
    if config.precision == "fp32" or (config.precision == "auto" and settings.device == "cpu"):
        found[f"{prefix}.dtype"] = "float32"
        found[f"+{prefix}.mixed_precision"] = dict.fromkeys(
            ("param_dtype", "reduce_dtype", "buffer_dtype"), "fp32"
        )
    return found


def _optimiser(prefix: str, request: Request, learning_rate: float) -> dict[str, Any]:
    config = request.config
    found = {
        f"{prefix}.optim.lr": learning_rate,
        f"{prefix}.optim.lr_warmup_steps": config.warmup_steps,
        f"{prefix}.optim.weight_decay": config.weight_decay,
        f"{prefix}.optim.betas": [0.9, config.adam_beta2],
        f"{prefix}.optim.clip_grad": config.max_grad_norm,
    }
    schedule = config.lr_scheduler or "constant"
    if request.settings.strategy == "megatron":
        return {**found, f"{prefix}.optim.lr_decay_style": schedule}
    return {
        **found,
        f"{prefix}.optim.lr_scheduler_type": schedule,
        f"{prefix}.grad_clip": config.max_grad_norm,
    }


def _algorithm(request: Request) -> dict[str, Any]:
    settings = request.settings
    if request.algorithm == "grpo":
        return {
            "algorithm.adv_estimator": "grpo",
            "algorithm.use_kl_in_reward": False,
            "actor_rollout_ref.actor.use_kl_loss": settings.kl_coef > 0,
            "actor_rollout_ref.actor.kl_loss_coef": settings.kl_coef,
            "actor_rollout_ref.actor.kl_loss_type": "low_var_kl",
        }
    adaptive = settings.kl_target is not None
    return {
        "algorithm.adv_estimator": "gae",
        "algorithm.gamma": settings.discount,
        "algorithm.lam": settings.gae_lambda,
        "algorithm.use_kl_in_reward": settings.kl_coef > 0,
        "algorithm.kl_ctrl.type": "adaptive" if adaptive else "fixed",
        "algorithm.kl_ctrl.kl_coef": settings.kl_coef,
        "algorithm.kl_ctrl.horizon": settings.kl_horizon,
        **({"algorithm.kl_ctrl.target_kl": settings.kl_target} if adaptive else {}),
        "actor_rollout_ref.actor.use_kl_loss": False,
    }


def _critic(request: Request) -> dict[str, Any]:
    config, settings = request.config, request.settings
    rate = settings.critic_learning_rate
    found = {
        **_model("critic.model", request),
        "critic.ppo_micro_batch_size_per_gpu": config.batch_size * settings.group_size,
        "critic.data_loader_seed": config.seed,
        "critic.cliprange_value": settings.value_clip,
        **_optimiser("critic", request, config.learning_rate if rate is None else rate),
    }
    if settings.strategy == "megatron":
        found["critic.megatron.seed"] = config.seed
    else:
        found |= {"critic.strategy": settings.strategy, **_engine("critic.fsdp", request)}
    return found


def _rollout(request: Request) -> dict[str, Any]:
    config, settings = request.config, request.settings
    rollout = "actor_rollout_ref.rollout"
    fp32 = config.precision == "fp32" or (config.precision == "auto" and settings.device == "cpu")
    found = {
        f"{rollout}.name": settings.rollout,
        f"{rollout}.n": settings.group_size,
        f"{rollout}.temperature": settings.temperature,
        f"{rollout}.top_p": settings.top_p,
        f"{rollout}.seed": config.seed,
        f"{rollout}.dtype": "float32" if fp32 else "bfloat16",
        f"{rollout}.tensor_model_parallel_size": settings.tensor_parallel,
        f"{rollout}.free_cache_engine": settings.rollout != "transformers",
        f"{rollout}.log_prob_micro_batch_size_per_gpu": config.batch_size * settings.group_size,
        f"{rollout}.agent.num_workers": settings.nodes,
        "reward.num_workers": settings.reward_workers,
    }
    if settings.rollout == "transformers":
        found |= {
            f"{rollout}.agent.agent_loop_config_path": str(AGENTS),
            f"{rollout}.agent.default_agent_loop": "seeded_single_turn",
        }
    return found


def _trainer(request: Request) -> dict[str, Any]:
    config, steps = request.config, request.step_count
    evaluates = request.files is not None and request.files.eval is not None
    found: dict[str, Any] = {
        "trainer.project_name": "orbiter",
        "trainer.experiment_name": request.algorithm,
        "trainer.logger": ["console", "file", *config.report_to],
        "trainer.save_freq": config.save_every or NEVER,
        # The newest may be incomplete after a crash.
        "trainer.max_actor_ckpt_to_keep": 2,
        "trainer.max_critic_ckpt_to_keep": 2,
        "trainer.test_freq": (config.eval_every or NEVER) if evaluates else -1,
        "trainer.val_before_train": False,
        "trainer.resume_mode": "disable",
        "trainer.total_training_steps": steps,
        "trainer.v1.sampler.custom_sampler.path": "pkg://orbiter_verl.runtime.sampler",
        "trainer.v1.sampler.custom_sampler.name": "ScoredReplayBuffer",
        "trainer.v1.sampler.sampler_kwargs": {
            "compares_groups": request.algorithm == "grpo",
            "poll_interval_s": POLL_S,
            "filter_groups": Reference("algorithm.filter_groups"),
            "train_batch_size": Reference("data.train_batch_size"),
        },
    }
    if steps is not None and request.row_count is not None:
        per_epoch = request.row_count // request.prompt_count
        found["trainer.total_epochs"] = math.ceil(steps / max(1, per_epoch))
    return _spread(found, "trainer.v1.sampler.sampler_kwargs")


def _machine(request: Request) -> dict[str, Any]:
    settings = request.settings
    found: dict[str, Any] = {
        "trainer.device": settings.device,
        "trainer.n_gpus_per_node": settings.devices,
        "trainer.nnodes": settings.nodes,
        "+ray_kwargs.ray_init.address": settings.ray_address or "local",
    }
    if settings.device == "cpu" and settings.ray_address is None:
        # Ray counts a training process as a GPU; its CPUs are a number to share, not cores.
        found |= {
            "+ray_kwargs.ray_init.num_gpus": settings.devices,
            "ray_kwargs.ray_init.num_cpus": 4 + 4 * settings.devices,
            "+ray_kwargs.ray_init.object_store_memory": 200_000_000,
            "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
        }
    if settings.ray_address is None:
        found["+ray_kwargs.ray_init.include_dashboard"] = False
    return found


def _files(files: Files) -> dict[str, Any]:
    found: dict[str, Any] = {
        "data.train_files": files.train,
        "data.val_files": files.eval or files.train,  # verl wants some, also if it never validates
        "reward.reward_manager.source": "importlib",
        "reward.reward_manager.name": "OrbiterRewardManager",
        "reward.reward_manager.module.path": "pkg://orbiter_verl.runtime.rewarding",
        "trainer.default_local_dir": files.checkpoints,
        "+orbiter.rewards": files.rewards,
        "+orbiter.rewards_digest": files.rewards_digest,
        "+orbiter.samples": files.samples,
        **{f"+orbiter.tasks.{split}": path for split, path in files.tasks.items()},
    }
    if files.resume_from is not None:
        found |= {
            "trainer.resume_mode": "resume_path",
            "trainer.resume_from_path": files.resume_from,
        }
    return found


def _spread(found: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the settings with those under ``key`` as settings of their own."""
    for name, value in found.pop(key).items():
        found[f"+{key}.{name}"] = value
    return found


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
