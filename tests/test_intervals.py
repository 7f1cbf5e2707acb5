import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from orbiter.errors import ConfigError
from orbiter.intervals import (
    Estimate,
    Interval,
    clopper_pearson,
    effective_size,
    estimate_rate,
    wilson,
)

quick = settings(deadline=None, max_examples=60)
tables = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.floats(0.5, 0.999)


@quick
@given(tables, levels)
def test_both_intervals_agree_with_scipy(table, level):
    successes, count = table
    if count == 0:
        return
    test = stats.binomtest(successes, count)
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        interval = ours(successes, count, confidence=level)
        reference = test.proportion_ci(level, method=method)
        assert (interval.low, interval.high) == pytest.approx(
            (reference.low, reference.high), rel=1e-9, abs=1e-12
        )


def test_published_example():
    # Newcombe 1998, table I: 81 of 263.
    assert (wilson(81, 263).low, wilson(81, 263).high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    exact = clopper_pearson(81, 263)
    assert (exact.low, exact.high) == pytest.approx((0.2527, 0.3676), abs=5e-5)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_ends(interval):
    assert (interval(0, 0).low, interval(0, 0).high) == (0, 1)
    assert interval(0, 10).low == 0
    assert interval(10, 10).high == 1
    assert 0 < interval(10, 10).low < 1
    assert 0 < interval(0, 10).high < 1


def test_rule_of_three():
    """No error in n trials bounds the rate by about 3/n at 95%, one-sided (90%, two-sided)."""
    assert clopper_pearson(0, 1000, confidence=0.9).high == pytest.approx(3 / 1000, rel=0.01)


@quick
@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_clopper_pearson_covers_at_least_as_often_as_it_says(count, rate):
    covered = sum(
        stats.binom.pmf(successes, count, rate)
        for successes in range(count + 1)
        if rate in clopper_pearson(successes, count)
    )
    assert covered >= 0.95 - 1e-9


@quick
@given(tables, levels)
def test_intervals_hold_the_estimate_mirror_and_nest(table, level):
    successes, count = table
    for interval in (wilson, clopper_pearson):
        here = interval(successes, count, confidence=level)
        mirrored = interval(count - successes, count, confidence=level)
        assert (here.low, here.high) == pytest.approx(
            (1 - mirrored.high, 1 - mirrored.low), abs=1e-9
        )
        wider = interval(successes, count, confidence=(1 + level) / 2)
        assert wider.low <= here.low <= here.high <= wider.high
        if count:
            assert here.low - 1e-12 <= successes / count <= here.high + 1e-12


def clustered(stream, *, clusters, size, spread):
    """Draw successes of clusters whose own rates have mean 0.3 and, with a small ``spread``, lie far apart."""
    rates = (stream.betavariate(0.3 * spread, 0.7 * spread) for _ in range(clusters))
    return [(sum(stream.random() < rate for _ in range(size)), size) for rate in rates]


@pytest.mark.parametrize(("clusters", "size", "spread"), [(60, 8, 1.0), (25, 4, 3.0), (40, 6, 0.2)])
def test_wilson_of_the_effective_size_covers_where_that_of_all_trials_does_not(
    clusters, size, spread
):
    stream = random.Random(clusters)
    covered = naive = 0
    for _ in range(400):
        drawn = clustered(stream, clusters=clusters, size=size, spread=spread)
        passed, count = sum(s for s, _ in drawn), clusters * size
        covered += 0.3 in wilson(passed, count, effective=effective_size(drawn))
        naive += 0.3 in wilson(passed, count)
    assert covered / 400 >= 0.925  # 2.3 standard errors below 0.95
    assert naive / 400 < 0.87


def test_effective_size_of_independent_trials_is_nearly_all_of_them():
    stream = random.Random(0)
    drawn = [(sum(stream.random() < 0.3 for _ in range(5)), 5) for _ in range(400)]
    assert 1700 < effective_size(drawn) <= 2000


def test_clopper_pearson_of_an_effective_size_is_that_of_the_counts_scaled_to_it():
    assert clopper_pearson(30, 120, effective=40) == clopper_pearson(10, 40)
    assert clopper_pearson(0, 120, effective=40) == clopper_pearson(0, 40)
    assert clopper_pearson(120, 120, effective=120) == clopper_pearson(120, 120)
    between = clopper_pearson(30, 120, effective=42.5).width
    assert clopper_pearson(11, 44).width < between < clopper_pearson(10, 40).width
    assert estimate_rate(30, 120, effective=40) == Estimate(0.25, clopper_pearson(10, 40))


def test_effective_size_by_hand():
    # With (2, 2) and (0, 2) beside them p = 1/2 and v = 6/5 * 6 / 144, so n p (1 - p) / v / 12 = 10/3.
    quotient = stats.t.ppf(0.975, 7) / stats.t.ppf(0.975, 3)
    drawn = [(2, 2), (2, 2), (0, 2), (0, 2)]
    assert effective_size(drawn) == pytest.approx(10 / 3 * quotient**2)
    assert effective_size([*drawn, (0, 0)]) == effective_size(drawn)
    assert effective_size([(1, 1), (0, 1), (1, 1)]) == pytest.approx(2.4)
    assert effective_size([(1, 2)] * 6) == 12  # no more alike within than between


@pytest.mark.parametrize(
    ("clusters", "size", "rate", "alike"), [(100, 10, 0.01, 0.7), (50, 8, 0.02, 0.5), (100, 4, 0.02, 0.5)]
)  # fmt: skip
def test_the_upper_end_covers_where_few_of_many_clusters_succeed(clusters, size, rate, alike):
    """Rates of clusters are Beta(rate s, (1 - rate) s) with s = 1 / alike - 1: two trials of a cluster correlate by ``alike``."""
    stream, spread = random.Random(clusters), 1 / alike - 1
    below = 0
    for _ in range(300):
        rates = (stream.betavariate(rate * spread, (1 - rate) * spread) for _ in range(clusters))
        drawn = [(sum(stream.random() < own for _ in range(size)), size) for own in rates]
        passed = sum(successes for successes, _ in drawn)
        interval = clopper_pearson(passed, clusters * size, effective=effective_size(drawn))
        below += interval.high < rate
    assert below / 300 <= 0.025


@pytest.mark.parametrize("spread", ["in one cluster", "in many"])
def test_a_few_more_successes_do_not_narrow_what_is_possible(spread):
    """A verifier that is seen to be wrong once must not be shown to be better than one that never is."""

    def high(passed):
        own = [passed] if spread == "in one cluster" else [1] * passed
        drawn = [(x, 10) for x in own] + [(0, 10)] * (100 - len(own))
        return clopper_pearson(passed, 1000, effective=effective_size(drawn)).high

    assert min(map(high, range(1, 11))) > 0.97 * high(0)
    assert high(0) == clopper_pearson(0, 100).high


def test_effective_size_where_the_spread_tells_nothing():
    assert effective_size([]) == 0
    assert effective_size([(0, 0)]) == 0
    assert effective_size([(3, 4)]) == 1
    assert effective_size([(4, 4)] * 7) == effective_size([(0, 4)] * 7) == 7


@quick
@given(
    st.lists(
        st.integers(0, 9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), max_size=12
    )
)
def test_effective_size_is_never_more_than_all(clusters):
    count, size = sum(n for _, n in clusters), effective_size(clusters)
    assert 0 <= size <= count
    if count:
        passed = sum(s for s, _ in clusters)
        wide, narrow = wilson(passed, count, effective=size), wilson(passed, count)
        assert wide.low <= narrow.low + 1e-12
        assert wide.high >= narrow.high - 1e-12


def test_estimate_of_nothing_is_unknown():
    assert estimate_rate(0, 0) == Estimate(None, Interval(0.0, 1.0))
    assert str(estimate_rate(0, 0)) == "unknown [0, 1]"
    assert estimate_rate(3, 4).value == 0.75


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson(3, 2), "successes must be <= count, got 3 of 2"),
        (lambda: wilson(-1, 2), "successes must be an integer >= 0, got -1"),
        (lambda: wilson(1, 2, effective=3), "effective must be a number in (0, 2], got 3"),
        (lambda: wilson(1, 2, effective=0.0), "effective must be a number in (0, 2], got 0.0"),
        (lambda: effective_size([(2, 1)]), "successes must be <= count, got 2 of 1"),
        (lambda: clopper_pearson(1, 2.0), "count must be an integer >= 0, got 2.0"),
        (lambda: clopper_pearson(1, True), "count must be an integer >= 0, got True"),
        (lambda: wilson(1, 2, confidence=1), "confidence must be a number in (0, 1), got 1"),
        (
            lambda: wilson(1, 2, confidence="0.9"),
            "confidence must be a number in (0, 1), got '0.9'",
        ),
        (lambda: Interval(2.0, 1.0), "interval must have low <= high, got 2.0 and 1.0"),
        (lambda: Interval(math.nan, 1.0), "interval must have low <= high, got nan and 1.0"),
    ],
)
def test_arguments_out_of_range(call, message):
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.message == message
