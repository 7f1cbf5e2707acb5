"""Verdicts from verdicts: all of several verifiers, any of them, or a weighted mean.

An invalid verdict is unknown, and unknown follows three-valued logic (Kleene): it decides nothing that another verdict has
decided, and is never counted as 0.

    all_of    pass     fail   invalid       any_of    pass   fail     invalid
    pass      pass     fail   invalid       pass      pass   pass     pass
    fail      fail     fail   fail          fail      pass   fail     invalid
    invalid   invalid  fail   invalid       invalid   pass   invalid  invalid
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from orbiter.errors import ConfigError
from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.tasks.component import Spec, make_component
from orbiter.verify.verifier import Verifier, judge, version_of


class AllOf(Verifier):
    """Pass if every verifier passes; stop at the first that fails.

    The score is the lowest of those seen: with graded verdicts, the weakest part.

    Args:
        verifiers: Verifiers, names, or names with options beside them; asked in this order, so put cheap ones first.
    """

    name = "all_of"

    def __init__(self, verifiers: Sequence[Verifier | Spec]) -> None:
        self.verifiers = _made(verifiers)
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Fail if any fails, else invalid if any is invalid, else pass."""
        seen = _until(Outcome.FAIL, self.verifiers, task, trajectory)
        return _decide((Outcome.FAIL, Outcome.INVALID, Outcome.PASS), seen, min)


class AnyOf(Verifier):
    """Pass if some verifier passes; stop at the first that does.

    The score is the highest of those seen.

    Args:
        verifiers: Verifiers, names, or names with options beside them; asked in this order, so put cheap ones first.
    """

    name = "any_of"

    def __init__(self, verifiers: Sequence[Verifier | Spec]) -> None:
        self.verifiers = _made(verifiers)
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if any passes, else invalid if any is invalid, else fail."""
        seen = _until(Outcome.PASS, self.verifiers, task, trajectory)
        return _decide((Outcome.PASS, Outcome.INVALID, Outcome.FAIL), seen, max)


class Weighted(Verifier):
    """Pass if the weighted mean of the scores reaches a threshold; invalid if any verdict is.

    Args:
        verifiers: Verifiers, names, or names with options beside them.
        weights: One positive weight per verifier; they need not sum to 1.
        threshold: Mean score in (0, 1] from which on the verdict is pass.
    """

    name = "weighted"

    def __init__(
        self,
        verifiers: Sequence[Verifier | Spec],
        *,
        weights: Sequence[float],
        threshold: float = 1.0,
    ) -> None:
        self.verifiers = _made(verifiers)
        if len(weights) != len(self.verifiers):
            raise ConfigError(
                f"weights must be one per verifier, got {len(weights)} for {len(self.verifiers)} verifiers"
            )
        if not all(_is_number(w) and 0 < w < math.inf for w in weights):
            raise ConfigError(f"weights must be finite numbers above 0, got {list(weights)!r}")
        if not _is_number(threshold) or not 0 < threshold <= 1:
            raise ConfigError(f"threshold must be a number in (0, 1], got {threshold!r}")
        self.weights, self.threshold = tuple(weights), threshold
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict of the mean; every verifier is asked."""
        seen = [judge(verifier, task, trajectory) for verifier in self.verifiers]
        unknown = next((v for v in seen if v.score is None), None)
        if unknown is not None:
            return Verdict.invalid(_reason(unknown), details=_details(seen))
        total = math.fsum(self.weights)
        score = math.fsum(w * (v.score or 0.0) for w, v in zip(self.weights, seen)) / total
        # The mean of scores that are all equal may miss them by a rounding error.
        if score >= self.threshold - 1e-12:
            return Verdict.passed(score=min(score, 1.0), details=_details(seen))
        worst = min(seen, key=lambda v: v.score or 0.0)
        return Verdict.failed(_reason(worst), score=score, details=_details(seen))


def _made(given: Sequence[Verifier | Spec]) -> tuple[Verifier, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ConfigError(f"verifiers must be a list of at least one verifier, got {given!r}")
    return tuple(make_component("verifier", one, Verifier) for one in given)  # type: ignore[type-abstract]


def _until(
    decisive: Outcome, verifiers: Iterable[Verifier], task: Task, trajectory: Trajectory
) -> list[Verdict]:
    """Return the verdicts up to and including the first decisive one."""
    seen: list[Verdict] = []
    for verifier in verifiers:
        seen.append(judge(verifier, task, trajectory))
        if seen[-1].outcome is decisive:
            break
    return seen


def _decide(order: Sequence[Outcome], seen: list[Verdict], choose: Any) -> Verdict:
    """Return a verdict with the first outcome in ``order`` that was seen."""
    outcome = next(outcome for outcome in order if any(v.outcome is outcome for v in seen))
    deciding = next(v for v in seen if v.outcome is outcome)
    scores = [v.score for v in seen if v.score is not None]
    score = None if outcome is Outcome.INVALID else choose(scores)
    return Verdict(outcome, score, _reason(deciding), details=_details(seen))


def _reason(verdict: Verdict) -> str:
    return f"{verdict.verifier}: {verdict.reason}" if verdict.reason else ""


def _details(seen: Iterable[Verdict]) -> dict[str, Any]:
    return {"verdicts": [verdict.to_row() for verdict in seen]}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
