import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from orbiter.errors import ConfigError
from orbiter.train.objectives import (
    adaptive_kl_coef,
    gae,
    group_advantages,
    leave_one_out_advantages,
    process_reward,
    token_rewards,
    weighted_rewards,
    whiten,
)

ALL = np.ones((2, 4))
rewards = arrays(float, (3, 5), elements=st.floats(-100, 100))
masks = arrays(bool, (3, 5))


def test_group_advantages_of_known_numbers():
    plain = group_advantages([[1.0, 0.0, 0.0, 1.0]], eps=0.0, ddof=0)
    assert plain.tolist() == [[1.0, -1.0, -1.0, 1.0]]
    bessel = group_advantages([[1.0, 0.0]], eps=0.0)
    assert bessel == pytest.approx(np.array([[0.5, -0.5]]) / np.sqrt(0.5))
    assert group_advantages([[3.0, 0.0, 0.0]], scale="none").tolist() == [[2.0, -1.0, -1.0]]
    assert group_advantages([[1.0, 0.0]], eps=0.5, ddof=0).tolist() == [[0.5, -0.5]]


@given(rewards, st.floats(-50, 50), st.sampled_from([0, 1]), st.sampled_from(["std", "none"]))
def test_advantages_do_not_see_a_shift_of_the_rewards(values, shift, ddof, scale):
    # Shifts that rounding would turn into ties, or ties into differences, are no shifts.
    values, shift = np.round(values, 3), round(shift, 3)
    plain = group_advantages(values, scale=scale, ddof=ddof)
    assert group_advantages(values + shift, scale=scale, ddof=ddof) == pytest.approx(
        plain, abs=1e-6
    )
    loo = leave_one_out_advantages(values)
    assert leave_one_out_advantages(values + shift) == pytest.approx(loo, abs=1e-9)


@given(rewards, st.floats(0.5, 20))
def test_only_the_deviation_takes_the_scale_out(values, factor):
    values = np.round(values, 3)
    plain = group_advantages(values, eps=0.0)
    assert group_advantages(values * factor, eps=0.0) == pytest.approx(plain, abs=1e-6)
    unscaled = group_advantages(values, scale="none")
    assert group_advantages(values * factor, scale="none") == pytest.approx(unscaled * factor)


@given(rewards, st.permutations(range(5)), st.permutations(range(3)))
def test_advantages_follow_their_answers(values, answers, groups):
    for fn in (group_advantages, leave_one_out_advantages):
        shuffled = fn(values[groups][:, answers])
        assert shuffled == pytest.approx(fn(values)[groups][:, answers], abs=1e-9)


@given(rewards, masks)
def test_unscored_answers_have_no_advantage_and_no_influence(values, valid):
    poisoned = np.where(valid, values, np.nan)
    for fn in (group_advantages, leave_one_out_advantages):
        found = fn(poisoned, valid=valid)
        assert np.isfinite(found).all()
        assert not found[~valid].any()
        for row, on, got in zip(values, valid, found):
            if on.any():
                alone = fn(row[on][np.newaxis])
                assert got[on] == pytest.approx(alone[0], abs=1e-9)


@given(rewards)
def test_advantages_of_a_group_add_to_0_and_square_to_1(values):
    spread = np.ptp(values, axis=1) > 1e-3
    for fn in (group_advantages, leave_one_out_advantages):
        assert fn(values).sum(axis=1) == pytest.approx(np.zeros(3), abs=1e-9)
    unit = group_advantages(values, eps=0.0, ddof=0)
    assert (unit**2).mean(axis=1)[spread] == pytest.approx(np.ones(spread.sum()))


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e9, -7.7])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_equal_rewards_and_a_group_of_one_teach_nothing(value, count):
    """The mean of equal numbers may be off by rounding, which no deviation must blow up."""
    values = np.full((1, count), value)
    for eps in (0.0, 1e-4):
        assert not group_advantages(values, eps=eps).any()
    assert not leave_one_out_advantages(values).any()


def test_leave_one_out_is_the_reward_over_the_mean_of_the_others():
    assert leave_one_out_advantages([[3.0, 1.0, 2.0]]).tolist() == [[1.5, -1.5, 0.0]]
    assert leave_one_out_advantages([[3.0, 1.0]], valid=[[1, 0]]).tolist() == [[0.0, 0.0]]


@given(rewards)
def test_leave_one_out_is_the_centred_reward_times_g_over_g_minus_1(values):
    centred = group_advantages(values, scale="none")
    assert leave_one_out_advantages(values) == pytest.approx(centred * 5 / 4, abs=1e-9)


def test_gae_of_known_numbers():
    # delta = (0 + 0.9 * 2 - 1, 3 - 2); A_1 = 1, A_0 = 0.8 + 0.9 * 0.5 * 1
    found = gae([[0.0, 3.0]], [[1.0, 2.0]], [[1, 1]], gamma=0.9, lam=0.5)
    assert found.advantages == pytest.approx(np.array([[1.25, 1.0]]))
    assert found.returns == pytest.approx(np.array([[2.25, 3.0]]))


@given(arrays(float, (2, 4), elements=st.floats(-9, 9)), st.floats(0, 1))
def test_lam_1_is_the_sampled_return_and_lam_0_the_one_step_error(values, gamma):
    reward = np.arange(8.0).reshape(2, 4)
    discounts = gamma ** np.arange(4)
    returns = np.array([[(row[t:] * discounts[: 4 - t]).sum() for t in range(4)] for row in reward])
    sampled = gae(reward, values, ALL, gamma=gamma, lam=1.0)
    assert sampled.returns == pytest.approx(returns, abs=1e-9)
    one_step = gae(reward, values, ALL, gamma=gamma, lam=0.0)
    following = np.concatenate([values[:, 1:], np.zeros((2, 1))], axis=1)
    assert one_step.advantages == pytest.approx(reward + gamma * following - values, abs=1e-9)


@given(
    arrays(float, (2, 2, 6), elements=st.floats(-9, 9)),
    arrays(bool, (2, 6)),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_tokens_of_others_are_stepped_over(data, mask, gamma, lam):
    """The answer with the others' tokens cut out has the same advantages."""
    reward, value = np.where(mask, data, np.nan)
    found = gae(reward, value, mask, gamma=gamma, lam=lam)
    for row, on in enumerate(mask):
        assert not found.advantages[row][~on].any()
        if on.any():
            short = gae(
                reward[row][on][np.newaxis],
                value[row][on][np.newaxis],
                np.ones((1, on.sum())),
                gamma=gamma,
                lam=lam,
            )
            assert found.advantages[row][on] == pytest.approx(short.advantages[0], abs=1e-9)
            assert found.returns[row][on] == pytest.approx(short.returns[0], abs=1e-9)


def test_token_rewards_put_the_score_on_the_last_token_of_the_policy():
    mask = [[1, 0, 1, 0], [1, 1, 1, 1]]
    logps, ref = np.full((2, 4), -1.0), np.full((2, 4), -1.5)
    found = token_rewards([10.0, 20.0], logps, ref, mask, kl_coef=0.1)
    assert found == pytest.approx(np.array([[-0.05, 0, 9.95, 0], [-0.05, -0.05, -0.05, 19.95]]))
    assert token_rewards([1.0, 2.0], logps, ref, mask, kl_coef=0).sum(axis=1).tolist() == [1, 2]


def test_whitened_values_have_mean_0_and_variance_1_over_the_tokens():
    values, mask = np.array([[1.0, 5.0, np.nan]]), [[1, 1, 0]]
    found = whiten(values, mask, eps=1e-12)
    assert found == pytest.approx(np.array([[-1, 1, 0]]) / np.sqrt(2))
    assert whiten(values, mask, shift_mean=False)[0, :2].mean() == pytest.approx(3.0)
    assert not whiten([[2.0, 2.0]], [[1, 1]]).any()


def test_rewards_are_weighted_and_added():
    assert weighted_rewards([[1.0, 0.0], [1.0, 1.0]], [1.0, 0.5]).tolist() == [1.0, 1.5]


def test_process_rewards_of_known_numbers():
    scores, mask = [[0.5, 0.9, 0.1], [1.0, 0.8, 0.5]], [[1, 1, 0], [1, 1, 1]]
    assert process_reward(scores, mask) == pytest.approx([0.45, 0.4])
    assert process_reward(scores, mask, how="min").tolist() == [0.5, 0.5]


@given(arrays(float, (2, 5), elements=st.floats(0, 1)), st.permutations(range(5)))
def test_product_is_at_most_the_minimum_and_steps_have_no_order(scores, order):
    mask = np.ones((2, 5))
    product, weakest = process_reward(scores, mask), process_reward(scores, mask, how="min")
    assert (product <= weakest + 1e-12).all()
    assert process_reward(scores[:, order], mask) == pytest.approx(product)


def test_kl_coefficient_of_known_numbers():
    more = {"target": 6.0, "horizon": 10_000, "count": 256}
    assert adaptive_kl_coef(0.2, 6.0, **more) == 0.2
    assert adaptive_kl_coef(0.2, 60.0, **more) == pytest.approx(0.2 * (1 + 0.2 * 0.0256))
    assert adaptive_kl_coef(0.2, -1.0, **more) == pytest.approx(0.2 * (1 - 0.2 * 0.0256))
    assert adaptive_kl_coef(0.2, 6.6, **more) == pytest.approx(0.2 * (1 + 0.1 * 0.0256))


@given(st.floats(-5, 50), st.floats(-5, 50))
def test_kl_coefficient_rises_with_the_kl_and_stays_above_0(kl, other):
    low, high = sorted((kl, other))
    coefs = [adaptive_kl_coef(0.1, x, target=5, horizon=10, count=49) for x in (low, high)]
    assert 0 < coefs[0] <= coefs[1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gae([[1.0]], [[1.0]], [[1]], gamma=1.1),
            r"gamma must be a number in \[0, 1\], got 1.1",
        ),
        (
            lambda: gae([[1.0]], [[1.0]], [[1]], lam=-0.1),
            r"lam must be a number in \[0, 1\], got -0.1",
        ),
        (lambda: whiten([[1.0]], [[1]]), "mask must have at least 2 tokens, got 1"),
        (lambda: group_advantages([[1.0]], ddof=2), r"ddof must be an integer in \[0, 1\], got 2"),
        (lambda: group_advantages([[1.0]], scale="batch"), "scale must be 'std' or 'none'"),
        (lambda: group_advantages([[np.nan, 1.0]]), r"rewards must be finite, got nan at \(0, 0\)"),
        (lambda: leave_one_out_advantages([[]]), "valid must not be empty"),
        (lambda: process_reward([[1.2]], [[1]]), r"step_scores must be in \[0, 1\], got 1.2"),
        (lambda: process_reward([[1.0]], [[0]]), "mask must have a token in every row"),
        (lambda: process_reward([[1.0]], [[1]], how="sum"), "how must be 'product' or 'min'"),
        (
            lambda: weighted_rewards([[1.0, 2.0]], [1.0]),
            "weights must be as many as the last axis of rewards, got 1",
        ),
        (
            lambda: token_rewards([1.0, 2.0], [[-1.0]], [[-1.0]], [[1]], kl_coef=0.1),
            r"scores must have the shape \(1,\), got \(2,\)",
        ),
        (
            lambda: adaptive_kl_coef(0.1, 1.0, target=1.0, horizon=10, count=50),
            r"count must be a number in \[0, 50\), got 50",
        ),
        (
            lambda: adaptive_kl_coef(0.1, 1.0, target=0.0, horizon=10, count=5),
            "target must be a number > 0, got 0.0",
        ),
    ],
)
def test_arguments_out_of_range_are_errors(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
