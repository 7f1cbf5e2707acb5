"""Confidence intervals of a binomial rate: Wilson's and Clopper and Pearson's.

>>> clopper_pearson(0, 100).high
0.0362...
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

from attrs import frozen

from orbiter.checks import check_number, check_whole_number
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


def wilson(
    successes: int, count: int, *, confidence: float = 0.95, effective: float | None = None
) -> Interval:
    """Return Wilson's score interval: close to its coverage on average, and never outside [0, 1].

    With phat = successes / count and z the normal quantile at (1 + confidence) / 2::

        (phat + z^2/2n -+ z sqrt(phat (1 - phat) / n + z^2/4n^2)) / (1 + z^2/n)      (Wilson 1927)

    Args:
        successes: Between 0 and ``count``.
        count: Number of trials, >= 0; with 0 the interval is [0, 1].
        confidence: In (0, 1).
        effective: Independent trials that these are worth, > 0, where they are not independent: see :func:`effective_size`.

    Raises:
        ConfigError: An argument is out of range.
    """
    check_counts(successes, count)
    check_confidence(confidence)
    if count == 0:
        return Interval(0.0, 1.0, confidence)
    size = _size(count, effective)
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    rate = successes / count
    middle = rate + z2 / (2 * size)
    half = math.sqrt(z2 * (rate * (1 - rate) / size + z2 / (4 * size * size)))
    # At 0 and n the ends are exactly 0 and 1; rounding would leave them a few ulps off.
    low = 0.0 if successes == 0 else (middle - half) / (1 + z2 / size)
    high = 1.0 if successes == count else (middle + half) / (1 + z2 / size)
    return Interval(low, high, confidence)


def effective_size(clusters: Iterable[tuple[int, int]], *, confidence: float = 0.95) -> float:
    """Return how many independent trials are worth as much as trials in clusters: several answers to each of some tasks.

    With x_i successes of m_i trials in cluster i of k, n = sum m_i, p = sum x_i / n and t the quantiles of Student's distribution
    at (1 + confidence) / 2, the variance between clusters gives (Korn & Graubard 1998; Dean & Pagano 2015)::

        n* = p (1 - p) / v  (t_{n-1} / t_{k-1})^2,   v = k / (k - 1) sum (x_i - p m_i)^2 / n^2

    From a few successes v is found far too small, since clusters that would succeed whole are seldom seen among them. So v and the
    p (1 - p) above it are those of the clusters and two more of mean size, one that succeeds and one that fails throughout. With many
    clusters on both sides that changes little. It is never more than n; where all trials went one way, a cluster counts as one trial.

    Args:
        clusters: Successes and trials of each cluster; those without a trial do not count.
        confidence: Of the interval that it is for, in (0, 1).

    Returns:
        n*, 0 without a trial.

    Raises:
        ConfigError: An argument is out of range.
    """
    from scipy.special import stdtrit

    check_confidence(confidence)
    tried = [(successes, count) for successes, count in clusters if count]
    for successes, count in tried:
        check_counts(successes, count)
    k, n = len(tried), sum(count for _, count in tried)
    passed = sum(successes for successes, _ in tried)
    if k < 2 or passed in (0, n):
        return float(k)
    mean = n / k
    rate, size = (passed + mean) / (n + 2 * mean), n + 2 * mean
    seen = (*tried, (mean, mean), (0.0, mean))
    between = sum((successes - rate * count) ** 2 for successes, count in seen)
    variance = (k + 2) / (k + 1) * between / size**2
    level = (1 + confidence) / 2
    fewer = float(stdtrit(n - 1, level) / stdtrit(k - 1, level)) ** 2
    return min(float(n), rate * (1 - rate) / variance * n / size * fewer)


def clustered_size(
    clusters: Iterable[tuple[int, int]], *, confidence: float = 0.95
) -> float | None:
    """Return :func:`effective_size`, or None where no cluster has two trials: they are independent, and worth what they are."""
    clusters = list(clusters)
    if all(count < 2 for _, count in clusters):
        return None
    return effective_size(clusters, confidence=confidence)


def clopper_pearson(
    successes: int, count: int, *, confidence: float = 0.95, effective: float | None = None
) -> Interval:
    """Return the exact interval: its coverage is never below ``confidence``, whatever the rate.

    With a = (1 - confidence) / 2 and B(q; x, y) the q-quantile of the Beta(x, y) distribution::

        low = B(a; s, n - s + 1),  high = B(1 - a; s + 1, n - s)      (Clopper & Pearson 1934)

    Args:
        successes: Between 0 and ``count``; at 0 the lower end is 0, at ``count`` the upper end is 1.
        count: Number of trials, >= 0; with 0 the interval is [0, 1].
        confidence: In (0, 1).
        effective: Independent trials that these are worth, > 0, where they are not independent (see :func:`effective_size`): s and n
            are both scaled to it, and the coverage is that of an estimate (Korn & Graubard 1998).

    Raises:
        ConfigError: An argument is out of range.
    """
    from scipy.special import betaincinv  # scipy costs a tenth of a second to import

    check_counts(successes, count)
    check_confidence(confidence)
    tail = (1 - confidence) / 2
    scale = _size(count, effective) / count if count else 1.0
    passed, failed = scale * successes, scale * (count - successes)
    low = 0.0 if passed == 0 else float(betaincinv(passed, failed + 1, tail))
    high = 1.0 if failed == 0 else float(betaincinv(passed + 1, failed, 1 - tail))
    return Interval(low, high, confidence)


def estimate_rate(
    successes: int, count: int, *, confidence: float = 0.95, effective: float | None = None
) -> Estimate:
    """Return successes / count with its Clopper-Pearson interval; the value is None when count is 0."""
    interval = clopper_pearson(successes, count, confidence=confidence, effective=effective)
    return Estimate(successes / count if count else None, interval)


def _size(count: int, effective: float | None) -> float:
    """Return how many independent trials ``count`` trials are worth."""
    return count if effective is None else check_number("effective", effective, f"(0, {count}]")


def check_confidence(confidence: float) -> None:
    """Raise ConfigError unless ``confidence`` is a number in (0, 1)."""
    check_number("confidence", confidence, "(0, 1)")


def check_counts(successes: int, count: int) -> None:
    """Raise ConfigError unless both are integers with 0 <= successes <= count."""
    for name, value in (("successes", successes), ("count", count)):
        check_whole_number(name, value, low=0)
    if successes > count:
        raise ConfigError(f"successes must be <= count, got {successes!r} of {count!r}")
