import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from orbiter.errors import ConfigError
from orbiter.flywheel import odds as o

quick = settings(deadline=None, max_examples=60)

rates = st.floats(1e-6, 1 - 1e-6)
counts = st.integers(1, 2000)


# --- best of N ---


def test_best_of_n_published_figures():
    assert o.best_of_n_success(0.05, samples=8) == pytest.approx(1 - 0.95**8, rel=1e-14)
    assert o.best_of_n_kl_bound(1) == 0
    assert o.best_of_n_kl_bound(4) == pytest.approx(0.6363, abs=5e-5)
    assert o.best_of_n_kl_bound(64) == pytest.approx(3.1745, abs=5e-5)
    # 10,000 rows at a pass rate of 5% cost 200,000 samples.
    assert o.expected_samples(10_000, pass_rate=0.05) == pytest.approx(200_000)


def test_best_of_n_success_keeps_tiny_rates():
    assert o.best_of_n_success(1e-18, samples=10) == pytest.approx(1e-17, rel=1e-12, abs=0)
    assert o.best_of_n_success(0, samples=10) == 0
    assert o.best_of_n_success(1, samples=1) == 1
    assert o.best_of_n_success(1, samples=0) == 0


@quick
@given(rates, st.integers(1, 6))
def test_best_of_n_agrees_with_enumeration(p, samples):
    """Over every sequence of outcomes: the pick is a pass if there is one, and then any of the passes."""
    fine = 4  # answers 0, 1 pass with masses p/4 and 3p/4; 2, 3 fail with masses f/4 and 3f/4
    mass = [p / 4, 3 * p / 4, (1 - p) / 4, 3 * (1 - p) / 4]
    picked = [0.0] * fine
    for draw in itertools.product(range(fine), repeat=samples):
        weight = math.prod(mass[a] for a in draw)
        best = [a for a in draw if a < 2] or list(draw)
        for answer in best:
            picked[answer] += weight / len(best)
    kl = sum(q * math.log(q / m) for q, m in zip(picked, mass) if q > 0)
    assert picked[0] + picked[1] == pytest.approx(o.best_of_n_success(p, samples=samples), rel=1e-9)
    assert o.best_of_n_kl(p, samples=samples) == pytest.approx(kl, rel=1e-7, abs=1e-9)


@quick
@given(rates, counts)
def test_kl_of_best_of_n_is_between_0_and_its_bounds(p, samples):
    kl = o.best_of_n_kl(p, samples=samples)
    assert 0 <= kl <= o.best_of_n_kl_bound(samples) + 1e-12
    assert kl <= o.reject_until_success_kl(p) + 1e-12
    assert kl <= o.best_of_n_kl(p, samples=samples + 1) + 1e-12


@quick
@given(st.floats(1e-3, 1 - 1e-6))
def test_best_of_n_tends_to_rejection_sampling(p):
    assert o.best_of_n_kl(p, samples=10**6) == pytest.approx(o.reject_until_success_kl(p), rel=1e-6)


def test_kl_is_0_where_best_of_n_changes_nothing():
    assert o.best_of_n_kl(0, samples=9) == 0
    assert o.best_of_n_kl(1, samples=9) == 0
    assert o.best_of_n_kl(0.3, samples=1) == 0
    assert o.reject_until_success_kl(1) == 0


@quick
@given(st.floats(1e-4, 0.999), st.floats(0, 0.9999))
def test_samples_for_success_is_the_least_that_reaches_it(p, success):
    count = o.samples_for_success(p, success_rate=success)
    assert o.best_of_n_success(p, samples=count) >= success
    assert count == 0 or o.best_of_n_success(p, samples=count - 1) < success


@quick
@given(rates, st.integers(0, 500))
def test_samples_for_success_inverts_best_of_n(p, samples):
    success = o.best_of_n_success(p, samples=samples)
    if success < 1 - 1e-6:
        assert o.samples_for_success(p, success_rate=success) == samples


# --- samples for survivors ---


@quick
@given(st.integers(0, 40), st.floats(0.01, 1), st.floats(0.01, 0.999))
def test_samples_for_survivors_is_the_quantile_of_the_negative_binomial(survivors, p, q):
    count = o.samples_for_survivors(survivors, pass_rate=p, probability=q)
    enough = stats.binom.sf(survivors - 1, count, p)
    assert enough >= q - 1e-9
    if count > survivors:
        assert stats.binom.sf(survivors - 1, count - 1, p) < q + 1e-9


def test_samples_for_survivors_by_hand():
    assert o.samples_for_survivors(1, pass_rate=0.5, probability=0.9) == 4
    assert o.samples_for_survivors(2, pass_rate=0.5, probability=0.9) == 7
    assert o.samples_for_survivors(0, pass_rate=0.5, probability=0.9) == 0
    assert o.samples_for_survivors(7, pass_rate=1, probability=0.9) == 7


# --- odds ---


def test_growth_of_the_yield_from_five_per_cent():
    assert o.grow(0.05, multiplier=2, rounds=4) == pytest.approx(
        (0.0952, 0.1739, 0.2963, 0.4571), abs=5e-5
    )


@quick
@given(rates)
def test_odds_and_back(p):
    assert o.from_odds(o.odds(p)) == pytest.approx(p, rel=1e-9)


@quick
@given(rates, st.floats(0.01, 100), st.integers(1, 8))
def test_growth_multiplies_the_odds(p, g, rounds):
    after = o.grow(p, multiplier=g, rounds=rounds)
    assert len(after) == rounds
    assert after[-1] == pytest.approx(o.from_odds(o.odds(p) * g**rounds), rel=1e-6)
    assert all((b >= a) == (g >= 1) or b == pytest.approx(a) for a, b in itertools.pairwise(after))


@quick
@given(rates, st.floats(1.01, 50), rates)
def test_rounds_for_a_target_are_the_least_that_reach_it(p, g, target):
    rounds = o.rounds_for_target(p, target=target, multiplier=g)
    reached = (p, *o.grow(p, multiplier=g, rounds=rounds))
    assert reached[-1] >= target * (1 - 1e-9)
    assert all(rate < target for rate in reached[:-1])


def test_rounds_for_a_target_at_the_ends():
    assert o.rounds_for_target(0.05, target=0.457, multiplier=2) == 4
    # 1/4 * 2^4 = 4: the quotient of logarithms is a little more than 4 and must not become 5.
    assert o.rounds_for_target(0.2, target=0.8, multiplier=2) == 4
    assert o.rounds_for_target(0.5, target=0.8, multiplier=2) == 2
    assert o.rounds_for_target(0.5, target=0.5, multiplier=1) == 0
    assert o.rounds_for_target(0.4, target=0.5, multiplier=1) is None
    assert o.rounds_for_target(0.4, target=0.5, multiplier=0.9) is None
    assert o.rounds_for_target(0, target=0.5, multiplier=math.inf) is None
    assert o.rounds_for_target(0.01, target=0.99, multiplier=math.inf) == 1


def test_growth_at_the_ends():
    assert o.grow(0, multiplier=5, rounds=2) == (0, 0)
    assert o.grow(1, multiplier=0.1, rounds=2) == (1, 1)
    assert o.grow(0.01, multiplier=math.inf, rounds=1) == (1,)
    assert o.grow(0.5, multiplier=2, rounds=0) == ()
    assert o.grow(0.5, multiplier=1e300, rounds=3) == (1, 1, 1)
    assert o.odds(1) == math.inf
    assert o.from_odds(math.inf) == 1


# --- the verifier's errors ---


@quick
@given(rates, st.floats(0.01, 1), st.floats(0.001, 1))
def test_the_survivors_have_g_times_the_odds(p, tpr, fpr):
    """Imitating the survivors makes their precision the next pass rate: odds times TPR / FPR."""
    precision = o.survivor_precision(p, tpr=tpr, fpr=fpr)
    (expected,) = o.grow(p, multiplier=o.odds_multiplier(tpr=tpr, fpr=fpr), rounds=1)
    assert precision == pytest.approx(expected, rel=1e-9)


@quick
@given(rates, st.floats(0.5, 1), st.floats(0, 0.4))
def test_the_corrected_pass_rate_inverts_the_observed_yield(p, tpr, fpr):
    observed = o.observed_yield(p, tpr=tpr, fpr=fpr)
    assert min(p * tpr, fpr) <= observed <= 1
    assert o.corrected_pass_rate(observed, tpr=tpr, fpr=fpr) == pytest.approx(p, abs=1e-9)


def test_verifier_errors_at_the_ends():
    assert o.odds_multiplier(tpr=0.9, fpr=0) == math.inf
    assert o.odds_multiplier(tpr=0.5, fpr=0.5) == 1
    assert o.survivor_precision(0, tpr=1, fpr=0) is None
    assert o.corrected_pass_rate(0.01, tpr=0.9, fpr=0.05) == 0
    assert o.corrected_pass_rate(0.95, tpr=0.9, fpr=0.05) == 1


# --- the measured multiplier ---


def test_measured_multiplier_of_a_table():
    # 20 of 100, then 40 of 100: (40 * 80) / (60 * 20) = 2.667; Woolf's interval by hand.
    estimate = o.measured_multiplier((20, 100), (40, 100))
    half = 1.959963984540054 * math.sqrt(1 / 40 + 1 / 60 + 1 / 20 + 1 / 80)
    assert estimate.value == pytest.approx(8 / 3)
    assert estimate.interval.low == pytest.approx(8 / 3 * math.exp(-half))
    assert estimate.interval.high == pytest.approx(8 / 3 * math.exp(half))


def test_measured_multiplier_adds_a_half_when_a_cell_is_empty():
    estimate = o.measured_multiplier((0, 10), (5, 10))
    assert estimate.value == pytest.approx((5.5 * 10.5) / (5.5 * 0.5))
    assert 0 < estimate.interval.low < estimate.value < estimate.interval.high < math.inf


def test_measured_multiplier_of_fewer_independent_attempts_is_the_same_and_less_sure():
    sure = o.measured_multiplier((97, 500), (338, 500))
    unsure = o.measured_multiplier((97, 500), (338, 500), effective=(125, 125))
    assert unsure.value == sure.value
    # A quarter of the attempts doubles the standard error, on the logarithmic scale.
    assert math.log(unsure.interval.high / unsure.value) == pytest.approx(
        2 * math.log(sure.interval.high / sure.value)
    )
    same = o.measured_multiplier((97, 500), (338, 500), effective=(500, None))
    assert same == sure
    part = o.measured_multiplier((97, 500), (338, 500), effective=(None, 125))
    assert sure.interval.width < part.interval.width < unsure.interval.width


def test_measured_multiplier_is_unknown_without_attempts():
    estimate = o.measured_multiplier((0, 0), (5, 9))
    assert estimate.value is None
    assert (estimate.interval.low, estimate.interval.high) == (0, math.inf)


tables = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@quick
@given(tables, tables)
def test_measured_multiplier_backwards_is_the_inverse(before, after):
    there = o.measured_multiplier(before, after)
    back = o.measured_multiplier(after, before)
    assert there.value * back.value == pytest.approx(1)
    assert there.interval.low * back.interval.high == pytest.approx(1)
    assert there.value in there.interval


# --- arguments ---


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: o.best_of_n_success(1.5, samples=1),
            "pass_rate must be a number in [0, 1], got 1.5",
        ),
        (
            lambda: o.best_of_n_success(True, samples=1),
            "pass_rate must be a number in [0, 1], got True",
        ),
        (
            lambda: o.best_of_n_success(math.nan, samples=1),
            "pass_rate must be a number in [0, 1], got nan",
        ),
        (lambda: o.best_of_n_success(0.5, samples=-1), "samples must be an integer >= 0, got -1"),
        (lambda: o.best_of_n_kl_bound(0), "samples must be an integer >= 1, got 0"),
        (lambda: o.best_of_n_kl(0.5, samples=2.0), "samples must be an integer >= 1, got 2.0"),
        (lambda: o.reject_until_success_kl(0), "pass_rate must be a number in (0, 1], got 0"),
        (
            lambda: o.expected_samples(1, pass_rate=0.0),
            "pass_rate must be a number in (0, 1], got 0.0",
        ),
        (
            lambda: o.samples_for_success(0.5, success_rate=1),
            "success_rate must be < 1 unless pass_rate is 1, got 1",
        ),
        (
            lambda: o.samples_for_survivors(1, pass_rate=0.5, probability=1),
            "probability must be a number in (0, 1), got 1",
        ),
        (lambda: o.odds(-0.1), "pass_rate must be a number in [0, 1], got -0.1"),
        (lambda: o.from_odds(-1), "odds must be a number >= 0, got -1"),
        (lambda: o.grow(0.5, multiplier=0, rounds=1), "multiplier must be a number > 0, got 0"),
        (lambda: o.odds_multiplier(tpr=0, fpr=0), "tpr or fpr must be > 0, got 0 and 0"),
        (
            lambda: o.corrected_pass_rate(0.5, tpr=0.3, fpr=0.3),
            "tpr must be > fpr, got 0.3 and 0.3",
        ),
        (
            lambda: o.measured_multiplier((3, 2), (0, 1)),
            "successes must be <= count, got 3 of 2",
        ),
    ],
)
def test_arguments_out_of_range(call, message):
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.message == message


@given(st.floats(0, 1), st.integers(0, 6), st.integers(0, 8))
def test_expected_survivors_is_the_mean_over_all_outcomes(p, samples, cap):
    brute = sum(
        min(cap, sum(outcome)) * math.prod(p if passed else 1 - p for passed in outcome)
        for outcome in itertools.product((0, 1), repeat=samples)
    )
    assert o.expected_survivors(p, samples=samples, cap=cap) == pytest.approx(brute, abs=1e-12)
