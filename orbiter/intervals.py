"""Confidence intervals of a binomial rate: Wilson's and Clopper and Pearson's.

>>> clopper_pearson(0, 100).high
0.0362...
"""

from __future__ import annotations

import math
from statistics import NormalDist

from attrs import frozen

from orbiter.errors import ConfigError


@frozen
class Interval:
    """A confidence interval, both ends included.

    Args:
        low: Lower end.
        high: Upper end, >= low; may be infinite for a ratio.
        confidence: Coverage that the interval was made for, in (0, 1).
    """

    low: float
    high: float
    confidence: float = 0.95

    def __attrs_post_init__(self) -> None:
        if not self.low <= self.high:
            raise ConfigError(f"interval must have low <= high, got {self.low!r} and {self.high!r}")
        check_confidence(self.confidence)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """Upper end minus lower end."""
        return self.high - self.low


@frozen
class Estimate:
    """A measured number and how sure it is.

    Args:
        value: The point estimate, or None when nothing was measured.
        interval: Its confidence interval; everything that is possible when nothing was measured.
    """

    value: float | None
    interval: Interval

    def __str__(self) -> str:
        shown = "unknown" if self.value is None else f"{self.value:.4g}"
        return f"{shown} [{self.interval.low:.4g}, {self.interval.high:.4g}]"


def wilson(successes: int, count: int, *, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval: close to its coverage on average, and never outside [0, 1].

    With phat = successes / count and z the normal quantile at (1 + confidence) / 2::

        (phat + z^2/2n -+ z sqrt(phat (1 - phat) / n + z^2/4n^2)) / (1 + z^2/n)      (Wilson 1927)

    Args:
        successes: Between 0 and ``count``.
        count: Number of trials, >= 0; with 0 the interval is [0, 1].
        confidence: In (0, 1).

    Raises:
        ConfigError: An argument is out of range.
    """
    check_counts(successes, count)
    check_confidence(confidence)
    if count == 0:
        return Interval(0.0, 1.0, confidence)
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    rate = successes / count
    middle = rate + z2 / (2 * count)
    half = math.sqrt(z2 * (rate * (1 - rate) / count + z2 / (4 * count * count)))
    # At 0 and n the ends are exactly 0 and 1; rounding would leave them a few ulps off.
    low = 0.0 if successes == 0 else (middle - half) / (1 + z2 / count)
    high = 1.0 if successes == count else (middle + half) / (1 + z2 / count)
    return Interval(low, high, confidence)


def clopper_pearson(successes: int, count: int, *, confidence: float = 0.95) -> Interval:
    """Return the exact interval: its coverage is never below ``confidence``, whatever the rate.

    With a = (1 - confidence) / 2 and B(q; x, y) the q-quantile of the Beta(x, y) distribution::

        low = B(a; s, n - s + 1),  high = B(1 - a; s + 1, n - s)      (Clopper & Pearson 1934)

    Args:
        successes: Between 0 and ``count``; at 0 the lower end is 0, at ``count`` the upper end is 1.
        count: Number of trials, >= 0; with 0 the interval is [0, 1].
        confidence: In (0, 1).

    Raises:
        ConfigError: An argument is out of range.
    """
    from scipy.special import betaincinv  # scipy costs a tenth of a second to import

    check_counts(successes, count)
    check_confidence(confidence)
    tail = (1 - confidence) / 2
    failures = count - successes
    low = 0.0 if successes == 0 else float(betaincinv(successes, failures + 1, tail))
    high = 1.0 if failures == 0 else float(betaincinv(successes + 1, failures, 1 - tail))
    return Interval(low, high, confidence)


def estimate_rate(successes: int, count: int, *, confidence: float = 0.95) -> Estimate:
    """Return successes / count with its Clopper-Pearson interval; the value is None when count is 0."""
    interval = clopper_pearson(successes, count, confidence=confidence)
    return Estimate(successes / count if count else None, interval)


def check_confidence(confidence: float) -> None:
    """Raise ConfigError unless ``confidence`` is a number in (0, 1)."""
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        raise ConfigError(f"confidence must be a number in (0, 1), got {confidence!r}")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be a number in (0, 1), got {confidence!r}")


def check_counts(successes: int, count: int) -> None:
    """Raise ConfigError unless both are integers with 0 <= successes <= count."""
    for name, value in (("successes", successes), ("count", count)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConfigError(f"{name} must be an integer >= 0, got {value!r}")
    if successes > count:
        raise ConfigError(f"successes must be <= count, got {successes!r} of {count!r}")
