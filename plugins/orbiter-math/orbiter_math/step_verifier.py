"""The verifier of steps: a process reward for the arithmetic of a worked solution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orbiter.checks import check_number
from orbiter.errors import ConfigError
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import prompt_size
from orbiter.verify.process import AGGREGATES
from orbiter.verify.verifier import Verifier, version_of
from orbiter_math.statements import MAX_LENGTH
from orbiter_math.steps import steps
from orbiter_math.tree import BoundError


class StepVerifier(Verifier):
    """Check every step of a solution and aggregate their scores.

    A step is a line that states arithmetic; its score is the share of its equations that hold. ``details["steps"]`` holds the
    scores in order, ``details["wrong"]`` the equations that do not hold, and the verdict's step scores one number per assistant turn.
    Nothing is compared with a reference: right arithmetic may still answer another question.

    Args:
        aggregate: ``product`` or ``min``, of the scores of the steps.
        threshold: Aggregated score in (0, 1] from which on the verdict is pass.
    """

    name = "steps"

    def __init__(self, *, aggregate: str = "product", threshold: float = 1.0) -> None:
        if aggregate not in AGGREGATES:
            raise ConfigError(
                f"aggregate must be one of {', '.join(AGGREGATES)}, got {aggregate!r}"
            )
        check_number("threshold", threshold, "(0, 1]")
        self.aggregate, self.threshold = aggregate, threshold
        self.version = version_of(self, "2")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if the score reaches the threshold; invalid if there is no step, or one that cannot be computed."""
        after = trajectory.messages[prompt_size(task, trajectory) :]
        turns = [message for message in after if message.role == "assistant"]
        if not any(turn.text.strip() for turn in turns):
            return Verdict.failed("no answer")
        if sum(len(turn.text) for turn in turns) > MAX_LENGTH:
            return Verdict.failed("solution is too long")
        try:
            by_turn = [steps(turn.text) for turn in turns]
        except BoundError as error:
            return Verdict.failed(str(error))
        found = [step for one in by_turn for step in one]
        if not found:
            return Verdict.invalid("no arithmetic to check")
        told: dict[str, Any] = {
            "details": {
                "steps": [step.score for step in found],
                "wrong": [equation for step in found for equation in step.wrong][:10],
            },
            "step_scores": tuple(self._score([step.score for step in one]) for one in by_turn),
        }
        score = self._score([step.score for step in found])
        if score is None:
            return Verdict.invalid("a step cannot be computed", **told)
        if score >= self.threshold:
            return Verdict.passed(score=score, **told)
        return Verdict.failed("wrong step", score=score, **told)

    def _score(self, scores: Sequence[float | None]) -> float | None:
        """Return the score of several steps; None where there are none or one is unknown."""
        known = [score for score in scores if score is not None]
        if not known or len(known) < len(scores):
            return None
        return AGGREGATES[self.aggregate](known)
