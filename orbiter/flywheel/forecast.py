"""What the measured error rates of a verifier mean for a run: which survivors are right, and what a target takes."""

from __future__ import annotations

import math

import attrs
from attrs import frozen

from orbiter.checks import check_number, check_whole_number
from orbiter.flywheel import odds
from orbiter.intervals import Estimate, Interval
from orbiter.verify.audit import Confusion

MOST_ROUNDS = 10_000
"""Rounds beyond which a target counts as out of reach."""


@frozen(kw_only=True)
class Cost:
    """What a target takes if every round multiplies the odds by one g.

    Args:
        multiplier: The g.
        rounds: Rounds until the true pass rate reaches the target; None if it never does.
        samples: Expected samples of those rounds, at ``rows`` survivors each; None if the rounds are unknown.
    """

    multiplier: float
    rounds: int | None
    samples: float | None


@frozen(kw_only=True)
class Forecast:
    """What follows at one observed yield.

    Args:
        observed: Share of answers that the verifier passes.
        unknown: Why no pass rate can be told; empty if it can.
        pass_rate: The true pass rate behind it (Rogan & Gladen 1978), with what the audit's intervals leave open.
        precision: Share of survivors that are right.
        right_row_samples: Expected samples for one survivor that is right; None if there may be none.
        target: The pass rate that is wanted, or None.
        rows: Survivors wanted of each round.
        at_best: The target's cost with the g that was found; None without a target, or if g is unknown.
        at_least_g: The same with the least g that the audit leaves.
    """

    observed: float
    unknown: str
    pass_rate: Estimate
    precision: Estimate
    right_row_samples: float | None
    target: float | None = None
    rows: int = 1_000
    at_best: Cost | None = None
    at_least_g: Cost | None = None


def forecast(
    confusion: Confusion, observed: float, *, target: float | None = None, rows: int = 1_000
) -> Forecast:
    """Return what follows from the error rates at an observed yield.

    With y = p TPR + (1 - p) FPR the true pass rate is p = (y - FPR) / (TPR - FPR) and the precision of survivors p TPR / y. Both
    fall as either rate rises, so their intervals come from the corners of the two rates' intervals, each of half the error
    (Bonferroni). The observed yield is taken as it is given. A yield below every FPR or above every TPR that the audit leaves is one
    that no pass rate gives: the audited answers are then not like those of the model, and nothing follows.

    Args:
        confusion: What was measured.
        observed: Share of answers that the verifier passes now, in [0, 1].
        target: True pass rate that is wanted, in (0, 1).
        rows: Survivors wanted of each round, >= 1.

    Raises:
        ConfigError: An argument is out of range.
    """
    check_number("observed", observed, "[0, 1]")
    check_whole_number("rows", rows, low=1)
    if target is not None:
        check_number("target", target, "(0, 1)")
    unknown = _why_unknown(confusion, observed)
    pass_rate, precision = _corrected(confusion, observed)
    if unknown:
        pass_rate, precision = (attrs.evolve(one, value=None) for one in (pass_rate, precision))
    right = None
    if pass_rate.value and confusion.tpr.value:
        right = 1 / (pass_rate.value * confusion.tpr.value)
    made = Forecast(
        observed=observed,
        unknown=unknown,
        pass_rate=pass_rate,
        precision=precision,
        right_row_samples=right,
        target=target,
        rows=rows,
    )
    start, tpr, fpr = pass_rate.value, confusion.tpr, confusion.fpr
    if target is None or start is None or tpr.value is None or fpr.value is None:
        return made
    costs = [
        _cost(start, target, rows, multiplier=g, tpr=tpr.value, fpr=fpr.value) if g else None
        for g in (confusion.g.value, confusion.g.interval.low)
    ]
    return attrs.evolve(made, at_best=costs[0], at_least_g=costs[1])


def _why_unknown(confusion: Confusion, observed: float) -> str:
    """Return why no pass rate can be told from this yield, or an empty text."""
    tpr, fpr = confusion.joint_rates
    if tpr.value is None or fpr.value is None:
        return "the audit has no right answers, or no wrong ones, that were judged"
    if tpr.value <= fpr.value:
        return "the verifier passes wrong answers as often as right ones"
    if not fpr.interval.low <= observed <= tpr.interval.high:
        return "no pass rate gives this yield with the audited FPR and TPR; the model's answers are of another kind"
    return ""


def _corrected(confusion: Confusion, observed: float) -> tuple[Estimate, Estimate]:
    """Return the true pass rate and the precision of survivors."""
    tpr, fpr = confusion.joint_rates
    values = _point(observed, tpr.value, fpr.value)
    lows = _point(observed, tpr.interval.high, fpr.interval.high)
    highs = _point(observed, tpr.interval.low, fpr.interval.low)
    estimates = []
    for value, low, high in zip(values, lows, highs):
        least, most = 0.0 if low is None else low, 1.0 if high is None else high
        if not fpr.interval.low <= observed <= tpr.interval.high:
            least, most = 0.0, 1.0
        # An observed yield outside [FPR, TPR] is cut to 0 or 1, in which case the corners may change places.
        interval = Interval(min(least, most), max(least, most), confusion.confidence)
        estimates.append(Estimate(value, interval))
    return estimates[0], estimates[1]


def _point(
    observed: float, tpr: float | None, fpr: float | None
) -> tuple[float | None, float | None]:
    """Return pass rate and precision for one pair of rates; None where they say nothing."""
    if tpr is None or fpr is None or tpr <= fpr:
        return None, None
    pass_rate = odds.corrected_pass_rate(observed, tpr=tpr, fpr=fpr)
    return pass_rate, odds.survivor_precision(pass_rate, tpr=tpr, fpr=fpr)


def _cost(
    start: float, target: float, rows: int, *, multiplier: float, tpr: float, fpr: float
) -> Cost:
    rounds = odds.rounds_for_target(start, target=target, multiplier=multiplier)
    if rounds is None or rounds > MOST_ROUNDS:
        return Cost(multiplier=multiplier, rounds=None, samples=None)
    rates = (start, *odds.grow(start, multiplier=multiplier, rounds=max(0, rounds - 1)))[:rounds]
    yields = [odds.observed_yield(rate, tpr=tpr, fpr=fpr) for rate in rates]
    samples = math.inf if 0 in yields else sum(rows / found for found in yields)
    return Cost(multiplier=multiplier, rounds=rounds, samples=samples)
