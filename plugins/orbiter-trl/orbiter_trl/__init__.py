"""Local models for orbiter.

    policy   transformers   answers with a local Hugging Face model
    backend  trl            trains one: sft, grpo
    model    nano           makes a small real model, with random weights, without a download

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add the policy, the backend and the maker of small models."""
    registry.add("policy", "transformers", "orbiter_trl.policy:TransformersPolicy")
    registry.add("model", "nano", "orbiter_trl.nano:make_nano_model")
    registry.add("backend", "trl", "orbiter_trl.backend:TrlBackend")
