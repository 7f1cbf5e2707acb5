"""Local models for orbiter.

    policy   transformers   answers with a local Hugging Face model
    backend  trl            trains one: sft, grpo

:func:`orbiter_trl.nano.make_nano_model` makes a small real model without a download. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add the policy and the backend."""
    registry.add("policy", "transformers", "orbiter_trl.policy:TransformersPolicy")
    registry.add("backend", "trl", "orbiter_trl.backend:TrlBackend")
