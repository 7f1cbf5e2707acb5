"""Weights: whether the folder of a model has all that its kind of model needs, and adapters a layer to sit on; found out without loading one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from safetensors import SafetensorError, safe_open
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


def check_weights(job: TrainJob) -> None:
    """Raise ConfigError unless the folder of the job's model has its weights, in files that can be read.

    A model that is named by its hub id is not looked at.
    """
    folder = Path(job.model)
    if not folder.is_dir():
        return
    for file in _files(folder):
        try:
            with safe_open(file, framework="pt") as weights:
                weights.keys()
        except (OSError, SafetensorError) as error:
            raise ConfigError(
                f"model {job.model!r} must hold its weights, and {file.name} cannot be read: {error}",
                hint="copy or save the model again",
            ) from error


def _files(folder: Path) -> list[Path]:
    """Return the files of a model's weights, there or not."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        if not (folder / "model.safetensors").is_file():
            raise ConfigError(
                f"model {str(folder)!r} must hold its weights, and there is no model.safetensors",
                hint="save it with save_pretrained of transformers",
            )
        return [folder / "model.safetensors"]
    try:
        shards = json.loads(index.read_bytes())["weight_map"].values()
        # A name out of the folder is no shard of it.
        return [folder / Path(name).name for name in sorted(set(shards))]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"model {str(folder)!r} must hold its weights, and {index.name} cannot be read"
        ) from error
