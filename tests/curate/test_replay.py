import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import ReplayBuffer
from orbiter.errors import ConfigError
from orbiter.records import Message, Pair


def pairs_of(round, count, *, weight=1.0, start=0):
    return [
        Pair((Message("user", f"{round}:{i}"),), (), (), metadata={"round": round}, weight=weight)
        for i in range(start, start + count)
    ]


def rounds(pairs):
    return [pair.metadata["round"] for pair in pairs]


def test_oldest_go_first_and_stale_ones_go_anyway():
    buffer = ReplayBuffer(capacity=5, max_age=1)
    buffer = buffer.added(pairs_of(1, 3), round=1)
    buffer = buffer.added(pairs_of(2, 3), round=2)
    assert rounds(buffer.pairs) == [1, 1, 2, 2, 2]
    assert buffer.pairs[0].prompt[0].text == "1:1"
    assert rounds(buffer.added([], round=3).pairs) == [2, 2, 2]
    assert buffer.added([], round=4).pairs == ()


def test_a_sample_is_fresh_different_and_the_same_again():
    buffer = ReplayBuffer(capacity=50, max_age=1)
    buffer = buffer.added(pairs_of(1, 10), round=1).added(pairs_of(2, 10), round=2)
    found = buffer.sample(8, round=3)
    assert rounds(found) == [2] * 8
    assert len(set(map(repr, found))) == 8
    assert found == buffer.sample(8, round=3)
    assert found != buffer.sample(8, round=3, seed=1)
    assert sorted(set(rounds(buffer.sample(99, round=2)))) == [1, 2]
    assert len(buffer.sample(99, round=2)) == 20
    assert buffer.sample(5, round=9) == []


def test_the_newer_of_two_equal_pairs_stays_with_its_weight():
    buffer = ReplayBuffer(capacity=5, max_age=5).added(pairs_of(1, 2), round=1)
    (again, *_) = pairs_of(1, 1, weight=3.0)
    newer = Pair(again.prompt, (), (), metadata={"round": 2}, weight=3.0)
    found = buffer.added([newer], round=2).pairs
    assert [(p.metadata["round"], p.weight) for p in found] == [(1, 1.0), (2, 3.0)]


@given(
    st.lists(st.integers(0, 6), max_size=12),
    st.integers(1, 8),
    st.integers(0, 3),
    st.integers(0, 2),
)
def test_bounds_hold_in_every_round(sizes, capacity, max_age, seed):
    buffer = ReplayBuffer(capacity=capacity, max_age=max_age)
    for number, size in enumerate(sizes):
        buffer = buffer.added(pairs_of(number, size), round=number)
        assert len(buffer.pairs) == min(capacity, sum(sizes[max(0, number - max_age) : number + 1]))
        assert all(number - age <= max_age for age in rounds(buffer.pairs))
        assert rounds(buffer.pairs) == sorted(rounds(buffer.pairs))
        assert len(buffer.sample(3, round=number, seed=seed)) == min(3, len(buffer.pairs))


def test_a_buffer_comes_back_from_its_pairs():
    buffer = ReplayBuffer(capacity=5, max_age=1).added(pairs_of(1, 3), round=1)
    rows = [pair.to_row() for pair in buffer.pairs]
    again = ReplayBuffer(capacity=5, max_age=1, pairs=tuple(map(Pair.from_row, rows)))
    assert again == buffer
    assert again.sample(2, round=2) == buffer.sample(2, round=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: b.added([Pair((), (), ())], round=1), "metadata.round of pair '' must be an"),
        (lambda b: b.added(pairs_of(2, 1), round=1), "round of pair '' must be <= 1, got 2"),
        (lambda b: ReplayBuffer(capacity=0, max_age=1), "capacity must be an integer >= 1, got 0"),
        (lambda b: ReplayBuffer(capacity=1, max_age=-1), "max_age must be an integer >= 0, got -1"),
        (lambda b: b.sample(-1, round=1), "count must be an integer >= 0, got -1"),
    ],
)
def test_what_cannot_be_aged_is_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call(ReplayBuffer(capacity=3, max_age=1))
