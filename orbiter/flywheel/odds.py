"""What the yield means: pure functions of the pass rate p and the verifier's error rates.

TPR is the share of right answers that the verifier passes, FPR the share of wrong ones. Rates are in [0, 1]; KL
divergences are in nats, of the new policy from the old one.

    >>> grow(0.05, multiplier=2, rounds=4)
    (0.0952..., 0.1739..., 0.2962..., 0.4571...)
"""

from __future__ import annotations

import math
from statistics import NormalDist

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError
from orbiter.intervals import (
    Estimate,
    Interval,
    check_confidence,
    check_counts,
    clopper_pearson,
    estimate_rate,
    wilson,
)

__all__ = [
    "Estimate",
    "Interval",
    "best_of_n_kl",
    "best_of_n_kl_bound",
    "best_of_n_success",
    "clopper_pearson",
    "corrected_pass_rate",
    "estimate_rate",
    "expected_samples",
    "expected_survivors",
    "from_odds",
    "grow",
    "measured_multiplier",
    "observed_yield",
    "odds",
    "odds_multiplier",
    "reject_until_success_kl",
    "rounds_for_target",
    "samples_for_success",
    "samples_for_survivors",
    "survivor_precision",
    "wilson",
]


def best_of_n_success(pass_rate: float, *, samples: int) -> float:
    """Return the probability that at least one of N samples passes: 1 - (1 - p)^N.

    Args:
        pass_rate: p, in [0, 1].
        samples: N, >= 0.
    """
    check_number("pass_rate", pass_rate, "[0, 1]")
    check_whole_number("samples", samples, low=0)
    if samples == 0:
        return 0.0
    return 1.0 if pass_rate == 1 else -math.expm1(samples * math.log1p(-pass_rate))


def samples_for_success(pass_rate: float, *, success_rate: float) -> int:
    """Return the least N whose best-of-N success is at least ``success_rate``: ceil(log(1 - s) / log(1 - p)).

    Args:
        pass_rate: p, in (0, 1].
        success_rate: s, in [0, 1); with p = 1 also 1.
    """
    check_number("pass_rate", pass_rate, "(0, 1]")
    check_number("success_rate", success_rate, "[0, 1]")
    if success_rate == 0:
        return 0
    if pass_rate == 1:
        return 1
    if success_rate == 1:
        raise ConfigError(
            "success_rate must be < 1 unless pass_rate is 1, got 1", hint="ask for 0.99, say"
        )
    count = max(1, math.ceil(math.log1p(-success_rate) / math.log1p(-pass_rate)))
    # The quotient is off by an ulp at times, which the ceiling turns into a whole sample.
    if count > 1 and best_of_n_success(pass_rate, samples=count - 1) >= success_rate:
        return count - 1
    if best_of_n_success(pass_rate, samples=count) < success_rate:
        return count + 1
    return count


def best_of_n_kl_bound(samples: int) -> float:
    """Return the bound on the KL divergence of best-of-N from the policy: log N - (N - 1) / N nats.

    Equality holds for scores without ties; with ties it is an upper bound (Stiennon et al. 2020; Hilton & Gao 2022;
    proved by Beirami et al. 2024, theorem 3.1). :func:`best_of_n_kl` is the exact value for a pass-or-fail score.

    Args:
        samples: N, >= 1.
    """
    check_whole_number("samples", samples, low=1)
    # log N - 1 + 1/N, whose terms cancel to 0 exactly at N = 1.
    return math.log(samples) - (samples - 1) / samples


def best_of_n_kl(pass_rate: float, *, samples: int) -> float:
    """Return the exact KL divergence, in nats, of best-of-N from the policy when the score is pass or fail.

    With ties broken at random only the mass of passes moves, from p to q = 1 - (1 - p)^N, and so::

        KL = q log(q / p) + (1 - q) log((1 - q) / (1 - p)),   1 - q = (1 - p)^N

    It is at most ``best_of_n_kl_bound(N)``, and 0 at p = 0 and p = 1.

    Args:
        pass_rate: p, in [0, 1].
        samples: N, >= 1.
    """
    check_number("pass_rate", pass_rate, "[0, 1]")
    check_whole_number("samples", samples, low=1)
    if samples == 1 or pass_rate in (0, 1):
        return 0.0
    log_fail = math.log1p(-pass_rate)
    success = -math.expm1(samples * log_fail)
    all_fail = math.exp(samples * log_fail)
    log_success = math.log1p(-all_fail) if all_fail < 0.5 else math.log(success)
    kl = success * (log_success - math.log(pass_rate)) + all_fail * (samples - 1) * log_fail
    return max(0.0, kl)


def reject_until_success_kl(pass_rate: float) -> float:
    """Return the KL divergence, in nats, of sampling until a pass: -log p.

    The result is the policy conditioned on passing, pi(y) / p on the passes. It is the limit of best-of-N.

    Args:
        pass_rate: p, in (0, 1].
    """
    check_number("pass_rate", pass_rate, "(0, 1]")
    return -math.log(pass_rate) if pass_rate < 1 else 0.0


def expected_samples(survivors: int, *, pass_rate: float) -> float:
    """Return the expected number of samples until M passes: M / p (1 / p for one).

    Args:
        survivors: M, >= 0.
        pass_rate: p, in (0, 1].
    """
    check_whole_number("survivors", survivors, low=0)
    check_number("pass_rate", pass_rate, "(0, 1]")
    return survivors / pass_rate


def expected_survivors(pass_rate: float, *, samples: int, cap: int) -> float:
    """Return the expected survivors of a task that keeps at most c of k samples: E[min(c, Binomial(k, p))].

    The sum over j = 1 .. c of P(Binomial(k, p) >= j).

    Args:
        pass_rate: p, in [0, 1].
        samples: k, >= 0.
        cap: c, >= 0.
    """
    check_number("pass_rate", pass_rate, "[0, 1]")
    check_whole_number("samples", samples, low=0)
    check_whole_number("cap", cap, low=0)
    total, below = 0.0, 0.0
    for j in range(min(cap, samples)):
        below += math.comb(samples, j) * pass_rate**j * (1 - pass_rate) ** (samples - j)
        total += max(0.0, 1 - below)
    return total


def samples_for_survivors(survivors: int, *, pass_rate: float, probability: float) -> int:
    """Return the least n with P(Binomial(n, p) >= M) >= q: the negative binomial's q-quantile, passes included.

    P(Binomial(n, p) >= M) = I_p(M, n - M + 1), the regularised incomplete beta function.

    Args:
        survivors: M, >= 0.
        pass_rate: p, in (0, 1].
        probability: q, in (0, 1).
    """
    from scipy.special import betainc

    check_whole_number("survivors", survivors, low=0)
    check_number("pass_rate", pass_rate, "(0, 1]")
    check_number("probability", probability, "(0, 1)")
    if survivors == 0 or pass_rate == 1:
        return survivors

    def enough(count: int) -> bool:
        return bool(betainc(survivors, count - survivors + 1, pass_rate) >= probability)

    low, high = survivors - 1, survivors  # too few; perhaps enough
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def odds(pass_rate: float) -> float:
    """Return p / (1 - p), infinite at 1.

    Args:
        pass_rate: p, in [0, 1].
    """
    check_number("pass_rate", pass_rate, "[0, 1]")
    return math.inf if pass_rate == 1 else pass_rate / (1 - pass_rate)


def from_odds(value: float) -> float:
    """Return the rate that has these odds: o / (1 + o), 1 at infinity.

    Args:
        value: o, >= 0.
    """
    check_number("odds", value, "[0, inf)", infinite=True)
    return 1.0 if math.isinf(value) else value / (1 + value)


def grow(pass_rate: float, *, multiplier: float, rounds: int) -> tuple[float, ...]:
    """Return the pass rate after each round if every round multiplies its odds by g.

    odds(p_t) = g^t odds(p_0). A policy that imitates the survivors of a verifier exactly has g = TPR / FPR (see
    :func:`odds_multiplier`); a trained model falls short of it, so this is a forecast to measure against.

    Args:
        pass_rate: p_0, in [0, 1]; 0 and 1 stay as they are.
        multiplier: g, > 0; may be infinite, and then one round reaches 1.
        rounds: How many rounds, >= 0.
    """
    check_number("pass_rate", pass_rate, "[0, 1]")
    check_whole_number("rounds", rounds, low=0)
    check_number("multiplier", multiplier, "(0, inf)", infinite=True)
    if pass_rate in (0, 1):
        return (float(pass_rate),) * rounds
    log_start, log_step = math.log(pass_rate) - math.log1p(-pass_rate), math.log(multiplier)
    return tuple(_logistic(log_start + step * log_step) for step in range(1, rounds + 1))


def rounds_for_target(pass_rate: float, *, target: float, multiplier: float) -> int | None:
    """Return the least number of rounds after which :func:`grow` reaches a pass rate: ceil(log(odds(q) / odds(p)) / log g).

    Args:
        pass_rate: p, in [0, 1].
        target: q, in (0, 1).
        multiplier: g, > 0; may be infinite.

    Returns:
        The number, 0 if it is reached already; None if it never is: g is at most 1, or p is 0.
    """
    check_number("pass_rate", pass_rate, "[0, 1]")
    check_number("target", target, "(0, 1)")
    check_number("multiplier", multiplier, "(0, inf)", infinite=True)
    if pass_rate >= target:
        return 0
    if pass_rate == 0 or multiplier <= 1:
        return None
    if math.isinf(multiplier):
        return 1
    quotient = (math.log(odds(target)) - math.log(odds(pass_rate))) / math.log(multiplier)
    # It is off by a few ulps at times, which the ceiling would turn into a whole round.
    return max(1, math.ceil(quotient - 1e-9))


def odds_multiplier(*, tpr: float, fpr: float) -> float:
    """Return g = TPR / FPR: what one round of imitating the survivors does to the odds of p, at best.

    The survivors are right with probability p TPR / (p TPR + (1 - p) FPR), whose odds are g times those of p. An
    uninformative verifier has g = 1, a flawless one (FPR = 0) an infinite g.

    Args:
        tpr: In [0, 1].
        fpr: In [0, 1].

    Raises:
        ConfigError: Both are 0: nothing survives, and g is undefined.
    """
    check_number("tpr", tpr, "[0, 1]")
    check_number("fpr", fpr, "[0, 1]")
    if tpr == 0 and fpr == 0:
        raise ConfigError(
            "tpr or fpr must be > 0, got 0 and 0", hint="a verifier that passes nothing has no g"
        )
    return math.inf if fpr == 0 else tpr / fpr


def observed_yield(pass_rate: float, *, tpr: float, fpr: float) -> float:
    """Return the share that the verifier passes: p TPR + (1 - p) FPR.

    Args:
        pass_rate: The true p, in [0, 1].
        tpr: In [0, 1].
        fpr: In [0, 1].
    """
    for name, value in (("pass_rate", pass_rate), ("tpr", tpr), ("fpr", fpr)):
        check_number(name, value, "[0, 1]")
    return pass_rate * tpr + (1 - pass_rate) * fpr


def survivor_precision(pass_rate: float, *, tpr: float, fpr: float) -> float | None:
    """Return the share of survivors that are right: p TPR / (p TPR + (1 - p) FPR); None when nothing survives.

    Args:
        pass_rate: The true p, in [0, 1].
        tpr: In [0, 1].
        fpr: In [0, 1].
    """
    observed = observed_yield(pass_rate, tpr=tpr, fpr=fpr)
    return pass_rate * tpr / observed if observed > 0 else None


def corrected_pass_rate(observed: float, *, tpr: float, fpr: float) -> float:
    """Return the true pass rate behind an observed yield: (observed - FPR) / (TPR - FPR) (Rogan & Gladen 1978).

    An observed yield below FPR or above TPR, which sampling noise makes, gives 0 or 1: the maximum-likelihood estimate.

    Args:
        observed: Share that the verifier passed, in [0, 1].
        tpr: In [0, 1], above ``fpr``.
        fpr: In [0, 1].
    """
    for name, value in (("observed", observed), ("tpr", tpr), ("fpr", fpr)):
        check_number(name, value, "[0, 1]")
    if tpr <= fpr:
        raise ConfigError(
            f"tpr must be > fpr, got {tpr!r} and {fpr!r}",
            hint="the yield of an uninformative verifier says nothing about the pass rate",
        )
    return min(1.0, max(0.0, (observed - fpr) / (tpr - fpr)))


def measured_multiplier(
    before: tuple[int, int],
    after: tuple[int, int],
    *,
    effective: tuple[float | None, float | None] = (None, None),
    confidence: float = 0.95,
) -> Estimate:
    """Return by how much the odds of the yield rose between two rounds, with a confidence interval.

    The odds ratio of the 2 x 2 table, with the normal approximation on the log scale (Woolf 1955)::

        log g = log(a d / b c),  se = sqrt(1/a + 1/b + 1/c + 1/d)

    where a, b are passes and failures after, c, d before. If a cell is 0 (a yield of 0 or 1), 1/2 is added to all four
    (Haldane 1956; Anscombe 1956), and the value is then an estimate, not the ratio of the observed odds.
    The attempts are taken as independent, unless ``effective`` says how many independent ones they are worth; the two terms of
    a round are then multiplied by attempts / effective. Rounds that ask the same tasks make the interval too wide.

    Args:
        before: Passes and valid attempts of the earlier round; without attempts the value is None and the interval [0, inf].
        after: Passes and valid attempts of the later round.
        effective: Independent attempts that those before and after are worth: see :func:`orbiter.intervals.effective_size`.
        confidence: In (0, 1).
    """
    check_counts(*before)
    check_counts(*after)
    check_confidence(confidence)
    (passed_before, count_before), (passed_after, count_after) = before, after
    if count_before == 0 or count_after == 0:
        return Estimate(None, Interval(0.0, math.inf, confidence))
    failed_before, failed_after = count_before - passed_before, count_after - passed_after
    cells = [float(cell) for cell in (passed_after, failed_before, failed_after, passed_before)]
    if 0 in cells:
        cells = [cell + 0.5 for cell in cells]
    a, d, b, c = cells
    log_ratio = math.log(a) + math.log(d) - math.log(b) - math.log(c)
    design = [
        1.0 if size is None else count / size
        for size, count in zip(effective, (count_before, count_after))
    ]
    variance = design[0] * (1 / c + 1 / d) + design[1] * (1 / a + 1 / b)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance)
    interval = Interval(math.exp(log_ratio - half), math.exp(log_ratio + half), confidence)
    return Estimate(math.exp(log_ratio), interval)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
