"""How much data a model size wants: a rule of thumb, and nothing more."""

from __future__ import annotations

import math

from attrs import frozen

from orbiter.checks import check_number


@frozen
class RowRange:
    """A number of rows, from ``low`` to ``high``, both included."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low:,} to {self.high:,}"


@frozen(kw_only=True)
class SamplePlan:
    """Rows to aim for; a rule of thumb, not a measurement.

    The lower ends are for clean data: best of n, a strong judge, verifier gating, hard negatives. Measure the yield of each round
    and stop where it no longer rises.

    Args:
        parameters: Model size that was asked for.
        sft: Demonstrations.
        pairs: Preference pairs with a clear winner.
        great: Preference pairs of the best tier.
        unary: Labels for KTO, of which one says less than a pair: 1.5 to 2 times as many as pairs.
        extrapolated: Whether the rule was made for other sizes: 7 to 9, 13 to 14 and 27 to 32 B.
    """

    parameters: float
    sft: RowRange
    pairs: RowRange
    great: RowRange
    unary: RowRange
    extrapolated: bool

    rule_of_thumb = True
    """Always: the numbers were set by experience with adapters and contexts of 4 k tokens, not derived."""


_TABLE = (
    (7e9, 9e9, RowRange(2_000, 5_000), RowRange(5_000, 10_000), RowRange(20_000, 30_000)),
    (13e9, 14e9, RowRange(3_000, 8_000), RowRange(8_000, 15_000), RowRange(25_000, 40_000)),
    (27e9, 32e9, RowRange(5_000, 10_000), RowRange(10_000, 30_000), RowRange(40_000, 80_000)),
)
"""Model sizes, demonstrations, pairs, pairs of the best tier."""


def plan_samples(parameters: float) -> SamplePlan:
    """Return how many rows to aim for with a model of this size; the nearest size of the table decides.

    Args:
        parameters: Number of weights, > 0: 8e9 for a model of 8 B.

    Raises:
        ConfigError: ``parameters`` is out of range.
    """
    check_number("parameters", parameters, "(0, inf)")
    low, high, sft, pairs, great = min(_TABLE, key=lambda row: _distance(parameters, *row[:2]))
    return SamplePlan(
        parameters=parameters,
        sft=sft,
        pairs=pairs,
        great=great,
        unary=RowRange(math.ceil(1.5 * pairs.low), 2 * pairs.high),
        extrapolated=_distance(parameters, low, high) > 0,
    )


def _distance(parameters: float, low: float, high: float) -> float:
    """Return how many times the size is away from a range of sizes, as a logarithm."""
    return max(0.0, math.log(low / parameters), math.log(parameters / high))
