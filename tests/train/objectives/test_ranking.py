import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.train.objectives import (
    best_of_n,
    bradley_terry_loss,
    expected_best_of_n,
    ranking_loss,
    ranking_pairs,
)


def test_pairs_of_a_ranking():
    assert ranking_pairs([2, 1, 3]) == [(1, 0), (1, 2), (0, 2)]
    assert ranking_pairs([1, 1, 2]) == [(0, 2), (1, 2)]
    assert ranking_pairs([5]) == []


@given(st.permutations(range(6)))
def test_a_ranking_of_k_gives_k_over_2_pairs_each_in_its_order(ranks):
    pairs = ranking_pairs(ranks)
    assert len(pairs) == len({frozenset(pair) for pair in pairs}) == math.comb(6, 2)
    assert all(ranks[better] < ranks[worse] for better, worse in pairs)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_ties_give_no_pair(ranks):
    wanted = {(i, j) for i in range(len(ranks)) for j in range(len(ranks)) if ranks[i] < ranks[j]}
    assert set(ranking_pairs(ranks)) == wanted


def test_loss_of_a_ranking_is_the_mean_over_its_pairs():
    rewards = [0.5, 2.0, -1.0]
    pairs = bradley_terry_loss([2.0, 2.0, 0.5], [0.5, -1.0, -1.0])
    assert ranking_loss(rewards, [2, 1, 3]) == pytest.approx(pairs.mean())
    assert ranking_loss([3.0, 3.0, 3.0], [1, 2, 3]) == pytest.approx(math.log(2))


def test_best_is_the_first_of_the_highest_that_are_valid():
    assert best_of_n([1.0, 3.0, 3.0]) == 1
    assert best_of_n([1.0, np.nan, 3.0], valid=[True, False, True]) == 2
    assert best_of_n([-5.0, 9.0], valid=[True, False]) == 0


rewards = st.lists(st.floats(-9, 9), min_size=1, max_size=6)


@given(rewards, st.data())
def test_expected_best_is_the_mean_over_all_subsets(values, data):
    n = data.draw(st.integers(1, len(values)))
    subsets = [max(some) for some in itertools.combinations(values, n)]
    assert expected_best_of_n(values, n) == pytest.approx(np.mean(subsets), abs=1e-9)


def test_expected_best_of_right_and_wrong_is_pass_at_n():
    # 1 - C(7, 3) / C(10, 3)
    assert expected_best_of_n([1.0] * 3 + [0.0] * 7, 3) == pytest.approx(1 - 35 / 120)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ranking_loss([1.0, 2.0], [1, 1]), "ranks must tell two answers apart"),
        (lambda: best_of_n([1.0], valid=[False]), r"valid must have the shape \(1,\) and hold"),
        (lambda: best_of_n([np.nan]), "rewards must be finite"),
        (lambda: expected_best_of_n([1.0], 2), r"n must be an integer in \[1, 1\], got 2"),
        (lambda: expected_best_of_n([1.0], 0), r"n must be an integer in \[1, 1\], got 0"),
    ],
)
def test_arguments_out_of_range_are_errors(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
