"""A vLLM engine in the process of the loop.

    policy  vllm  answers with a model by vLLM, on GPUs or a CPU

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add the policy."""
    registry.add("policy", "vllm", "orbiter_vllm.policy:VllmPolicy")
