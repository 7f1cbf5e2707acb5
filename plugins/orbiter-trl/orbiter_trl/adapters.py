"""Adapters: whether the model has layers for them to sit on; found out without loading a weight."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from torch import nn
from transformers import AutoModelForCausalLM

from orbiter.errors import ConfigError
from orbiter.train.backend import TrainJob
from orbiter_trl.loading import SCORING
from orbiter_trl.quiet import quiet


def check_adapters(job: TrainJob, config: Any) -> None:
    """Raise ConfigError if no layer of the job's model has a name that its adapters are for."""
    wanted = "all-linear" if job.config.lora is None else job.config.lora.target_modules
    if wanted == "all-linear":
        return
    adapters = LoraConfig(target_modules=wanted if isinstance(wanted, str) else list(wanted))
    with torch.device("meta"), quiet():  # the layers, without their weights
        model = SCORING.get(job.algorithm, AutoModelForCausalLM).from_config(
            config, trust_remote_code=bool(job.options.get("trust_remote_code", False))
        )
    layers = dict(model.named_modules())
    if any(check_target_module_exists(adapters, name) for name in layers):
        return
    known = {
        name.rpartition(".")[2] for name, part in layers.items() if isinstance(part, nn.Linear)
    }
    raise ConfigError(
        f"target_modules of lora must name layers of {job.model!r}, got {wanted!r}",
        hint=f"its linear layers are {', '.join(sorted(known))}",
    )
