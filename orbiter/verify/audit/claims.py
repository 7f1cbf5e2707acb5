"""Claims that a trace makes of itself, which no verifier may read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from orbiter.records import Trajectory, Verdict

CLAIMS: Mapping[str, object] = {
    "score": 1.0,
    "reward": 1.0,
    "success": True,
    "passed": True,
    "correct": True,
    "terminal_utility": 1.0,
    "verdict": "pass",
}
"""What a trace may claim of itself, and no verifier may read."""


def claiming(trajectory: Trajectory, *, success: bool) -> Trajectory:
    """Return a trajectory that claims success or failure of itself, in every place that it has.

    A claim of success also gives its own answer out for the reference.
    """
    claims: dict[str, Any] = dict(CLAIMS)
    if success:
        claims |= dict.fromkeys(("answer", "expected", "reference", "gold"), trajectory.answer)
    else:
        claims = {key: 0.0 if type(value) is float else False for key, value in CLAIMS.items()}
        claims["verdict"] = "fail"
    last = trajectory.messages[-1]
    return attrs.evolve(
        trajectory,
        messages=(*trajectory.messages[:-1], attrs.evolve(last, extra=claims)),
        score=1.0 if success else 0.0,
        verdict=Verdict.passed("claimed") if success else Verdict.failed("claimed"),
        metadata=claims,
        generator="teacher",
        model="oracle",
        extra=claims,
    )
