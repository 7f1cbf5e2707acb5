import itertools
import math
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter import similarity
from orbiter.errors import ConfigError
from orbiter.similarity import (
    MISS_RATE,
    band_plan,
    estimate_floor,
    jaccard,
    near_duplicates,
    shingles,
)

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


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.8, 1.0])
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
    with pytest.raises(ConfigError, match=r"threshold must be a number in \(0, 1\], got"):
        near_duplicates(["a"], threshold=threshold)


def letters(stream, size):
    return "".join(stream.choices(string.ascii_letters, k=size))


def pair_at(threshold, stream):
    """Return two texts that begin alike and are just as similar as the threshold, or a little more."""
    own = 120
    shared = math.ceil(2 * own * threshold / (1 - threshold))
    start = letters(stream, shared + similarity.SHINGLE_SIZE - 1)
    return start + letters(stream, own), start + letters(stream, own)


@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.5, 0.65, 0.7, 0.9])
def test_pairs_at_the_threshold_are_found(threshold):
    stream = random.Random(7)
    pairs = [pair_at(threshold, stream) for _ in range(250)]
    similarities = [jaccard(shingles(a), shingles(b)) for a, b in pairs]
    assert all(threshold <= s < threshold + 0.01 for s in similarities)
    found = near_duplicates([text for pair in pairs for text in pair], threshold=threshold)
    assert found == [x for n in range(250) for x in (None, 2 * n)]


@given(st.floats(0.01, 1))
def test_bands_miss_a_pair_at_the_threshold_less_often_than_promised(threshold):
    bands, rows = band_plan(threshold)
    assert (1 - threshold**rows) ** bands <= MISS_RATE
    assert bands * rows <= 1024


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 1))
def test_the_floor_loses_a_pair_at_the_threshold_less_often_than_promised(threshold):
    size = math.prod(band_plan(threshold))
    most = math.ceil(estimate_floor(threshold, size=size) * size)
    below = math.fsum(
        math.comb(size, k) * threshold**k * (1 - threshold) ** (size - k) for k in range(most)
    )
    assert below <= MISS_RATE


@pytest.mark.parametrize(
    ("threshold", "rows"), [(1.0, 128), (0.9, 8), (0.7, 4), (0.6, 6), (0.5, 4)]
)
def test_a_candidate_shares_rows(threshold, rows):
    assert band_plan(threshold)[1] == rows


@pytest.mark.parametrize("threshold", [0.4, 0.5, 0.6])
def test_texts_with_a_preamble_in_common_are_seldom_compared_exactly(threshold, monkeypatch):
    calls = []

    def counting(a, b):
        calls.append(1)
        return jaccard(a, b)

    monkeypatch.setattr(similarity, "jaccard", counting)
    stream = random.Random(0)
    preamble = letters(stream, 240)
    texts = [preamble + letters(stream, 300) for _ in range(80)]
    assert near_duplicates(texts, threshold=threshold) == [None] * 80
    assert len(calls) < 80
