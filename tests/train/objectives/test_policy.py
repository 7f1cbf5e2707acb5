import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from orbiter.errors import ConfigError
from orbiter.train.objectives import (
    cispo_loss,
    clipped_policy_loss,
    entropy,
    kl_estimate,
    policy_ratio,
    reduce_tokens,
    value_loss,
)

logps = arrays(float, (3, 4), elements=st.floats(-8, -0.01))
masks = arrays(bool, (3, 4)).filter(lambda mask: mask.any(axis=1).all())
ratios = arrays(float, (3, 4), elements=st.floats(0.01, 9))
advantages = arrays(float, (3, 4), elements=st.floats(-5, 5))


def test_ratio_of_known_numbers():
    new, old, mask = [[-1.0, -2.0, -9.0]], [[-2.0, -5.0, -1.0]], [[1, 1, 0]]
    assert policy_ratio(new, old, mask) == pytest.approx(np.exp([[1.0, 3.0, 0.0]]))
    assert policy_ratio(new, old, mask, level="sequence") == pytest.approx(
        np.exp([[2.0, 2.0, 0.0]])
    )


@given(logps, masks, st.sampled_from(["token", "sequence"]))
def test_ratio_of_a_policy_to_itself_is_1(values, mask, level):
    assert (policy_ratio(values, values, mask, level=level) == 1).all()


@given(logps, logps, masks)
def test_ratio_of_a_sequence_is_the_geometric_mean_of_its_tokens(new, old, mask):
    tokens = policy_ratio(new, old, mask)
    sequence = policy_ratio(new, old, mask, level="sequence")
    for row, on in enumerate(mask):
        mean = np.exp(np.log(tokens[row][on]).mean())
        assert sequence[row][on] == pytest.approx(np.full(on.sum(), mean))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.0, 2.0, -2.0),
        (1.5, 2.0, -2.4),  # no more reward for what has become likely
        (0.5, 2.0, -1.0),
        (0.5, -2.0, 1.6),  # no more reward for what has become unlikely
        (1.5, -2.0, 3.0),
        (9.0, -2.0, 6.0),  # dual clip at 3
        (9.0, 2.0, -2.4),
    ],
)
def test_clipped_loss_of_known_numbers(ratio, advantage, loss):
    assert clipped_policy_loss([ratio], [advantage], dual_clip=3.0) == pytest.approx([loss])


def test_bounds_may_differ():
    assert clipped_policy_loss([2.0], [1.0], clip_low=0.2, clip_high=0.28) == [-1.28]
    assert clipped_policy_loss([0.1], [-1.0], clip_low=0.2, clip_high=0.28) == [0.8]


@given(ratios, advantages)
def test_clipping_never_lowers_the_loss_and_dual_clip_never_raises_it(ratio, advantage):
    clipped = clipped_policy_loss(ratio, advantage)
    assert (clipped >= -ratio * advantage - 1e-12).all()
    dual = clipped_policy_loss(ratio, advantage, dual_clip=3.0)
    assert (dual <= clipped).all()
    assert (dual[advantage >= 0] == clipped[advantage >= 0]).all()


@given(ratios, advantages, st.floats(1.3, 5))
def test_dual_clip_is_the_same_as_bounding_the_ratio(ratio, advantage, bound):
    """TRL's delta: min(r, delta) in the term that is not clipped."""
    bounded = np.minimum(ratio, bound) * advantage
    clipped = np.clip(ratio, 0.8, 1.2) * advantage
    assert clipped_policy_loss(ratio, advantage, dual_clip=bound) == pytest.approx(
        -np.minimum(bounded, clipped)
    )


def test_one_advantage_per_answer_is_that_of_each_token(rng):
    ratio = rng.random((3, 4)) + 0.5
    one = clipped_policy_loss(ratio, [1.0, -1.0, 2.0])
    each = np.repeat([[1.0], [-1.0], [2.0]], 4, axis=1)
    assert one.tolist() == clipped_policy_loss(ratio, each).tolist()


def test_policy_gradient_is_the_ratio_times_the_advantage_until_it_is_clipped(gradient):
    old, advantage = np.array([[-1.0] * 6]), np.array([[1.0, 1.0, 1.0, -1.0, -1.0, -1.0]])
    new = old + np.log([[0.5, 1.1, 1.5, 0.5, 0.9, 1.5]])
    mask = np.ones((1, 6))

    def loss(x):
        return reduce_tokens(clipped_policy_loss(policy_ratio(x, old, mask), advantage), mask)

    wanted = np.array([[-0.5, -1.1, 0.0, 0.0, 0.9, 1.5]]) / 6
    assert gradient(loss, new) == pytest.approx(wanted, abs=1e-8)


def test_sequence_ratio_gradient_is_shared_by_the_tokens(gradient, rng):
    new = old = -rng.random((2, 3))
    mask = np.array([[1, 1, 1], [1, 1, 0]])

    def loss(x):
        ratio = policy_ratio(x, old, mask, level="sequence")
        return reduce_tokens(clipped_policy_loss(ratio, [2.0, -1.0]), mask, how="sequence-mean")

    wanted = np.array([[-2 / 3] * 3, [1 / 2, 1 / 2, 0]]) / 2
    assert gradient(loss, new, step=1e-7) == pytest.approx(wanted, abs=1e-6)


def test_cispo_keeps_the_gradient_of_clipped_tokens(gradient):
    new, ratio = np.array([[-1.0, -2.0, -3.0]]), np.array([[0.5, 1.0, 9.0]])
    advantage, mask = np.array([[1.0, -1.0, 1.0]]), np.ones((1, 3))

    def loss(x):
        return reduce_tokens(cispo_loss(x, ratio, advantage, clip_high=4.0), mask)

    assert gradient(loss, new) == pytest.approx(np.array([[-0.5, 1.0, -5.0]]) / 3, abs=1e-8)
    both = cispo_loss(new, ratio, advantage, clip_low=0.2, clip_high=4.0)
    assert both == pytest.approx(np.array([[0.8, -2.0, 15.0]]))


@pytest.mark.parametrize(
    ("value", "loss"), [(1.0, 2.0), (1.3, 1.62), (2.9, 1.62), (4.0, 1.62), (-1.0, 8.0)]
)
def test_value_loss_of_known_numbers(value, loss):
    """Old value 1, return 3, clip 0.2: nothing is gained beyond 1.2."""
    assert value_loss([value], [1.0], [3.0], clip=0.2) == pytest.approx([loss])
    assert value_loss([value], [1.0], [3.0]) == pytest.approx([(value - 3) ** 2 / 2])


def test_value_gradient_stops_beyond_the_bound(gradient):
    found = gradient(
        lambda v: value_loss(v, [1.0] * 3, [3.0] * 3, clip=0.2).sum(), [1.1, 1.5, -1.0]
    )
    assert found == pytest.approx([-1.9, 0.0, -4.0], abs=1e-6)


def test_entropy_of_known_numbers():
    assert entropy([[0.0] * 8, [100.0] + [0.0] * 7]) == pytest.approx([math.log(8), 0.0], abs=1e-12)
    # Binary entropy of 1/4
    assert entropy([math.log(1), math.log(3)]) == pytest.approx(0.5623351446188083)


@given(arrays(float, (2, 5), elements=st.floats(-300, 300)), st.floats(-1e3, 1e3))
def test_entropy_is_between_0_and_ln_v_and_does_not_see_a_shift(logits, shift):
    found = entropy(logits)
    assert (found >= 0).all()
    assert (found <= math.log(5) + 1e-9).all()
    assert entropy(logits + shift) == pytest.approx(found, abs=1e-6)


def test_kl_estimates_of_known_numbers():
    new, ref = [-1.0], [-1.0 - math.log(2)]
    assert kl_estimate(new, ref, kind="k1") == pytest.approx([math.log(2)])
    assert kl_estimate(new, ref, kind="k2") == pytest.approx([math.log(2) ** 2 / 2])
    assert kl_estimate(new, ref, kind="k3") == pytest.approx([0.5 - 1 + math.log(2)])


@given(arrays(float, 6, elements=st.floats(-4, 4)), arrays(float, 6, elements=st.floats(-4, 4)))
def test_k1_and_k3_are_unbiased_and_k2_and_k3_are_never_below_0(logits, ref_logits):
    """Over all words, weighted with the policy's probabilities: the expectation itself, not a sample of it."""
    p, q = (np.exp(x) / np.exp(x).sum() for x in (logits, ref_logits))
    exact = (p * np.log(p / q)).sum()
    for kind in ("k1", "k3"):
        found = kl_estimate(np.log(p), np.log(q), kind=kind)
        assert (p * found).sum() == pytest.approx(exact, abs=1e-9)
    for kind in ("k2", "k3"):
        assert (kl_estimate(np.log(p), np.log(q), kind=kind) >= 0).all()


def test_k3_keeps_its_digits_near_0_and_k2_is_its_limit():
    d = 1e-9
    k2, k3 = (kl_estimate([0.0], [-d], kind=kind) for kind in ("k2", "k3"))
    assert k2[0] == pytest.approx(5e-19)
    assert k3[0] == pytest.approx(5e-19, abs=1e-24 + 1e-25)


def test_expected_gradient_of_k2_is_that_of_the_kl_and_those_of_k1_and_k3_are_not(gradient, rng):
    """As losses on samples, that is with the sampling held fixed."""
    logits, ref_logits = rng.normal(size=(2, 5))

    def log_p(x):
        return x - np.log(np.exp(x).sum())

    p, ref = np.exp(log_p(logits)), log_p(ref_logits)
    exact = gradient(lambda x: (np.exp(log_p(x)) * (log_p(x) - ref)).sum(), logits)

    def of(kind):
        return gradient(lambda x: (p * kl_estimate(log_p(x), ref, kind=kind)).sum(), logits)

    assert of("k1") == pytest.approx(np.zeros(5), abs=1e-8)
    assert of("k2") == pytest.approx(exact, abs=1e-8)
    assert of("k3") == pytest.approx(p - np.exp(ref), abs=1e-8)  # the other direction's
    # Times the ratio, as TRL does by default, k3 has the right one.
    corrected = gradient(
        lambda x: (
            p * np.exp(log_p(x) - log_p(logits)) * kl_estimate(log_p(x), ref, kind="k3")
        ).sum(),
        logits,
    )
    assert corrected == pytest.approx(exact, abs=1e-8)


def test_reductions_of_known_numbers():
    losses = [[1.0, 2.0, 3.0, 4.0], [8.0, 9.0, 9.0, 9.0]]
    mask = [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert reduce_tokens(losses, mask) == 18 / 5
    assert reduce_tokens(losses, mask, how="sequence-mean") == (2.5 + 8) / 2
    assert reduce_tokens(losses, mask, how="sequence-sum") == (10 + 8) / 2
    assert reduce_tokens(losses, mask, how="constant", max_length=10) == 18 / 20


HOWS = [("token-mean", None), ("sequence-mean", None), ("sequence-sum", None), ("constant", 8)]


@given(arrays(float, (3, 4), elements=st.floats(-9, 9)), masks, st.sampled_from(HOWS))
def test_padding_and_answers_without_tokens_change_no_reduction(losses, mask, how):
    name, max_length = how
    plain = reduce_tokens(losses, mask, how=name, max_length=max_length)
    wider = np.pad(losses, ((0, 2), (0, 3)), constant_values=np.nan)
    found = reduce_tokens(wider, np.pad(mask, ((0, 2), (0, 3))), how=name, max_length=max_length)
    assert found == pytest.approx(plain)


@given(arrays(float, (3, 4), elements=st.floats(-9, 9)))
def test_means_agree_where_all_answers_have_one_length(losses):
    mask = np.ones((3, 4))
    mean = pytest.approx(losses.mean())
    assert reduce_tokens(losses, mask) == mean
    assert reduce_tokens(losses, mask, how="sequence-mean") == mean
    assert reduce_tokens(losses, mask, how="constant", max_length=4) == mean
    assert reduce_tokens(losses, mask, how="sequence-sum") / 4 == mean


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clipped_policy_loss([0.0], [1.0]), "ratio must be > 0, got 0.0"),
        (lambda: clipped_policy_loss([1.0], [1.0], clip_low=1.5), "clip_low must be a number in"),
        (
            lambda: clipped_policy_loss([1.0], [1.0], dual_clip=1.2),
            "dual_clip must be a number > 1.2",
        ),
        (lambda: clipped_policy_loss([[1.0]], [1.0, 2.0]), "advantages must have the shape"),
        (lambda: cispo_loss([-1.0], [0.0], [1.0], clip_high=1), "ratio must be > 0, got 0.0"),
        (
            lambda: cispo_loss([-1.0], [1.0], [1.0], clip_low=2, clip_high=1),
            "clip_low must be a number in",
        ),
        (lambda: policy_ratio([[-1e4]], [[-1.0]], [[1]]), "the ratio must be a finite number"),
        (lambda: policy_ratio([[-1.0]], [[-1.0]], [[1]], level="word"), "level must be 'token' or"),
        (lambda: policy_ratio([[-1.0]], [[-1.0]], [[0]], level="sequence"), "mask must have a"),
        (lambda: value_loss([1.0], [1.0], [1.0], clip=0.0), "clip must be a number > 0, got 0.0"),
        (lambda: kl_estimate([-1e4], [-1.0]), "ref / pi must be a finite number above 0"),
        (lambda: kl_estimate([-1.0], [-1.0], kind="k4"), "kind must be 'k1', 'k2' or 'k3'"),
        (lambda: entropy([-np.inf, 0.0]), r"logits must be finite, got -inf at \(0,\)"),
        (lambda: reduce_tokens([[1.0]], [[0]]), "mask must have at least one token, got none"),
        (lambda: reduce_tokens([[1.0]], [[1]], how="mean"), "how must be 'token-mean'"),
        (lambda: reduce_tokens([[1.0]], [[1]], how="constant"), "max_length must be given for"),
        (
            lambda: reduce_tokens([[1.0, 1.0]], [[1, 1]], how="constant", max_length=1),
            "max_length must be an integer >= 2, got 1",
        ),
    ],
)
def test_arguments_out_of_range_are_errors(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
