"""Calibration: from a margin to the probability that a preference is right, learnt from pairs whose answer is known.

A judge's log-odds, and a difference of scores, say which of two answers is better more or less surely; how surely, only labelled pairs
can tell. Platt's curve has two parameters and is for few labels; the isotonic steps follow any rising curve and want a few hundred. Both
never fall: a larger margin is never worth less.
"""

from __future__ import annotations

import bisect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, TypeAlias

from attrs import frozen

from orbiter.checks import check_number
from orbiter.errors import ConfigError

Unit: TypeAlias = Literal["score", "log_odds"]
"""What a margin is measured in: a difference of scores, or nats."""

_STEPS = 100
_TOLERANCE = 1e-10


class Calibration(ABC):
    """From a margin to a probability; learnt by :func:`fit_platt` or :func:`fit_isotonic`."""

    unit: Unit
    """Unit of the margins that it was learnt from."""

    @abstractmethod
    def probability(self, margin: float) -> float:
        """Return the probability in (0, 1) that a preference of this margin is right."""


@frozen
class Platt(Calibration):
    """The logistic curve ``1 / (1 + e^-(slope margin + intercept))`` (Platt 1999).

    Args:
        slope: >= 0
        intercept: Log-odds at margin 0.
        unit: Unit of the margins.
        floor: The curve is cut at this probability and at 1 minus it: beyond the margins that were labelled it is a guess.
    """

    slope: float
    intercept: float
    unit: Unit = "score"
    floor: float = 0.0

    def probability(self, margin: float) -> float:
        """Return the curve's value."""
        curve = _sigmoid(self.slope * margin + self.intercept)
        return min(max(curve, self.floor), 1 - self.floor)


@frozen
class Isotonic(Calibration):
    """Straight lines between rising points, level beyond them (Zadrozny and Elkan 2002).

    Args:
        margins: Rising.
        probabilities: Not falling, in (0, 1); as many.
        unit: Unit of the margins.
    """

    margins: tuple[float, ...]
    probabilities: tuple[float, ...]
    unit: Unit = "score"

    def probability(self, margin: float) -> float:
        """Return the value on the line between the two nearest points."""
        after = bisect.bisect_right(self.margins, margin)
        if after in (0, len(self.margins)):
            return self.probabilities[min(after, len(self.margins) - 1)]
        left, right = self.margins[after - 1], self.margins[after]
        low, high = self.probabilities[after - 1], self.probabilities[after]
        # In this form rounding never makes the line fall.
        return min(high, low + (margin - left) / (right - left) * (high - low))


def fit_platt(margins: Sequence[float], right: Sequence[bool], *, unit: Unit = "score") -> Platt:
    """Return the logistic curve of greatest likelihood.

    The labels are drawn in from 0 and 1 to 1 / (n- + 2) and (n+ + 1) / (n+ + 2), as Platt does, so that separable labels have a finite
    slope. Where the likelihood wants a falling curve, the margin says nothing, and the curve is level. Of n labels no probability leaves
    [1 / (n + 2), (n + 1) / (n + 2)]: a run of right preferences proves no certainty.

    Args:
        margins: One per labelled pair.
        right: Whether the preference was right; both must occur.
        unit: Unit of the margins.

    Raises:
        ConfigError: There are not as many labels as margins, a margin is not finite, or one label does not occur.
    """
    labels = _checked(margins, right)
    hits = sum(labels)
    high, low = (hits + 1) / (hits + 2), 1 / (len(labels) - hits + 2)
    targets = [high if label else low for label in labels]
    slope, intercept = 0.0, _logit(math.fsum(targets) / len(targets))
    floor = 1 / (len(labels) + 2)
    level = Platt(0.0, intercept, unit, floor)
    # The scale of the margins must not decide when Newton's method has arrived.
    spread = max(abs(margin) for margin in margins) or 1.0
    scaled = [margin / spread for margin in margins]
    loss = _loss(scaled, targets, slope, intercept)
    for _ in range(_STEPS):
        step_slope, step_intercept = _newton_step(scaled, targets, slope, intercept)
        size = 1.0
        # Halving keeps the loss from rising where the curve is far from a parabola.
        while size > _TOLERANCE:
            new = (slope + size * step_slope, intercept + size * step_intercept)
            new_loss = _loss(scaled, targets, *new)
            if new_loss <= loss:
                break
            size /= 2
        else:
            break
        moved = max(abs(new[0] - slope), abs(new[1] - intercept))
        (slope, intercept), loss = new, new_loss
        if moved < _TOLERANCE:
            break
    return Platt(slope / spread, intercept, unit, floor) if slope > 0 else level


def fit_isotonic(
    margins: Sequence[float], right: Sequence[bool], *, unit: Unit = "score"
) -> Isotonic:
    """Return the rising steps of least squares, by pooling adjacent violators (Ayer et al. 1955).

    The bounds of probability are those of :func:`fit_platt`.

    Args:
        margins: One per labelled pair.
        right: Whether the preference was right; both must occur.
        unit: Unit of the margins.

    Raises:
        ConfigError: As :func:`fit_platt`.
    """
    labels = _checked(margins, right)
    by_margin: dict[float, list[bool]] = {}
    for margin, label in sorted(zip(margins, labels)):
        by_margin.setdefault(margin, []).append(label)
    blocks: list[_Block] = []
    for margin, some in by_margin.items():
        blocks.append(_Block(margin, margin, sum(some), len(some)))
        while len(blocks) > 1 and blocks[-2].rate >= blocks[-1].rate:
            later, earlier = blocks.pop(), blocks.pop()
            blocks.append(earlier.joined(later))
    count = len(labels)
    points: dict[float, float] = {}
    for block in blocks:
        rate = min(max(block.rate, 1 / (count + 2)), (count + 1) / (count + 2))
        points[block.first] = points[block.last] = rate
    return Isotonic(tuple(points), tuple(points.values()), unit)


def brier_score(calibration: Calibration, margins: Sequence[float], right: Sequence[bool]) -> float:
    """Return the mean square of probability minus outcome, in [0, 1]; a constant 1/2 has 1/4 (Brier 1950).

    Measure it on labels that the calibration has not seen.
    """
    labels = _checked(margins, right, both=False)
    errors = [(calibration.probability(m) - label) ** 2 for m, label in zip(margins, labels)]
    return math.fsum(errors) / len(errors)


def _checked(margins: Sequence[float], right: Sequence[bool], *, both: bool = True) -> list[bool]:
    labels = [bool(label) for label in right]
    if len(margins) != len(labels) or not labels:
        raise ConfigError(
            f"margins and right must be as many, at least one, got {len(margins)} and {len(labels)}"
        )
    for margin in margins:
        check_number("margin", margin, "(-inf, inf)")
    if both and len(set(labels)) < 2:
        raise ConfigError(
            f"right must hold both outcomes, got {len(labels)} times {labels[0]}",
            hint="label more pairs: without a wrong preference nothing says how rare they are",
        )
    return labels


@frozen
class _Block:
    """Neighbouring margins with one rate."""

    first: float
    last: float
    hits: int
    count: int

    @property
    def rate(self) -> float:
        return self.hits / self.count

    def joined(self, later: _Block) -> _Block:
        return _Block(self.first, later.last, self.hits + later.hits, self.count + later.count)


def _newton_step(
    margins: Sequence[float], targets: Sequence[float], slope: float, intercept: float
) -> tuple[float, float]:
    """Return the step to the minimum of the parabola that touches the loss here."""
    g_slope = g_intercept = h_slope = h_mixed = h_intercept = 0.0
    for margin, target in zip(margins, targets):
        p = _sigmoid(slope * margin + intercept)
        error, curve = p - target, p * (1 - p)
        g_slope += error * margin
        g_intercept += error
        h_slope += curve * margin * margin
        h_mixed += curve * margin
        h_intercept += curve
    # Equal margins leave the slope undetermined; the ridge, in proportion so that no number of labels swallows it, settles it.
    h_slope, h_intercept = (h * (1 + 1e-9) + 1e-12 for h in (h_slope, h_intercept))
    determinant = h_slope * h_intercept - h_mixed * h_mixed
    return (
        -(h_intercept * g_slope - h_mixed * g_intercept) / determinant,
        -(h_slope * g_intercept - h_mixed * g_slope) / determinant,
    )


def _loss(
    margins: Sequence[float], targets: Sequence[float], slope: float, intercept: float
) -> float:
    logits = [slope * margin + intercept for margin in margins]
    return math.fsum(
        max(z, 0.0) + math.log1p(math.exp(-abs(z))) - t * z for z, t in zip(logits, targets)
    )


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _logit(p: float) -> float:
    return math.log(p / (1 - p))
