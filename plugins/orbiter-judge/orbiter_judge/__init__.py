"""Models that judges ask, as a plugin of orbiter."""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add the judge models."""
    registry.add("judge_model", "openai", "orbiter_judge.openai:OpenAIJudgeModel")
    registry.add("judge_model", "policy", "orbiter_judge.policy:PolicyJudgeModel")
