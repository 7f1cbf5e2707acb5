"""The verdict on a process: step scores made into one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from orbiter.checks import check_number, is_number
from orbiter.errors import ConfigError
from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.tasks.component import Spec
from orbiter.verify.component import make_verifier
from orbiter.verify.verifier import Verifier, judge, version_of

AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {"product": math.prod, "min": min}
"""How step scores become one number."""


class Process(Verifier):
    """Judge by the steps that another verifier scores, whatever it says of the whole.

    The steps are ``details["steps"]`` of its verdict, a list of numbers in [0, 1] or None; without that, its ``step_scores``. The score
    is their product (the probability that all are right, if they are independent probabilities) or their minimum (the weakest);
    Lightman et al. 2023, section 2.6 and appendix F, compare the two. A step with score 0 makes either 0, whatever the others are. Without
    one, a step that nobody could score makes the verdict invalid, as do an invalid verdict and one without steps.

    Args:
        verifier: A verifier that scores steps, its name, or its name with options beside it.
        aggregate: ``product`` or ``min``.
        threshold: Score in (0, 1] from which on the verdict is pass.
    """

    name = "process"

    def __init__(
        self,
        verifier: Verifier | Spec,
        *,
        aggregate: str = "product",
        threshold: float = 1.0,
    ) -> None:
        self.verifier = make_verifier(verifier)
        if aggregate not in AGGREGATES:
            raise ConfigError(
                f"aggregate must be one of {', '.join(AGGREGATES)}, got {aggregate!r}"
            )
        check_number("threshold", threshold, "(0, 1]")
        self.aggregate, self.threshold = aggregate, threshold
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict of the steps."""
        verdict = judge(self.verifier, task, trajectory)
        if verdict.outcome is Outcome.INVALID:
            return Verdict.invalid(f"{verdict.verifier}: {verdict.reason}")
        steps = verdict.details.get("steps", verdict.step_scores)
        if not isinstance(steps, list | tuple) or not all(map(_is_step, steps)):
            return Verdict.invalid(f"{verdict.verifier}: steps are no list of numbers in [0, 1]")
        details = {"steps": list(steps)}
        if not steps:
            return Verdict.invalid(f"{verdict.verifier}: no steps", details=details)
        if None in steps and 0 not in steps:
            return Verdict.invalid(f"{verdict.verifier}: a step is unknown", details=details)
        score = AGGREGATES[self.aggregate]([step for step in steps if step is not None])
        # A product of scores that should reach the threshold may miss it by a rounding error.
        if score >= self.threshold - 1e-12:
            return Verdict.passed(score=score, details=details)
        return Verdict.failed(f"{verdict.verifier}: a step is wrong", score=score, details=details)


def _is_step(value: object) -> bool:
    return value is None or (is_number(value) and 0 <= value <= 1)
