"""Verdicts from verdicts: of all of several verifiers, any, most, a weighted mean, one behind another.

An invalid verdict is unknown, and unknown follows three-valued logic (Kleene): it decides nothing, it takes nothing back that other
verdicts have decided, and it is never counted as 0. What a combinator says while a part is unknown, it still says once that part is
known; only a cascade, which takes the next verifier's word for it, may then say otherwise, where the two contradict each other.

    all_of    pass     fail   invalid       any_of    pass   fail     invalid
    pass      pass     fail   invalid       pass      pass   pass     pass
    fail      fail     fail   fail          fail      pass   fail     invalid
    invalid   invalid  fail   invalid       invalid   pass   invalid  invalid

    gate      pass     fail   invalid       cascade   pass   fail     invalid
    pass      pass     fail   invalid       pass      pass   pass     pass
    fail      fail     fail   fail          fail      fail   fail     fail
    invalid   invalid  invalid invalid      invalid   pass   fail     invalid

A judge, which asks a model, has no vote against a verifier that asks none: any_of, weighted and majority hold judges alone or none, and a
cascade holds them last, at every depth.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from orbiter.checks import check_number, is_number
from orbiter.errors import ConfigError
from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.tasks.component import Spec
from orbiter.verify.component import make_verifier
from orbiter.verify.verifier import Verifier, judge_batch, parts_of, version_of


class Combinator(Verifier):
    """Asks several verifiers one after another, and makes one verdict of theirs."""

    verifiers: tuple[Verifier, ...]

    def _set(self, verifiers: Sequence[Verifier | Spec]) -> None:
        """Take the parts, and be named after them in the version; the other options are set already."""
        self.verifiers = _made(verifiers)
        self.batch_size = max(verifier.batch_size for verifier in self.verifiers)
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict on one answer."""
        return self.verify_batch([(task, trajectory)])[0]

    def verify_batch(self, pairs: Sequence[tuple[Task, Trajectory]]) -> list[Verdict]:
        """Return the verdicts on several answers; each verifier is asked about all that still need it together."""
        seen: list[list[Verdict]] = [[] for _ in pairs]
        open_ = list(range(len(pairs)))
        for verifier in self.verifiers:
            for place, verdict in zip(open_, judge_batch(verifier, [pairs[n] for n in open_])):
                seen[place].append(verdict)
            open_ = [place for place in open_ if not self.settles(seen[place][-1])]
        return [self.decide(verdicts) for verdicts in seen]

    def settles(self, verdict: Verdict) -> bool:  # noqa: ARG002
        """Return whether no further verifier need be asked after this verdict."""
        return False

    @abstractmethod
    def decide(self, seen: list[Verdict]) -> Verdict:
        """Return what follows from the verdicts that were asked for, in the order of the verifiers."""


class AllOf(Combinator):
    """Pass if every verifier passes; stop at the first that fails.

    The score is the lowest of those seen: with graded verdicts, the weakest part.

    Args:
        verifiers: Verifiers, names, or names with options beside them; asked in this order, so put cheap ones first.
    """

    name = "all_of"

    def __init__(self, verifiers: Sequence[Verifier | Spec]) -> None:
        self._set(verifiers)

    def settles(self, verdict: Verdict) -> bool:
        """Stop at a fail."""
        return verdict.outcome is Outcome.FAIL

    def decide(self, seen: list[Verdict]) -> Verdict:
        """Fail if any fails, else invalid if any is invalid, else pass."""
        return _decide((Outcome.FAIL, Outcome.INVALID, Outcome.PASS), seen, min)


class AnyOf(Combinator):
    """Pass if some verifier passes; stop at the first that does.

    The score is the highest of those seen.

    Args:
        verifiers: Verifiers, names, or names with options beside them; asked in this order, so put cheap ones first.
    """

    name = "any_of"

    def __init__(self, verifiers: Sequence[Verifier | Spec]) -> None:
        self._set(verifiers)
        _refuse_outvoting(self.name, self.verifiers)

    def settles(self, verdict: Verdict) -> bool:
        """Stop at a pass."""
        return verdict.outcome is Outcome.PASS

    def decide(self, seen: list[Verdict]) -> Verdict:
        """Pass if any passes, else invalid if any is invalid, else fail."""
        return _decide((Outcome.PASS, Outcome.INVALID, Outcome.FAIL), seen, max)


class Weighted(Combinator):
    """Pass if the weighted mean of the scores reaches a threshold; invalid if any verdict is.

    Args:
        verifiers: Verifiers, names, or names with options beside them; every one is asked.
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
        self.weights, self.threshold = tuple(weights), threshold
        self._set(verifiers)
        if len(weights) != len(self.verifiers):
            raise ConfigError(
                f"weights must be one per verifier, got {len(weights)} for {len(self.verifiers)} verifiers"
            )
        if not all(is_number(w) and w > 0 for w in weights):
            raise ConfigError(f"weights must be finite numbers above 0, got {list(weights)!r}")
        check_number("threshold", threshold, "(0, 1]")
        _refuse_outvoting(self.name, self.verifiers)

    def decide(self, seen: list[Verdict]) -> Verdict:
        """Return the verdict of the mean."""
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


class Gate(Combinator):
    """Let one verifier decide whether another is asked: format gates correctness.

    If the gate fails, the verdict is fail with score 0; if it cannot tell, invalid; if it passes, the other verifier's verdict with its
    score. Unlike ``all_of``, the score of the gate never lowers the other's.

    Args:
        gate: A verifier, its name, or its name with options beside it; the cheap one.
        verifier: The one that is asked behind the gate.
    """

    name = "gate"

    def __init__(self, gate: Verifier | Spec, verifier: Verifier | Spec) -> None:
        self.gate, self.verifier = _made([gate, verifier])
        self._set([self.gate, self.verifier])

    def settles(self, verdict: Verdict) -> bool:
        """Stop at a gate that does not pass."""
        return verdict.outcome is not Outcome.PASS

    def decide(self, seen: list[Verdict]) -> Verdict:
        """Return the verdict behind the gate, or the gate's if it does not pass."""
        last = seen[-1]
        if len(seen) == 1 and last.outcome is Outcome.FAIL:
            return Verdict.failed(_reason(last), details=_details(seen))
        return Verdict(last.outcome, last.score, _reason(last), details=_details(seen))


class Cascade(Combinator):
    """Ask one verifier after another until one can tell: cheap ones first.

    The first verdict that is not invalid stands. If none can tell, the verdict is invalid for the last one's reason.

    Args:
        verifiers: Verifiers, names, or names with options beside them, in the order in which they are asked.
    """

    name = "cascade"

    def __init__(self, verifiers: Sequence[Verifier | Spec]) -> None:
        self._set(verifiers)
        _refuse_judge_first(self.verifiers)

    def settles(self, verdict: Verdict) -> bool:
        """Stop at a verdict that says something."""
        return verdict.outcome is not Outcome.INVALID

    def decide(self, seen: list[Verdict]) -> Verdict:
        """Return the last verdict, which is the first that says something if any does."""
        last = seen[-1]
        return Verdict(last.outcome, last.score, _reason(last), details=_details(seen))


class Majority(Combinator):
    """Say what more than half of the verifiers say; invalid if neither pass nor fail has that many.

    An invalid verdict is a vote for neither, and counts among the verifiers: two passes of four are no majority. The score is the
    share of passes among the verdicts that are not invalid.

    Args:
        verifiers: Verifiers, names, or names with options beside them; every one is asked.
    """

    name = "majority"

    def __init__(self, verifiers: Sequence[Verifier | Spec]) -> None:
        self._set(verifiers)
        _refuse_outvoting(self.name, self.verifiers)

    def decide(self, seen: list[Verdict]) -> Verdict:
        """Return the verdict of the majority."""
        passed, failed = ([v for v in seen if v.outcome is o] for o in (Outcome.PASS, Outcome.FAIL))
        for votes in (passed, failed):
            if 2 * len(votes) > len(seen):
                score = len(passed) / (len(passed) + len(failed))
                reason, details = _reason(votes[0]), _details(seen)
                return Verdict(votes[0].outcome, score, reason, details=details)
        return Verdict.invalid(
            f"no majority: {len(passed)} pass, {len(failed)} fail of {len(seen)}",
            details=_details(seen),
        )


def _made(given: Sequence[Verifier | Spec]) -> tuple[Verifier, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ConfigError(f"verifiers must be a list of at least one verifier, got {given!r}")
    return tuple(make_verifier(one) for one in given)


def _asks_a_judge(verifier: Verifier) -> bool:
    return any(part.opinion for part in parts_of(verifier))


def _holds_a_program(verifier: Verifier) -> bool:
    """Return whether a verifier that asks nobody is among the parts: one that has no parts of its own, and is no judge."""
    return any(not p.opinion and len(list(parts_of(p))) == 1 for p in parts_of(verifier))


def _refuse_outvoting(name: str, verifiers: Sequence[Verifier]) -> None:
    """Refuse a combinator in which a judge could pass what a program fails."""
    if any(map(_asks_a_judge, verifiers)) and any(map(_holds_a_program, verifiers)):
        raise ConfigError(
            f"{name} must hold judges alone or none: a judge must not outvote a verifier that can tell",
            hint="in all_of and gate a judge is asked behind the others, in cascade where they cannot tell",
        )


def _refuse_judge_first(verifiers: Sequence[Verifier]) -> None:
    """Refuse a cascade in which a judge speaks before a program that may fail what it passes."""
    asks = [_asks_a_judge(verifier) for verifier in verifiers]
    # What holds both may end without asking its program, so a judge behind it is one before a program as well.
    programs = [_holds_a_program(verifier) for verifier in verifiers]
    first = asks.index(True) if True in asks else len(asks)
    if any(programs[first + 1 :]) or (
        programs[first : first + 1] == [True] and any(asks[first + 1 :])
    ):
        raise ConfigError(
            "cascade must hold its judges last: a judge must not speak before a verifier that can tell",
            hint="put the verifiers that ask no model first, and none of them into what stands before another judge",
        )


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
