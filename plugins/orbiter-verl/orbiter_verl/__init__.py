"""Reinforcement learning with verl for orbiter.

    backend  verl   trains with PPO or GRPO on Ray, on GPUs or on a CPU

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add the backend."""
    registry.add("backend", "verl", "orbiter_verl.backend:VerlBackend")
