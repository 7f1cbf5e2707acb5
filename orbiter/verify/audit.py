"""Measure how often a verifier is wrong, on answers whose label is known.

The share of right answers that it passes (TPR) and the share of wrong ones (FPR) decide what a round of training can gain: the
odds of a right answer grow by at most g = TPR / FPR. Invalid verdicts are counted apart and enter neither rate.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import attrs
from attrs import frozen

from orbiter.errors import ConfigError, user_code
from orbiter.intervals import Estimate, Interval, check_confidence, estimate_rate
from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.tasks.environment import Environment
from orbiter.tasks.streams import item_stream
from orbiter.verify.answer import answered
from orbiter.verify.verifier import Verifier, judge

IsRight = Callable[[Task, str], "bool | None"]
"""Says whether an answer is right, or None if it cannot tell."""


@frozen
class LabelledAnswer:
    """An answer that is known to be right or wrong.

    Args:
        task: The task.
        answer: The answer: text, or a whole trajectory.
        correct: Whether it is right.
    """

    task: Task
    answer: str | Trajectory
    correct: bool

    @property
    def trajectory(self) -> Trajectory:
        """The answer as an unscored trajectory."""
        if isinstance(self.answer, Trajectory):
            return self.answer
        return answered(self.task, self.answer)


@frozen
class Disagreement:
    """A labelled answer on which the verifier says otherwise."""

    labelled: LabelledAnswer
    verdict: Verdict


@frozen(kw_only=True)
class Audit:
    """How often a verifier was right and wrong.

    Args:
        verifier: Its name.
        version: Its version.
        true_positives: Right answers that it passed.
        false_negatives: Right answers that it failed.
        false_positives: Wrong answers that it passed.
        true_negatives: Wrong answers that it failed.
        invalid_right: Right answers that it could not judge.
        invalid_wrong: Wrong answers that it could not judge.
        disagreements: The false negatives and false positives, with their verdicts, in order.
        confidence: Of every interval below.
    """

    verifier: str
    version: str
    true_positives: int = 0
    false_negatives: int = 0
    false_positives: int = 0
    true_negatives: int = 0
    invalid_right: int = 0
    invalid_wrong: int = 0
    disagreements: tuple[Disagreement, ...] = ()
    confidence: float = 0.95

    @property
    def count(self) -> int:
        """Answers judged, invalid verdicts included."""
        valid = self.true_positives + self.false_negatives
        valid += self.false_positives + self.true_negatives
        return valid + self.invalid_right + self.invalid_wrong

    @property
    def tpr(self) -> Estimate:
        """Share of right answers passed, of those validly judged, with its Clopper-Pearson interval."""
        return self._tpr(self.confidence)

    @property
    def fpr(self) -> Estimate:
        """Share of wrong answers passed, of those validly judged, with its Clopper-Pearson interval."""
        return self._fpr(self.confidence)

    @property
    def invalid_rate(self) -> Estimate:
        """Share of all answers that the verifier could not judge."""
        invalid = self.invalid_right + self.invalid_wrong
        return estimate_rate(invalid, self.count, confidence=self.confidence)

    @property
    def g(self) -> Estimate:
        """TPR / FPR: at most by this, one round of imitating the survivors multiplies the odds of a right answer.

        Infinite when no wrong answer passed; None when there were no right or no wrong answers, or nothing passed. The
        interval is [TPR low / FPR high, TPR high / FPR low] from two intervals of half the error each (Bonferroni).
        """
        tpr, fpr = (rate((1 + self.confidence) / 2) for rate in (self._tpr, self._fpr))
        low = tpr.interval.low / fpr.interval.high
        high = tpr.interval.high / fpr.interval.low if fpr.interval.low > 0 else math.inf
        value = None
        if tpr.value is not None and fpr.value is not None and (tpr.value > 0 or fpr.value > 0):
            value = tpr.value / fpr.value if fpr.value > 0 else math.inf
        return Estimate(value, Interval(low, high, self.confidence))

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON data; a number that is unknown or infinite is None."""
        row: dict[str, Any] = {
            a.name: getattr(self, a.name)
            for a in attrs.fields(Audit)
            if a.name not in ("disagreements", "confidence")
        }
        for name in ("tpr", "fpr", "invalid_rate", "g"):
            estimate: Estimate = getattr(self, name)
            row[name] = _finite(estimate.value)
            row[f"{name}_low"] = _finite(estimate.interval.low)
            row[f"{name}_high"] = _finite(estimate.interval.high)
        return row

    def _tpr(self, confidence: float) -> Estimate:
        judged = self.true_positives + self.false_negatives
        return estimate_rate(self.true_positives, judged, confidence=confidence)

    def _fpr(self, confidence: float) -> Estimate:
        judged = self.false_positives + self.true_negatives
        return estimate_rate(self.false_positives, judged, confidence=confidence)


_NUMBER = re.compile(r"[-+]?[0-9]{1,300}(\.[0-9]{1,300})?")

_CELLS = {
    (True, Outcome.PASS): "true_positives",
    (True, Outcome.FAIL): "false_negatives",
    (True, Outcome.INVALID): "invalid_right",
    (False, Outcome.PASS): "false_positives",
    (False, Outcome.FAIL): "true_negatives",
    (False, Outcome.INVALID): "invalid_wrong",
}


def audit(
    verifier: Verifier, labelled: Iterable[LabelledAnswer], *, confidence: float = 0.95
) -> Audit:
    """Return how often ``verifier`` agrees with the labels.

    Args:
        verifier: What is measured.
        labelled: Answers of known label; the rates hold for answers like these.
        confidence: Of the intervals, in (0, 1).
    """
    check_confidence(confidence)
    counts = dict.fromkeys(_CELLS.values(), 0)
    disagreements = []
    for item in labelled:
        verdict = judge(verifier, item.task, item.trajectory)
        cell = _CELLS[item.correct, verdict.outcome]
        counts[cell] += 1
        if cell in ("false_negatives", "false_positives"):
            disagreements.append(Disagreement(item, verdict))
    return Audit(
        verifier=verifier.name,
        version=verifier.version,
        disagreements=tuple(disagreements),
        confidence=confidence,
        **counts,
    )


def self_audit(
    environment: Environment,
    verifier: Verifier,
    *,
    count: int,
    seed: int,
    is_right: IsRight | None = None,
    confidence: float = 0.95,
) -> Audit:
    """Return how often ``verifier`` is wrong on answers that the environment itself can label.

    See :func:`labelled_answers` for what the answers are. The errors of a model are other errors, so the FPR found here is that
    on near misses and mix-ups; audit on labelled answers of the model itself where there are any.

    Args:
        environment: Where tasks and right answers come from.
        verifier: What is measured.
        count: Number of tasks; each gives one right answer and up to two wrong ones.
        seed: Selects the tasks and the corruptions.
        is_right: Labels a corrupted answer; default :func:`reference_label`.
        confidence: Of the intervals, in (0, 1).

    Raises:
        ConfigError: The environment demonstrates none of the tasks.
    """
    labelled = labelled_answers(environment, count=count, seed=seed, is_right=is_right)
    return audit(verifier, labelled, confidence=confidence)


def labelled_answers(
    environment: Environment, *, count: int, seed: int, is_right: IsRight | None = None
) -> list[LabelledAnswer]:
    """Return right answers, demonstrated by the environment, and wrong ones made from them.

    Per task: the demonstration (right); the demonstration with one character deleted, doubled, swapped with its neighbour or
    replaced (wrong); and the demonstration of another task (wrong). A wrong one is kept only if ``is_right`` says False. Where
    many answers are right (countdown, say) a corruption may be right too, and the default label cannot tell: then there are no
    wrong answers here and the FPR stays unknown, unless ``is_right`` is given.

    Args:
        environment: Where tasks and right answers come from.
        count: Number of tasks, from 0 on; a smaller environment gives all it has.
        seed: Selects the tasks and the corruptions.
        is_right: Labels a corrupted answer; default :func:`reference_label`.

    Raises:
        ConfigError: The environment demonstrates none of the tasks.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ConfigError(f"count must be an integer >= 1, got {count!r}")
    label = is_right or reference_label(environment)
    if environment.size is not None:
        count = min(count, environment.size)
    who = f"environment {environment.name!r}"
    with user_code(who, "task"):
        tasks = [environment.task(index, seed=seed) for index in range(count)]
    with user_code(who, "demonstrate"):
        answers = [environment.demonstrate(task) for task in tasks]
    shown = [(task, answer) for task, answer in zip(tasks, answers) if answer is not None]
    if not shown:
        raise ConfigError(
            f"environment {environment.name!r} must demonstrate right answers to be audited with, "
            f"got none for {count} tasks",
            hint="implement demonstrate(task), audit with labelled answers of your own, or, in a recipe, turn the audit off "
            "with evaluate.audit=0",
        )
    labelled = []
    for index, (task, answer) in enumerate(shown):
        labelled.append(LabelledAnswer(task, answer, correct=True))
        stream = item_stream("audit", seed, index)
        other = shown[stream.randrange(len(shown))][1]
        for wrong in (corruptions(answer, stream, chars=environment.chars), iter([other])):
            text = next((text for text in wrong if label(task, text) is False), None)
            if text is not None:
                labelled.append(LabelledAnswer(task, text, correct=False))
    return labelled


def reference_label(environment: Environment) -> IsRight:
    """Return a labeller that trusts ``task.answer`` where the environment demonstrates just that.

    It says True for the reference itself, False for a text that differs from a one-word reference by more than white space,
    case or the way a number is written, and None for all else: a longer reference may be worked out, and stay right with an edit
    in its reasoning; where the demonstration is not the reference, other right answers may exist.
    """

    def label(task: Task, answer: str) -> bool | None:
        reference = task.answer
        if not isinstance(reference, str) or environment.demonstrate(task) != reference:
            return None
        if answer == reference:
            return True
        one_word = len(reference.split()) == 1
        return False if one_word and not _same_loosely(answer, reference) else None

    return label


def corruptions(
    answer: str, stream: random.Random, *, chars: str | None = None, tries: int = 16
) -> Iterator[str]:
    """Yield texts that are one edit away from ``answer``, and never ``answer`` itself.

    Args:
        answer: What is edited.
        stream: Where the choice of edits comes from.
        chars: Characters to put in; default: those of the answer, and digits if it has any.
        tries: Most texts; edits that change nothing use up a try.
    """
    alphabet = sorted(set(chars or answer or "?"))
    if chars is None and any(c.isdigit() for c in answer):
        alphabet = sorted({*alphabet, *"0123456789"})
    for _ in range(tries):
        edit = stream.choice(("delete", "double", "swap", "replace"))
        place = stream.randrange(len(answer)) if answer else 0
        before, here, after = answer[:place], answer[place : place + 1], answer[place + 1 :]
        if edit == "delete":
            text = before + after
        elif edit == "double":
            text = before + here + here + after
        elif edit == "swap":
            text = before + after[:1] + here + after[1:]
        else:
            text = before + stream.choice(alphabet) + after
        if text != answer:
            yield text


def _same_loosely(one: str, other: str) -> bool:
    if "".join(one.split()).casefold() == "".join(other.split()).casefold():
        return True
    numbers = [_NUMBER.fullmatch(text.strip().replace(",", "")) for text in (one, other)]
    return all(numbers) and len({Fraction(found.group()) for found in numbers if found}) == 1


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
