import math
import random

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import Isotonic, Platt, brier_score, fit_isotonic, fit_platt
from orbiter.errors import ConfigError

labelled = st.lists(
    st.tuples(st.floats(-20, 20).map(lambda x: round(x, 2)), st.booleans()), min_size=2, max_size=30
).filter(lambda rows: len({label for _, label in rows}) == 2)
FITS = [fit_platt, fit_isotonic]


def drawn(count, slope, intercept, seed=0):
    rng = random.Random(seed)
    margins = [rng.uniform(0, 4) for _ in range(count)]
    return margins, [rng.random() < 1 / (1 + math.exp(-slope * m - intercept)) for m in margins]


def test_platt_finds_the_curve_that_drew_the_labels():
    found = fit_platt(*drawn(20_000, 1.3, -0.4))
    assert found.slope == pytest.approx(1.3, abs=0.06)
    assert found.intercept == pytest.approx(-0.4, abs=0.06)


@given(labelled, st.sampled_from([1e-6, 1.0, 1e6]))
def test_platt_is_at_the_minimum_of_its_loss(rows, scale):
    """The gradient of the cross-entropy to the drawn-in targets is 0, or the slope is held at 0."""
    margins, right = [m * scale for m, _ in rows], [label for _, label in rows]
    found = attrs.evolve(fit_platt(margins, right), floor=0.0)
    hits = sum(right)
    targets = np.where(right, (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2))
    errors = np.array([found.probability(m) for m in margins]) - targets
    assert errors.sum() == pytest.approx(0, abs=1e-6)
    slope_error = (errors * np.array(margins) / scale).sum()
    if found.slope > 0:
        assert slope_error == pytest.approx(0, abs=1e-5)
    else:
        assert found.slope == 0
        assert slope_error >= -1e-6


def test_platt_of_separable_labels_is_finite():
    found = fit_platt([1.0, 2.0, 3.0, 4.0], [False, False, True, True])
    assert 0.5 < found.probability(10) < 1
    assert found.probability(2.5) == pytest.approx(0.5)


@pytest.mark.parametrize("fit", FITS)
def test_a_margin_that_says_the_opposite_is_worth_nothing(fit):
    found = fit([1.0, 2.0, 3.0, 4.0], [True, True, False, False])
    assert found.probability(1.0) == pytest.approx(0.5)
    assert found.probability(4.0) == pytest.approx(0.5)


@pytest.mark.parametrize("fit", FITS)
def test_equal_margins_have_the_rate_of_their_labels(fit):
    found = fit([2.0] * 4, [True, True, True, False])
    # Platt draws the labels in: 3 times 4/5 and once 1/3.
    assert found.probability(2.0) == pytest.approx(0.75, abs=0.07)


@pytest.mark.parametrize("fit", FITS)
def test_no_number_of_equal_margins_is_too_many(fit):
    found = fit([1.0] * 70_000, [place % 4 > 0 for place in range(70_000)])
    assert found.probability(1.0) == pytest.approx(0.75, abs=1e-4)


@given(labelled, st.floats(-30, 30), st.floats(-30, 30))
def test_more_margin_is_never_less_sure(rows, one, other):
    low, high = sorted((one, other))
    for fit in FITS:
        found = fit([m for m, _ in rows], [label for _, label in rows])
        assert 0 < found.probability(low) <= found.probability(high) < 1


def test_isotonic_pools_what_falls():
    found = fit_isotonic([1.0, 2.0, 3.0, 4.0, 5.0], [False, True, False, True, True])
    assert found.margins == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert found.probabilities == pytest.approx((1 / 7, 0.5, 0.5, 6 / 7, 6 / 7))
    assert found.probability(1.5) == pytest.approx((1 / 7 + 0.5) / 2)
    assert found.probability(-9) == found.probabilities[0]
    assert found.probability(99) == found.probabilities[-1]


@given(labelled)
def test_isotonic_is_the_rising_fit_of_least_squares(rows):
    """Against the min-max formula of isotonic regression: max over starts of the min over ends of the mean."""
    found = fit_isotonic([m for m, _ in rows], [label for _, label in rows])
    margins = sorted({m for m, _ in rows})
    groups = [[label for m, label in rows if m == margin] for margin in margins]
    for k, margin in enumerate(margins):
        best = max(
            min(
                sum(map(sum, groups[i : j + 1])) / sum(map(len, groups[i : j + 1]))
                for j in range(k, len(groups))
            )
            for i in range(k + 1)
        )
        n = len(rows)
        wanted = min(max(best, 1 / (n + 2)), (n + 1) / (n + 2))
        assert found.probability(margin) == pytest.approx(wanted)


@given(labelled, st.randoms())
def test_order_of_labels_does_not_matter(rows, rng):
    shuffled = rng.sample(rows, len(rows))
    for fit in FITS:
        one = fit([m for m, _ in rows], [r for _, r in rows])
        other = fit([m for m, _ in shuffled], [r for _, r in shuffled])
        assert other.probability(1.0) == pytest.approx(one.probability(1.0), abs=1e-7)


@pytest.mark.parametrize("fit", FITS)
def test_few_labels_prove_no_certainty(fit):
    found = fit([0.0, 0.06, 0.07], [False, True, True])
    assert found.probability(1e9) == pytest.approx(4 / 5)
    assert found.probability(-1e9) == pytest.approx(1 / 5)


def test_calibration_beats_a_guess_on_labels_it_has_not_seen():
    seen, unseen = drawn(2000, 1.5, -1.0), drawn(2000, 1.5, -1.0, seed=1)
    base = sum(seen[1]) / len(seen[1])
    guess = brier_score(Platt(0.0, math.log(base / (1 - base))), *unseen)
    for fit in FITS:
        assert brier_score(fit(*seen), *unseen) < 0.85 * guess
        rate = sum(map(fit(*seen).probability, unseen[0])) / 2000
        assert rate == pytest.approx(sum(unseen[1]) / 2000, abs=0.03)


def test_brier_score_of_known_numbers():
    assert brier_score(Isotonic((0.0,), (0.5,)), [1.0, 2.0], [True, False]) == 0.25
    assert brier_score(Isotonic((0.0,), (0.9,)), [1.0], [True]) == pytest.approx(0.01)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("margins", "right", "message"),
    [
        ([1.0], [True, False], "margins and right must be as many, at least one, got 1 and 2"),
        ([], [], "margins and right must be as many, at least one, got 0 and 0"),
        ([1.0, math.nan], [True, False], "margin must be a finite number, got nan"),
        ([1.0, 2.0], [True, True], "right must hold both outcomes, got 2 times True"),
    ],
)
def test_labels_that_teach_nothing_are_refused(fit, margins, right, message):
    with pytest.raises(ConfigError, match=message):
        fit(margins, right)
