"""The confusion table of a verifier, and the rates that follow from it. Invalid verdicts are counted apart and enter no rate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from orbiter.errors import ConfigError
from orbiter.intervals import (
    Estimate,
    Interval,
    check_confidence,
    clustered_size,
    estimate_rate,
)
from orbiter.records import Outcome, Verdict
from orbiter.verify.audit.answers import LabelledAnswer
from orbiter.verify.verifier import Verifier, judge


@frozen
class Disagreement:
    """A labelled answer on which the verifier says otherwise."""

    labelled: LabelledAnswer
    verdict: Verdict


@frozen(kw_only=True)
class Confusion:
    """What a verifier said of answers of known label.

    Args:
        true_positives: Right answers that it passed.
        false_negatives: Right answers that it failed.
        false_positives: Wrong answers that it passed.
        true_negatives: Wrong answers that it failed.
        invalid_right: Right answers that it could not judge.
        invalid_wrong: Wrong answers that it could not judge.
        effective_right: Independent answers that the right ones are worth, where several may be to one task; None: all.
        effective_wrong: The same of the wrong ones.
        confidence: Of every interval below.
    """

    true_positives: int = 0
    false_negatives: int = 0
    false_positives: int = 0
    true_negatives: int = 0
    invalid_right: int = 0
    invalid_wrong: int = 0
    effective_right: float | None = None
    effective_wrong: float | None = None
    confidence: float = 0.95

    @property
    def counts(self) -> dict[str, int]:
        """The six cells by name."""
        return {name: getattr(self, name) for name in CELLS.values()}

    @property
    def count(self) -> int:
        """Answers judged, invalid verdicts included."""
        return sum(self.counts.values())

    @property
    def right(self) -> int:
        """Right answers that were validly judged."""
        return self.true_positives + self.false_negatives

    @property
    def wrong(self) -> int:
        """Wrong answers that were validly judged."""
        return self.false_positives + self.true_negatives

    @property
    def tpr(self) -> Estimate:
        """Share of right answers passed, of those validly judged, with its Clopper-Pearson interval."""
        return self.tpr_at(self.confidence)

    @property
    def fnr(self) -> Estimate:
        """Share of right answers failed, of those validly judged: 1 - TPR."""
        return self.fnr_at(self.confidence)

    @property
    def fpr(self) -> Estimate:
        """Share of wrong answers passed, of those validly judged, with its Clopper-Pearson interval."""
        return self.fpr_at(self.confidence)

    def tpr_at(self, confidence: float) -> Estimate:
        """Return the TPR with the interval of another confidence."""
        effective = self.effective_right
        return estimate_rate(
            self.true_positives, self.right, confidence=confidence, effective=effective
        )

    def fnr_at(self, confidence: float) -> Estimate:
        """Return the FNR with the interval of another confidence."""
        effective = self.effective_right
        return estimate_rate(
            self.false_negatives, self.right, confidence=confidence, effective=effective
        )

    def fpr_at(self, confidence: float) -> Estimate:
        """Return the FPR with the interval of another confidence."""
        effective = self.effective_wrong
        return estimate_rate(
            self.false_positives, self.wrong, confidence=confidence, effective=effective
        )

    @property
    def joint_rates(self) -> tuple[Estimate, Estimate]:
        """TPR and FPR with intervals that hold both at once: each has half of the error (Bonferroni)."""
        half_error = (1 + self.confidence) / 2
        return self.tpr_at(half_error), self.fpr_at(half_error)

    @property
    def invalid_rate(self) -> Estimate:
        """Share of all answers that the verifier could not judge."""
        invalid = self.invalid_right + self.invalid_wrong
        return estimate_rate(invalid, self.count, confidence=self.confidence)

    @property
    def g(self) -> Estimate:
        """TPR / FPR: at most by this, one round of imitating the survivors multiplies the odds of a right answer.

        Infinite when no wrong answer passed; None when there were no right or no wrong answers, or nothing passed. The
        interval is [TPR low / FPR high, TPR high / FPR low] of :attr:`joint_rates`.
        """
        tpr, fpr = self.joint_rates
        low = tpr.interval.low / fpr.interval.high
        high = tpr.interval.high / fpr.interval.low if fpr.interval.low > 0 else math.inf
        value = None
        if tpr.value is not None and fpr.value is not None and (tpr.value > 0 or fpr.value > 0):
            value = tpr.value / fpr.value if fpr.value > 0 else math.inf
        return Estimate(value, Interval(low, high, self.confidence))

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON data; a number that is unknown or infinite is None."""
        row: dict[str, Any] = dict(self.counts)
        for name in ("tpr", "fpr", "invalid_rate", "g"):
            estimate: Estimate = getattr(self, name)
            row[name] = _finite(estimate.value)
            row[f"{name}_low"] = _finite(estimate.interval.low)
            row[f"{name}_high"] = _finite(estimate.interval.high)
        return row


@frozen(kw_only=True)
class Audit(Confusion):
    """How often a verifier was right and wrong.

    Args:
        verifier: Its name.
        version: Its version.
        families: The same counts for each family of answers, in the order in which the families came.
        disagreements: The false negatives and false positives, with their verdicts, in order.
        reasons: Why verdicts were invalid, and how often, the commonest first.
    """

    verifier: str
    version: str
    families: Mapping[str, Confusion] = field(factory=dict)
    disagreements: tuple[Disagreement, ...] = ()
    reasons: Mapping[str, int] = field(factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON data; a number that is unknown or infinite is None."""
        return {"verifier": self.verifier, "version": self.version, **super().summary()}


CELLS = {
    (True, Outcome.PASS): "true_positives",
    (True, Outcome.FAIL): "false_negatives",
    (True, Outcome.INVALID): "invalid_right",
    (False, Outcome.PASS): "false_positives",
    (False, Outcome.FAIL): "true_negatives",
    (False, Outcome.INVALID): "invalid_wrong",
}
"""(correct, outcome) to the cell that it counts in."""


def audit(
    verifier: Verifier, labelled: Iterable[LabelledAnswer], *, confidence: float = 0.95
) -> Audit:
    """Return how often ``verifier`` agrees with the labels, judging in this process.

    Args:
        verifier: What is measured.
        labelled: Answers of known label; the rates hold for answers like these.
        confidence: Of the intervals, in (0, 1).
    """
    labelled = list(labelled)
    verdicts = [judge(verifier, item.task, item.trajectory) for item in labelled]
    return tally(
        labelled,
        verdicts,
        verifier=verifier.name,
        version=verifier.version,
        confidence=confidence,
    )


def tally(
    labelled: Sequence[LabelledAnswer],
    verdicts: Sequence[Verdict],
    *,
    verifier: str,
    version: str,
    by_task: bool = False,
    confidence: float = 0.95,
) -> Audit:
    """Return how often verdicts agree with the labels.

    Args:
        labelled: Answers of known label.
        verdicts: The verdict on each.
        verifier: Name of the verifier that gave them.
        version: Its version.
        by_task: Take several answers to one task for what they are worth together: they are alike. Otherwise all answers count as
            independent draws.
        confidence: Of the intervals, in (0, 1).

    Raises:
        ConfigError: There are not as many verdicts as answers.
    """
    check_confidence(confidence)
    if len(labelled) != len(verdicts):
        raise ConfigError(
            f"verdicts must be as many as answers, {len(labelled)}, got {len(verdicts)}"
        )
    families: dict[str, list[_Judged]] = {}
    reasons: Counter[str] = Counter()
    disagreements = []
    judged = list(zip(labelled, verdicts))
    for item, verdict in judged:
        families.setdefault(item.family, []).append((item, verdict))
        if verdict.outcome is Outcome.INVALID:
            reasons[verdict.reason] += 1
        elif (verdict.outcome is Outcome.PASS) != item.correct:
            disagreements.append(Disagreement(item, verdict))
    return Audit(
        verifier=verifier,
        version=version,
        families={
            name: Confusion(**_cells(part, by_task, confidence), confidence=confidence)
            for name, part in families.items()
        },
        disagreements=tuple(disagreements),
        reasons=dict(reasons.most_common()),
        confidence=confidence,
        **_cells(judged, by_task, confidence),
    )


_Judged = tuple[LabelledAnswer, Verdict]


def _cells(judged: Sequence[_Judged], by_task: bool, confidence: float) -> dict[str, Any]:
    """Return the counts, and with ``by_task`` what the answers are worth."""
    cells: dict[str, Any] = Counter(
        CELLS[item.correct, verdict.outcome] for item, verdict in judged
    )
    for name, correct in (("effective_right", True), ("effective_wrong", False)):
        tasks: dict[tuple[str, str], list[bool]] = {}
        for item, verdict in judged if by_task else ():
            if item.correct == correct and verdict.outcome is not Outcome.INVALID:
                passed = tasks.setdefault((item.task.env, item.task.task_id), [])
                passed.append(verdict.outcome is Outcome.PASS)
        clusters = ((sum(passed), len(passed)) for passed in tasks.values())
        cells[name] = clustered_size(clusters, confidence=confidence)
    return cells


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
