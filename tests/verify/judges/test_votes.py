import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.verify.judges.votes import Votes, largest_log_odds

COUNTS = st.integers(0, 12)
MARGINS = st.floats(0.01, 4)


@pytest.mark.parametrize(
    ("yes", "no", "decided"),
    [
        (1, 0, True), (0, 1, False), (1, 1, None), (2, 0, True), (2, 1, None), (3, 0, True), (3, 2, None),
        (4, 1, True), (1, 4, False), (0, 0, None), (0.5, 0.5, None), (1.5, 0.5, None),
    ],
)  # fmt: skip
def test_what_decides_by_default(yes, no, decided):
    assert Votes(yes, no).decide(1.0) is decided


@pytest.mark.parametrize(
    ("yes", "no", "unknown", "decided"),
    [(1, 0, 1, None), (2, 0, 1, None), (4, 0, 1, True), (0, 4, 1, False), (3, 0, 2, None), (0, 0, 3, None)],
)  # fmt: skip
def test_an_unknown_vote_may_be_a_vote_against(yes, no, unknown, decided):
    assert Votes(yes, no, unknown).decide(1.0) is decided


@given(COUNTS, COUNTS, COUNTS, MARGINS)
def test_what_is_decided_stays_so_when_the_unknown_become_known(yes, no, unknown, margin):
    decided = Votes(yes, no, unknown).decide(margin)
    ends = {Votes(yes + n, no + unknown - n).decide(margin) for n in range(unknown + 1)}
    assert decided is None or ends == {decided}
    assert decided is not None or len(ends) > 1 or ends == {None}


@given(COUNTS, COUNTS, COUNTS, MARGINS)
def test_the_two_sides_are_alike(yes, no, unknown, margin):
    one, other = Votes(yes, no, unknown), Votes(no, yes, unknown)
    assert one.log_odds == pytest.approx(-other.log_odds)
    mirror = {True: False, False: True, None: None}
    assert one.decide(margin) is mirror[other.decide(margin)]


@given(COUNTS, COUNTS)
def test_probability_is_that_of_the_log_odds(yes, no):
    votes = Votes(yes, no)
    assert votes.probability == pytest.approx(1 / (1 + math.exp(-votes.log_odds)))


@given(st.integers(1, 50))
def test_the_largest_margin_is_cleared_by_all_votes_alone(count):
    margin = largest_log_odds(count)
    assert Votes(count, 0).decide(margin) is True
    assert Votes(0, count).decide(margin) is False
    assert Votes(count - 0.5, 0.5).decide(margin) is None
    assert Votes(count, 0).decide(margin + 1e-6) is None


def test_votes_are_counted():
    assert Votes.of([1.0, 0.5, None, 0.0, 1.0]) == Votes(2.5, 1.5, 1)
    assert Votes.of([]) == Votes()
