"""Verifiers of mathematical answers, as a plugin of orbiter."""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add the verifiers."""
    registry.add("verifier", "gsm8k", "orbiter_math.gsm8k:Gsm8kVerifier")
    registry.add("verifier", "math", "orbiter_math.math_verifier:MathVerifier")
    registry.add("verifier", "choice", "orbiter_math.choice:ChoiceVerifier")
    registry.add("verifier", "steps", "orbiter_math.step_verifier:StepVerifier")
