import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.flywheel.forecast import forecast
from orbiter.flywheel.odds import corrected_pass_rate, grow, observed_yield, survivor_precision
from orbiter.intervals import Estimate, Interval
from orbiter.verify.audit import Confusion

GOOD = Confusion(true_positives=190, false_negatives=10, false_positives=20, true_negatives=180)
FLAWLESS = Confusion(true_positives=200, true_negatives=400)


def test_pass_rate_and_precision_are_those_of_the_formulas():
    ahead = forecast(GOOD, 0.27)
    p = corrected_pass_rate(0.27, tpr=0.95, fpr=0.1)
    assert p == pytest.approx(0.2)
    assert ahead.pass_rate.value == p
    assert ahead.precision.value == pytest.approx(survivor_precision(p, tpr=0.95, fpr=0.1))
    assert ahead.precision.value == pytest.approx(0.2 * 0.95 / 0.27)
    assert ahead.right_row_samples == pytest.approx(1 / (0.2 * 0.95))
    assert ahead.pass_rate.interval.low < 0.2 < ahead.pass_rate.interval.high


@settings(deadline=None, max_examples=60)
@given(
    *(st.integers(0, 60) for _ in range(4)),
    st.floats(0, 1),
)
@example(6, 0, 0, 7, 2.2250738585e-313)
def test_intervals_hold_their_values_and_nothing_is_out_of_range(tp, fn, fp, tn, observed):
    confusion = Confusion(
        true_positives=tp, false_negatives=fn, false_positives=fp, true_negatives=tn
    )
    ahead = forecast(confusion, observed, target=0.9)
    for estimate in (ahead.pass_rate, ahead.precision):
        assert 0 <= estimate.interval.low <= estimate.interval.high <= 1
        if estimate.value is not None:
            assert estimate.interval.low - 1e-12 <= estimate.value <= estimate.interval.high + 1e-12


def test_an_uninformative_or_unmeasured_verifier_tells_nothing():
    for confusion in (
        Confusion(),
        Confusion(true_positives=100),
        Confusion(true_positives=50, false_negatives=50, false_positives=50, true_negatives=50),
    ):
        ahead = forecast(confusion, 0.3, target=0.9)
        assert ahead.pass_rate.value is ahead.precision.value is ahead.right_row_samples is None
        assert ahead.at_best is ahead.at_least_g is None
        assert ahead.pass_rate.interval.low == 0
        assert ahead.precision.interval.high == 1


@pytest.mark.parametrize("observed", [0.01, 0.999])
def test_a_yield_that_the_rates_cannot_give_tells_nothing(observed):
    """Cut to 0 or 1, it would claim to know the pass rate exactly."""
    ahead = forecast(GOOD, observed, target=0.9995)
    assert ahead.unknown.startswith("no pass rate gives this yield")
    for estimate in (ahead.pass_rate, ahead.precision):
        assert estimate == Estimate(None, Interval(0.0, 1.0))
    assert ahead.right_row_samples is ahead.at_best is ahead.at_least_g is None


def test_a_yield_within_what_the_audit_leaves_is_cut():
    ahead = forecast(GOOD, GOOD.fpr_at(0.975).interval.low + 0.01)
    assert (ahead.unknown, ahead.pass_rate.value, ahead.precision.value) == ("", 0.0, 0.0)
    assert ahead.pass_rate.interval.high > 0


def test_the_tpr_alone_bounds_the_pass_rate_from_above():
    ahead = forecast(Confusion(true_positives=100), 0.3)
    assert (ahead.pass_rate.value, ahead.pass_rate.interval.low) == (None, 0)
    assert 0.3 < ahead.pass_rate.interval.high < 0.32


def test_a_yield_of_nothing_has_survivors_of_unknown_precision():
    ahead = forecast(FLAWLESS, 0.0)
    assert ahead.pass_rate.value == 0
    assert ahead.precision.value is None
    assert ahead.right_row_samples is None


def test_a_target_costs_the_rounds_that_g_takes_and_their_samples():
    ahead = forecast(GOOD, 0.27, target=0.9, rows=500)
    g = 0.95 / 0.1
    assert ahead.at_best.multiplier == pytest.approx(g)
    assert ahead.at_best.rounds == 2
    rates = (0.2, *grow(0.2, multiplier=g, rounds=2))
    assert rates[1] < 0.9 <= rates[2]
    expected = sum(500 / observed_yield(rate, tpr=0.95, fpr=0.1) for rate in rates[:2])
    assert ahead.at_best.samples == pytest.approx(expected)
    assert ahead.at_least_g.multiplier == GOOD.g.interval.low < g
    assert ahead.at_least_g.rounds >= ahead.at_best.rounds
    assert ahead.at_least_g.samples > ahead.at_best.samples


def test_a_flawless_verifier_takes_one_round_at_best():
    ahead = forecast(FLAWLESS, 0.05, target=0.99, rows=100)
    assert math.isinf(ahead.at_best.multiplier)
    assert (ahead.at_best.rounds, ahead.at_best.samples) == (1, pytest.approx(2000))
    assert 1 <= ahead.at_least_g.rounds < 10


def test_a_target_that_is_reached_costs_nothing_and_one_out_of_reach_has_no_rounds():
    reached = forecast(GOOD, 0.9, target=0.2)
    assert (reached.at_best.rounds, reached.at_best.samples) == (0, 0)
    weak = Confusion(true_positives=52, false_negatives=48, false_positives=50, true_negatives=50)
    never = forecast(weak, 0.505, target=0.9)
    assert never.at_best.rounds > 50
    assert never.at_least_g.rounds is never.at_least_g.samples is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: forecast(GOOD, 1.5), "observed must be a number in [0, 1], got 1.5"),
        (lambda: forecast(GOOD, 0.5, target=1), "target must be a number in (0, 1), got 1"),
        (lambda: forecast(GOOD, 0.5, target=0), "target must be a number in (0, 1), got 0"),
        (lambda: forecast(GOOD, 0.5, rows=0), "rows must be an integer >= 1, got 0"),
    ],
)
def test_arguments_out_of_range(call, message):
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.message == message
