"""How games are shared out among workers."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from orbiter_openspiel.workers import MOST_GAMES, _blocks


@given(
    groups=st.integers(0, 1_000), size=st.sampled_from([1, 2, 3, 300]), workers=st.integers(1, 9)
)
def test_all_games_are_given_once_in_whole_groups_and_few_at_the_end(groups, size, workers):
    games = groups * size
    blocks = list(_blocks(games, workers=workers, size=size))
    assert list(itertools.chain(*blocks)) == list(range(games))
    assert all(len(block) % size == 0 for block in blocks)
    assert all(len(one) >= len(after) for one, after in itertools.pairwise(blocks))
    assert all(len(block) <= max(size, MOST_GAMES) for block in blocks)
    assert not blocks or len(blocks[-1]) == size
