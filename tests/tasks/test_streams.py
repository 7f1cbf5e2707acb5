import random

from hypothesis import given
from hypothesis import strategies as st

from orbiter.tasks.streams import item_seed, item_stream

PARTS = st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=4)


def test_seed_is_the_same_for_ever():
    assert item_seed("sorting", 0, 7) == 4120720601191931728


@given(PARTS, PARTS)
def test_different_keys_have_different_seeds(a, b):
    assert (item_seed(*a) == item_seed(*b)) == (a == b)


@given(PARTS)
def test_seeds_fit_63_bits(key):
    assert 0 <= item_seed(*key) < 2**63


def test_a_number_and_its_text_are_different_keys():
    assert item_seed(1) != item_seed("1")


def test_neighbouring_seeds_share_no_stream():
    by_seed = [{item_seed(seed, index) for index in range(100)} for seed in range(2)]
    assert by_seed[0].isdisjoint(by_seed[1])


def test_stream_is_seeded_by_the_key():
    assert item_stream("a", 1).random() == random.Random(item_seed("a", 1)).random()
