"""Rollouts by vLLM, in place of transformers: what that asks of a job and of the machine."""

from __future__ import annotations

import importlib.util

from orbiter.errors import ConfigError, MissingPluginError
from orbiter.train.backend import TrainJob
from orbiter_trl.settings import check_choices

MODES = ("colocate", "server")
"""Where vLLM runs: in the training process, or in a server of its own."""


def check_vllm(job: TrainJob) -> None:
    """Raise unless the job leaves vLLM alone, or the machine has what it needs.

    Raises:
        ConfigError: There is no CUDA device, or an option of vLLM is given without ``use_vllm``.
        MissingPluginError: vLLM is not installed.
    """
    if not job.options.get("use_vllm"):
        given = sorted(name for name in job.options if name.startswith("vllm_"))
        if given:
            raise ConfigError(
                f"option {given[0]!r} must be left out without use_vllm, got {job.options[given[0]]!r}",
                hint="set the option use_vllm to true, or leave this one out: it would change nothing",
            )
        return
    check_choices("vllm_mode", job.options.get("vllm_mode", "colocate"), MODES)
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(
            "use_vllm must be left out on a machine without a CUDA device, got True",
            hint="leave it out: without it transformers samples the answers, on any machine",
        )
    if importlib.util.find_spec("vllm") is None:
        raise MissingPluginError(
            "use_vllm needs vLLM, which is not installed", hint="pip install 'trl[vllm]'"
        )
