import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import length_matched, length_report
from orbiter.errors import ConfigError
from orbiter.records import Message, Pair


def pair_of(chosen, rejected):
    sides = [(Message("assistant", "x" * size),) for size in (chosen, rejected)]
    return Pair((Message("user", "q"),), *sides)


sizes = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20)


def test_report_of_known_lengths():
    found = length_report([pair_of(3, 1), pair_of(1, 3), pair_of(9, 1), pair_of(2, 2)])
    assert (found.count, found.equal) == (4, 1)
    assert (found.chosen_mean, found.rejected_mean) == (15 / 4, 7 / 4)
    assert found.chosen_longer.value == 2 / 3
    assert found.log_ratio_mean == pytest.approx(math.log(5) / 4)


def test_nothing_is_known_of_no_pairs():
    found = length_report([])
    assert found.chosen_mean is found.rejected_mean is found.log_ratio_mean is None
    assert found.chosen_longer.value is None


@given(sizes)
def test_swapping_the_sides_turns_the_report_around(sizes):
    there = length_report([pair_of(*size) for size in sizes])
    back = length_report([pair_of(*size[::-1]) for size in sizes])
    assert there.chosen_mean == back.rejected_mean
    if sizes:
        assert there.log_ratio_mean == pytest.approx(-back.log_ratio_mean)
    if there.chosen_longer.value is not None:
        assert there.chosen_longer.value == pytest.approx(1 - back.chosen_longer.value)


def test_a_planted_length_bias_shows():
    found = length_report([pair_of(20, 10)] * 18 + [pair_of(10, 20)] * 2)
    assert found.chosen_longer.interval.low > 0.5


@given(sizes, st.floats(1, 5))
def test_matched_pairs_are_within_the_ratio_and_the_others_are_not(sizes, ratio):
    pairs = [pair_of(*size) for size in sizes]
    kept = length_matched(pairs, max_ratio=ratio)
    for pair, size in zip(pairs, sizes):
        short, long = sorted(max(1, n) for n in size)
        assert (pair in kept) == (long <= ratio * short)
    assert [pair for pair in pairs if pair in kept] == kept


def test_lengths_may_be_counted_in_words(make_pair):
    pair = make_pair("a b", "aaaaaaaa b")

    def words(messages):
        return len(messages[0].text.split())

    assert length_matched([pair]) == []
    assert length_matched([pair], length=words) == [pair]
    assert length_report([pair], length=words).equal == 1


def test_ratio_below_1_is_refused():
    with pytest.raises(ConfigError, match=r"max_ratio must be a number >= 1, got 0.5"):
        length_matched([], max_ratio=0.5)
