"""The CPU as a platform of verl, and where verl finds the engines and the rollout that run on it."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

ROLLOUT = "transformers"
"""Name of the rollout, beside verl's own vllm, sglang and trtllm."""


class _CpuModule(types.ModuleType):
    """``torch.cpu``, with the functions of ``torch.cuda`` that verl calls whatever the device is."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def __eq__(self, other: object) -> bool:
        # verl asks whether its device module is torch.cpu.
        return other is self or other is torch.cpu

    __hash__ = types.ModuleType.__hash__


def _cpu_module() -> types.ModuleType:
    module = _CpuModule("orbiter_cpu")
    for name in ("empty_cache", "ipc_collect", "set_device", "reset_peak_memory_stats"):
        setattr(module, name, lambda *_, **__: None)
    for kind in ("memory_allocated", "memory_reserved"):
        setattr(module, kind, lambda *_: 0)
        setattr(module, f"max_{kind}", lambda *_: 0)
    module.is_available = lambda: False  # there is no accelerator
    module.get_device_name = lambda *_: "CPU"
    module.get_rng_state, module.set_rng_state = torch.get_rng_state, torch.set_rng_state
    module.manual_seed = module.manual_seed_all = torch.manual_seed
    return module


class CpuPlatform(PlatformBase):
    """verl on a machine without an accelerator: gloo for communication, one logical "GPU" of Ray per training process."""

    device_name = "cpu"
    device_module = _cpu_module()

    @property
    def vendor_name(self) -> str:
        """``cpu``; verl's engine registry asks for it just before it looks an engine up."""
        # Here and not at import, since most of verl's processes train nothing and need not load FSDP.
        if "verl.workers.engine" in sys.modules:
            import orbiter_verl.runtime.engines  # noqa: F401
        return "cpu"

    def is_available(self) -> bool:
        """Return True: there is always a CPU."""
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:  # noqa: ARG002
        """Return whether this is the platform to take; verl asks the accelerators first."""
        return not torch.cuda.is_available()

    def current_device(self) -> torch.device:
        """Return the device; an integer would mean an accelerator."""
        return torch.device("cpu")

    def device_count(self) -> int:
        """Return 1."""
        return 1

    def set_device(self, device_index: int) -> None:
        """Do nothing."""

    def synchronize(self, device_index: int | None = None) -> None:
        """Do nothing."""

    def manual_seed(self, seed: int) -> None:
        """Seed torch."""
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        """Seed torch."""
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """Do nothing."""

    def empty_cache(self) -> None:
        """Do nothing."""

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:  # noqa: ARG002
        """Return nothing: only CUDA devices have one."""
        return None, None

    def communication_backend_name(self) -> str:
        """Return ``gloo``."""
        return "gloo"

    def visible_devices_envvar(self) -> str:
        """Return CUDA's, which Ray sets for a logical GPU too."""
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:  # noqa: ARG002
        """Do nothing."""
        yield

    def profiler_start(self) -> None:
        """Do nothing."""

    def profiler_stop(self) -> None:
        """Do nothing."""

    def ray_resource_name(self) -> str:
        """Return ``GPU``: verl's resource pools count nothing else."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        """Return the variable that keeps Ray from hiding devices."""
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        """Return False: there is no device memory to share."""
        return False

    def cudart(self) -> None:
        """Return nothing."""


def register() -> None:
    """Make the platform and the rollout known to verl."""
    from verl.workers.rollout import base, replica

    PlatformRegistry.register(platform="cpu")(CpuPlatform)
    replica.RolloutReplicaRegistry.register(ROLLOUT, _replica_class)
    base._ROLLOUT_REGISTRY[(ROLLOUT, "async")] = "orbiter_verl.runtime.rollout.WeightSender"


def _replica_class() -> type:
    from orbiter_verl.runtime.rollout import TransformersReplica

    return TransformersReplica
