import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.curate import near_dedup
from orbiter.errors import ConfigError
from orbiter.records import Message, Task, Trajectory
from orbiter.similarity import jaccard, shingles

words = st.sampled_from(["alpha", "beta", "gamma", "delta", "eps"])
sentences = st.lists(words, min_size=1, max_size=12).map(" ".join)
texts = st.lists(sentences, max_size=15)
thresholds = st.sampled_from([0.3, 0.5, 0.8, 0.95, 1.0])


def brute_force(items, threshold):
    """The same definition by comparing each text with every kept one."""
    kept, dropped = [], []
    for i, text in enumerate(items):
        near = [k for k in kept if jaccard(shingles(text), shingles(items[k])) >= threshold]
        if near:
            dropped.append((i, near[0]))
        else:
            kept.append(i)
    return kept, dropped


@settings(max_examples=60, deadline=None)
@given(texts, thresholds)
def test_nothing_below_the_threshold_is_dropped(items, threshold):
    for index, of in near_dedup(items, threshold=threshold).dropped:
        assert of < index
        assert jaccard(shingles(items[index]), shingles(items[of])) >= threshold


@settings(max_examples=60, deadline=None)
@given(texts, thresholds)
def test_every_item_is_kept_or_dropped_for_a_kept_one(items, threshold):
    result = near_dedup(list(enumerate(items)), threshold=threshold, key=lambda pair: pair[1])
    kept = [i for i, _ in result.kept]
    assert kept == sorted(kept)
    assert sorted(kept + [i for i, _ in result.dropped]) == list(range(len(items)))
    assert {of for _, of in result.dropped} <= set(kept)


def test_duplicates_are_found_as_by_brute_force():
    """Recall over a fixed corpus: pairs whose similarity lies on both sides of each threshold."""
    base = [" ".join(f"w{(i * 7 + j * (i % 3 + 1)) % 97}" for j in range(40)) for i in range(25)]
    corpus = [t[: len(t) - cut] for t in base for cut in (0, 3, 12, 40)]
    for threshold in (0.5, 0.7, 0.9):
        kept, dropped = brute_force(corpus, threshold)
        result = near_dedup(corpus, threshold=threshold)
        assert dropped
        assert kept
        assert list(result.kept) == [corpus[i] for i in kept]
        assert {i for i, _ in result.dropped} == {i for i, _ in dropped}


def test_first_of_a_kind_stays():
    items = ["the quick brown fox jumps", "the quick brown fox jumps!", "something else entirely"]
    result = near_dedup(items, threshold=0.8)
    assert result.kept == (items[0], items[2])
    assert result.dropped == ((1, 0),)


def test_same_seed_gives_the_same_result():
    items = [f"text number {i % 7} of the list" for i in range(30)]
    assert near_dedup(items, threshold=0.6, seed=3) == near_dedup(items, threshold=0.6, seed=3)


def test_conversations_are_compared_by_all_they_say():
    def row(answer):
        return Trajectory((Message("user", "ask"), Message("assistant", answer)), "e", "t", None)

    rows = [row("a long answer that is kept"), row("a long answer that is kept"), row("other one")]
    assert near_dedup(rows, threshold=0.9).dropped == ((1, 0),)
    tasks = [Task("e", f"t{i}", (Message("user", "the same prompt"),)) for i in range(2)]
    assert near_dedup(tasks, threshold=0.9).kept == (tasks[0],)


def test_nothing_in_nothing_out():
    assert near_dedup([], threshold=0.9).kept == ()


@pytest.mark.parametrize("threshold", [0.0, -1, 1.01, float("nan")])
def test_threshold_out_of_range_is_an_error(threshold):
    with pytest.raises(ConfigError, match="threshold must be a number in"):
        near_dedup(["a"], threshold=threshold)


def test_item_without_a_text_is_an_error():
    with pytest.raises(ConfigError, match="item must be a text, a Task or a Trajectory, got dict"):
        near_dedup([{"text": "a"}], threshold=0.9)
    with pytest.raises(ConfigError, match="key of item 0 must be a text, got None"):
        near_dedup([{}], threshold=0.9, key=lambda item: item.get("text"))
