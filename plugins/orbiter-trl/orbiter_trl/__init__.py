"""Local models for orbiter.

    policy   transformers   answers with a local Hugging Face model
    backend  trl            trains one: sft, dpo, grpo, ...
    model    nano           makes a small real model, with random weights, without a download
    verifier reward_model, process_reward_model
                            judge with a model that the backend trained to score

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add the policy, the backend, the maker of small models, and the verifiers."""
    registry.add("policy", "transformers", "orbiter_trl.policy:TransformersPolicy")
    registry.add("model", "nano", "orbiter_trl.nano:make_nano_model")
    registry.add("backend", "trl", "orbiter_trl.backend:TrlBackend")
    registry.add("verifier", "reward_model", "orbiter_trl.reward_model:RewardModelVerifier")
    registry.add(
        "verifier", "process_reward_model", "orbiter_trl.reward_model:ProcessRewardVerifier"
    )
