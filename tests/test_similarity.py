import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.similarity import jaccard, near_duplicates, shingles

words = st.lists(st.sampled_from(["red", "green", "blue", "cyan"]), max_size=12).map(" ".join)


def slow_near_duplicates(texts, threshold):
    kept, found = [], []
    for i, text in enumerate(texts):
        near = [k for k in kept if jaccard(shingles(text), shingles(texts[k])) >= threshold]
        found.append(near[0] if near else None)
        if not near:
            kept.append(i)
    return found


def test_shingles_of_a_text_are_its_character_5_grams():
    assert shingles("a  bcd\ne") == {"a bcd", " bcd ", "bcd e"}


def test_a_short_text_is_its_own_shingle():
    assert (shingles("abc"), shingles("")) == ({"abc"}, {""})


@pytest.mark.parametrize(
    ("a", "b", "expected"), [("ab", "bc", 1 / 3), ("ab", "ab", 1.0), ("a", "b", 0.0), ("", "", 1.0)]
)
def test_jaccard(a, b, expected):
    assert jaccard(set(a), set(b)) == expected


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.9, 1.0])
@settings(deadline=None, max_examples=30)
@given(texts=st.lists(words, max_size=12), seed=st.integers(0, 3))
def test_sketches_find_what_comparing_every_pair_finds(threshold, texts, seed):
    expected = slow_near_duplicates(texts, threshold)
    assert near_duplicates(texts, threshold=threshold, seed=seed) == expected


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(st.text(max_size=20), max_size=12))
def test_no_two_kept_texts_are_near(texts):
    found = near_duplicates(texts, threshold=0.7)
    kept = [t for t, twin in zip(texts, found, strict=True) if twin is None]
    assert all(jaccard(shingles(a), shingles(b)) < 0.7 for a, b in itertools.combinations(kept, 2))


def test_a_repeat_of_a_duplicate_points_to_the_kept_text():
    texts = [
        "the quick brown fox jumps",
        "the quick brown fox jumps!",
        "the quick brown fox jumps!",
    ]
    assert near_duplicates(texts, threshold=0.9) == [None, 0, 0]


def test_a_lone_surrogate_is_text_like_any_other():
    assert near_duplicates(["\ud800", "\ud800", "b"], threshold=0.9) == [None, 0, None]


@pytest.mark.parametrize("threshold", [0, -1, 1.1, float("nan")])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ConfigError, match=r"threshold must be in \(0, 1\], got"):
        near_duplicates(["a"], threshold=threshold)
