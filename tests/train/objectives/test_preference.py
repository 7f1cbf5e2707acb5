import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from orbiter.errors import ConfigError
from orbiter.train.objectives import (
    bradley_terry_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    kto_reference_point,
    mean_loss,
    orpo_loss,
    robust_dpo_loss,
    sequence_logps,
    simpo_loss,
    spin_loss,
    step_loss,
)

LN2 = math.log(2)
DPO_KIN = [
    dpo_loss,
    spin_loss,
    lambda *args, **more: robust_dpo_loss(*args, label_smoothing=0.2, **more),
    lambda *args, **more: dpo_loss(*args, label_smoothing=0.2, **more),
]

numbers = st.floats(-50, -0.01)
four = arrays(float, (4, 3), elements=numbers)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_logps_are_summed_or_averaged_over_the_answer_alone():
    logps, mask = [[-9.0, -1.0, -3.0], [-9.0, -2.0, -9.0]], [[0, 1, 1], [0, 1, 0]]
    assert sequence_logps(logps, mask).tolist() == [-4.0, -2.0]
    assert sequence_logps(logps, mask, average=True).tolist() == [-2.0, -2.0]


@given(arrays(float, (2, 5), elements=numbers), st.permutations(range(5)))
def test_order_of_tokens_does_not_change_an_answer(logps, order):
    mask = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]])
    assert sequence_logps(logps[:, order], mask[:, order]) == pytest.approx(
        sequence_logps(logps, mask)
    )


@pytest.mark.parametrize("loss", DPO_KIN)
def test_loss_is_ln_2_where_the_policy_is_the_reference(loss):
    chosen, rejected = [-3.0, -20.0], [-5.0, -4.0]
    assert loss(chosen, rejected, chosen, rejected) == pytest.approx([LN2, LN2], abs=1e-12)


def test_dpo_of_known_numbers():
    # h = (-10 + 12) - (-14 + 13) = 3; -ln sigmoid(0.3)
    assert dpo_loss([-10.0], [-14.0], [-12.0], [-13.0], beta=0.1) == pytest.approx(
        [0.5543552444685271]
    )


def test_dpo_far_from_the_reference_keeps_its_digits():
    assert dpo_loss([-1.0], [-2000.0], [-2000.0], [-1.0], beta=1.0)[0] == pytest.approx(0, abs=0)
    assert dpo_loss([-2000.0], [-1.0], [-1.0], [-2000.0], beta=1.0)[0] == 3998.0


@given(four, st.floats(0.01, 5), st.floats(0, 0.49))
def test_swapping_an_answer_pair_swaps_the_labels(logps, beta, smoothing):
    chosen, rejected, ref_chosen, ref_rejected = logps
    there = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=beta)
    back = dpo_loss(rejected, chosen, ref_rejected, ref_chosen, beta=beta)
    h = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
    assert back - there == pytest.approx(h, abs=1e-9)
    # Label smoothing is the mean over the two labels.
    smooth = dpo_loss(
        chosen, rejected, ref_chosen, ref_rejected, beta=beta, label_smoothing=smoothing
    )
    assert smooth == pytest.approx((1 - smoothing) * there + smoothing * back, abs=1e-9)


@given(four, st.floats(0.01, 2), st.floats(0, 0.4))
def test_robust_loss_is_unbiased_under_flipped_labels(logps, beta, smoothing):
    chosen, rejected, ref_chosen, ref_rejected = logps
    more = {"beta": beta, "label_smoothing": smoothing}
    right = robust_dpo_loss(chosen, rejected, ref_chosen, ref_rejected, **more)
    flipped = robust_dpo_loss(rejected, chosen, ref_rejected, ref_chosen, **more)
    clean = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=beta)
    assert (1 - smoothing) * right + smoothing * flipped == pytest.approx(clean, abs=1e-8)


@given(four, st.floats(-20, 20))
def test_dpo_does_not_see_what_policy_and_reference_share(logps, shift):
    chosen, rejected, ref_chosen, ref_rejected = logps
    plain = dpo_loss(chosen, rejected, ref_chosen, ref_rejected)
    shifted = dpo_loss(chosen + shift, rejected, ref_chosen + shift, ref_rejected)
    assert shifted == pytest.approx(plain, abs=1e-9)


def test_dpo_gradient_is_beta_times_the_error(gradient, rng):
    chosen, rejected, ref_chosen, ref_rejected = -10 * rng.random((4, 5))
    beta, e = 0.3, 0.1
    h = (chosen - ref_chosen) - (rejected - ref_rejected)
    error = (1 - e) * sigmoid(-beta * h) - e * sigmoid(beta * h)

    def of(chosen, rejected):
        return mean_loss(
            dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=beta, label_smoothing=e)
        )

    assert gradient(lambda x: of(x, rejected), chosen) == pytest.approx(-beta * error / 5, abs=1e-8)
    assert gradient(lambda x: of(chosen, x), rejected) == pytest.approx(beta * error / 5, abs=1e-8)


def test_spin_is_dpo_with_the_models_own_answer_rejected():
    args = ([-3.0], [-4.0], [-3.5], [-3.0])
    assert spin_loss(*args, beta=0.7) == dpo_loss(*args, beta=0.7)


def test_bradley_terry_of_known_numbers():
    assert bradley_terry_loss([2.0], [2.0]) == pytest.approx([LN2])
    assert bradley_terry_loss([3.0], [1.0]) == pytest.approx([0.1269280110429726])
    assert bradley_terry_loss([3.0], [1.0], margin=[2.0]) == pytest.approx([LN2])
    assert bradley_terry_loss([3.0], [1.0], center=0.01) == pytest.approx([0.2869280110429726])


@given(arrays(float, (2, 3), elements=st.floats(-30, 30)), st.floats(-9, 9))
def test_reward_model_is_free_to_shift_unless_it_is_centred(rewards, shift):
    chosen, rejected = rewards
    plain = bradley_terry_loss(chosen, rejected)
    assert bradley_terry_loss(chosen + shift, rejected + shift) == pytest.approx(plain, abs=1e-9)
    centred = bradley_terry_loss(chosen, rejected, center=1.0)
    assert (centred - plain) == pytest.approx((chosen + rejected) ** 2, abs=1e-6)


def test_bradley_terry_gradient(gradient, rng):
    chosen, rejected, margin = rng.normal(size=(3, 4))
    found = gradient(
        lambda x: mean_loss(bradley_terry_loss(x, rejected, margin=margin, center=0.1)), chosen
    )
    wanted = -sigmoid(-(chosen - rejected - margin)) + 0.2 * (chosen + rejected)
    assert found == pytest.approx(wanted / 4, abs=1e-8)


def test_step_loss_of_known_numbers():
    """That of the process reward models of two classes: the cross-entropy of a softmax over (0, s)."""
    assert step_loss([0.0, 2.0, 2.0], [1, 1, 0]) == pytest.approx([LN2, 0.126928011, 2.126928011])
    assert step_loss([-800.0, 800.0], [1, 0]) == pytest.approx([800.0, 800.0])
    with pytest.raises(ConfigError, match="labels must hold 0 and 1 alone"):
        step_loss([0.0], [0.5])
    with pytest.raises(ConfigError, match=r"labels must have the shape \(2,\), got \(1,\)"):
        step_loss([0.0, 1.0], [1])


def test_step_loss_gradient(gradient, rng):
    scores, labels = rng.normal(size=4), np.array([1, 0, 0, 1])
    found = gradient(lambda x: mean_loss(step_loss(x, labels)), scores)
    assert found == pytest.approx((sigmoid(scores) - labels) / 4, abs=1e-8)


def test_ipo_of_known_numbers():
    args = ([-10.0], [-14.0], [-12.0], [-13.0])
    assert ipo_loss(*args, beta=0.1) == pytest.approx([4.0])  # (3 - 5)^2
    lengths = {"chosen_lengths": [4], "rejected_lengths": [2]}
    assert ipo_loss(*args, beta=0.1, **lengths) == pytest.approx([16.0])  # (0.5 + 0.5 - 5)^2
    assert ipo_loss([-1.0], [-1.0], [-1.0], [-1.0], beta=0.1) == pytest.approx([25.0])


@given(four, st.floats(0.05, 2))
def test_ipo_of_answers_of_one_token_is_the_same_summed_or_averaged(logps, beta):
    lengths = {"chosen_lengths": np.ones(3), "rejected_lengths": np.ones(3)}
    assert ipo_loss(*logps, beta=beta, **lengths).tolist() == ipo_loss(*logps, beta=beta).tolist()


def test_ipo_gradient_turns_at_the_target(gradient):
    ref = ([-5.0], [-5.0])
    for lead, sign in ((4.0, -1), (6.0, 1)):
        found = gradient(lambda x: mean_loss(ipo_loss(x, [-5.0], *ref, beta=0.1)), [-5.0 + lead])
        assert found == pytest.approx([sign * 2.0], abs=1e-6)


def test_reference_point_is_the_mean_and_never_below_0():
    assert kto_reference_point([-1.0, -5.0], [-2.0, -5.0]) == 0.5
    assert kto_reference_point([-2.0, -5.0], [-1.0, -5.0]) == 0.0


def test_kto_of_known_numbers():
    loss = kto_loss(
        [-10.0, -10.0],
        [-12.0, -12.0],
        [True, False],
        reference_point=1.0,
        beta=0.1,
        desirable_weight=2.0,
        undesirable_weight=3.0,
    )
    assert loss == pytest.approx([2 * (1 - sigmoid(0.1)), 3 * (1 - sigmoid(-0.1))])


@given(arrays(float, 4, elements=numbers), arrays(float, 4, elements=numbers), st.floats(0, 5))
def test_kto_of_a_good_and_a_bad_label_add_to_one(logps, ref_logps, z):
    good = kto_loss(logps, ref_logps, [1] * 4, reference_point=z)
    bad = kto_loss(logps, ref_logps, [0] * 4, reference_point=z)
    assert good + bad == pytest.approx(np.ones(4))
    assert kto_loss(ref_logps + z, ref_logps, [1] * 4, reference_point=z) == pytest.approx(
        np.full(4, 0.5)
    )


def test_kto_gradient_is_largest_at_the_reference_point(gradient, rng):
    logps, ref_logps = -5 * rng.random((2, 6))
    good = np.array([1, 0, 1, 0, 1, 1], dtype=bool)
    more = {"reference_point": 0.5, "beta": 0.4, "undesirable_weight": 1.3}
    found = gradient(lambda x: mean_loss(kto_loss(x, ref_logps, good, **more)), logps)
    s = sigmoid(0.4 * (logps - ref_logps - 0.5))
    wanted = np.where(good, -1.0, 1.3) * 0.4 * s * (1 - s) / 6
    assert found == pytest.approx(wanted, abs=1e-9)


def test_orpo_of_known_numbers():
    half = math.log(0.5)  # odds of 1
    assert orpo_loss([half], [half], beta=1.0) == pytest.approx([LN2 + LN2])
    quarter = math.log(0.25)  # odds of 1/3, so the ratio is 3
    assert orpo_loss([half], [quarter], beta=1.0) == pytest.approx([LN2 - math.log(3 / 4)])
    assert orpo_loss([half], [quarter], beta=0.0, nll=[7.0]) == [7.0]


def test_orpo_keeps_its_digits_near_certainty_and_far_from_it():
    sure, odds_of_it = -1e-12, -math.log(1e-12)
    loss = orpo_loss([-40.0], [sure], beta=1.0, nll=[0.0])
    assert loss == pytest.approx([40.0 + odds_of_it], rel=1e-9)


def test_orpo_gradient(gradient, rng):
    chosen, rejected = -3 * rng.random((2, 4)) - 0.05
    found = gradient(lambda x: mean_loss(orpo_loss(x, rejected, beta=0.5)), chosen)
    log_odds = [x - np.log1p(-np.exp(x)) for x in (chosen, rejected)]
    wanted = -1 - 0.5 * sigmoid(-(log_odds[0] - log_odds[1])) / (1 - np.exp(chosen))
    assert found == pytest.approx(wanted / 4, abs=1e-7)


def test_simpo_of_known_numbers():
    assert simpo_loss([-1.0], [-1.5], beta=2.0, gamma=1.0) == pytest.approx([LN2])
    assert simpo_loss([-1.0], [-2.0], beta=2.0, gamma=0.5) == pytest.approx([0.20141327798275246])


@given(arrays(float, (2, 6), elements=numbers), st.integers(1, 4))
def test_simpo_does_not_see_how_long_an_answer_of_equal_tokens_is(logps, times):
    """Twice the same tokens: the sum doubles, the mean stays."""
    once = sequence_logps(logps, np.ones((2, 6)), average=True)
    again = sequence_logps(np.tile(logps, times), np.ones((2, 6 * times)), average=True)
    assert simpo_loss(again[:1], again[1:]) == pytest.approx(simpo_loss(once[:1], once[1:]))


def test_simpo_gradient(gradient, rng):
    chosen, rejected = -3 * rng.random((2, 4))
    found = gradient(lambda x: mean_loss(simpo_loss(chosen, x, beta=2.5, gamma=0.8)), rejected)
    wanted = 2.5 * sigmoid(-(2.5 * (chosen - rejected) - 0.8)) / 4
    assert found == pytest.approx(wanted, abs=1e-8)


@given(arrays(float, (4, 5), elements=numbers), st.permutations(range(5)))
def test_losses_of_pairs_do_not_depend_on_their_order(logps, order):
    for loss in (*DPO_KIN, ipo_loss):
        assert loss(*logps[:, order]).tolist() == loss(*logps)[order].tolist()
    assert orpo_loss(*logps[:2, order]).tolist() == orpo_loss(*logps[:2])[order].tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: dpo_loss([-1.0], [-1.0], [-1.0], [-1.0], label_smoothing=0.5),
            r"label_smoothing must be a number in \[0, 0.5\), got 0.5",
        ),
        (lambda: orpo_loss([0.0], [-1.0]), "chosen_mean_logps must be < 0, got 0.0"),
        (
            lambda: ipo_loss([-1.0], [-1.0], [-1.0], [-1.0], chosen_lengths=[1]),
            "chosen_lengths and rejected_lengths must be given both or not at all",
        ),
        (
            lambda: ipo_loss(
                [-1.0], [-1.0], [-1.0], [-1.0], chosen_lengths=[0], rejected_lengths=[1]
            ),
            "chosen_lengths must be >= 1, got 0",
        ),
        (
            lambda: kto_loss([-1.0], [-1.0], [1], reference_point=-0.1),
            "reference_point must be a number >= 0, got -0.1",
        ),
        (
            lambda: kto_loss([-1.0], [-1.0], [0.5], reference_point=0),
            "desirable must hold 0 and 1 alone",
        ),
        (
            lambda: kto_loss([-1.0], [-1.0], [1, 0], reference_point=0),
            r"desirable must have the shape \(1,\), got \(2,\)",
        ),
    ],
)
def test_arguments_out_of_range_are_errors(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
