import collections
import copy
import itertools

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError, RecordError
from orbiter.generate.augment import (
    augment_add_noise,
    augment_swap_io,
    deduplicate,
    filter_by_score,
    split_dataset,
    split_sizes,
)
from orbiter.records import Message, Trajectory, TrajectoryItem

TEXT = "The quick brown fox jumps over 13 lazy dogs. " * 4
CHAT = [{"role": "system", "content": TEXT}, {"role": "user", "content": TEXT}]
TRAJECTORY = Trajectory(
    messages=(
        Message("system", TEXT),
        Message("user", TEXT),
        Message("assistant", TEXT),
        Message("user", TEXT),
    ),
    env="e",
    task_id="t",
    score=1.0,
)
KINDS = [
    TEXT,
    {"input": TEXT, "output": TEXT, "score": 0.5},
    {"prompt": CHAT, "completion": [{"role": "assistant", "content": TEXT}]},
    {"messages": [*CHAT, {"role": "assistant", "content": TEXT}]},
    {"question": TEXT},
    TrajectoryItem(TEXT, TEXT, 0.5),
    TrajectoryItem(CHAT, TEXT),
    TRAJECTORY,
]


def changed(a, b, path=()):
    """The paths of the values in which two items differ."""
    if isinstance(a, TrajectoryItem | Trajectory):
        a, b = a.to_row(), b.to_row()
    if type(a) is type(b) is dict and a.keys() == b.keys():
        return [p for key in a for p in changed(a[key], b[key], (*path, key))]
    if type(a) is type(b) is list and len(a) == len(b):
        return [
            p for n, (x, y) in enumerate(zip(a, b, strict=True)) for p in changed(x, y, (*path, n))
        ]
    return [] if a == b else [path]


class TestNoise:
    @pytest.mark.parametrize(
        ("item", "where"),
        list(
            zip(
                KINDS,
                [
                    (),
                    ("input",),
                    ("prompt", 1, "content"),
                    ("messages", 1, "content"),
                    ("question",),
                    ("state",),
                    ("state", 1, "content"),
                    ("messages", 1, "content"),
                ],
                strict=True,
            )
        ),
    )
    def test_only_what_the_model_is_shown_changes(self, item, where):
        before = copy.deepcopy(item)
        (noisy,) = augment_add_noise([item], noise_level=0.2)
        different = [path for path in changed(item, noisy) if path != ("id",)]
        assert (different, type(noisy), item) == ([where], type(item), before)

    @pytest.mark.parametrize("item", KINDS)
    def test_no_noise_is_no_change(self, item):
        assert augment_add_noise([item], noise_level=0) == [item]

    @given(st.text(max_size=40), st.integers(0, 5))
    def test_all_else_than_letters_and_digits_stays(self, text, seed):
        (noisy,) = augment_add_noise([text], noise_level=1.0, seed=seed)
        rest = collections.Counter(c for c in text if not c.isalnum())
        assert collections.Counter(c for c in noisy if not c.isalnum()) == rest

    def test_the_level_is_the_share_of_hits(self):
        text = "a1" * 20_000
        (noisy,) = augment_add_noise([text], noise_level=0.1)
        # Drops and doubles change the length by one each, as often as each other: a quarter of the hits each.
        assert abs(len(noisy) - len(text)) < 200
        hits = sum(a == b for a, b in itertools.pairwise(noisy))
        # Each drop and each double leaves two equal neighbours, each swap two pairs of them, each replacement none.
        assert 0.8 < hits / (0.1 * len(text)) < 1.2

    def test_the_noise_of_an_item_depends_on_seed_and_place(self):
        assert augment_add_noise([TEXT] * 2) == augment_add_noise([TEXT] * 2)
        first, second = augment_add_noise([TEXT] * 2)
        assert first != second
        assert augment_add_noise([TEXT]) == [first]
        assert augment_add_noise([TEXT], seed=1) != [first]

    @pytest.mark.parametrize("level", [-0.1, 1.1, float("nan")])
    def test_the_level_is_a_probability(self, level):
        with pytest.raises(ConfigError, match=r"noise_level must be a number in \[0, 1\], got"):
            augment_add_noise([TEXT], noise_level=level)

    @pytest.mark.parametrize(
        "item",
        [
            3,
            {"x": "y"},
            TrajectoryItem([1, 2], "a"),
            {"messages": [{"role": "assistant", "content": "a"}]},
        ],
    )
    def test_an_item_without_text_is_named(self, item):
        with pytest.raises(RecordError, match="item 2: item must"):
            augment_add_noise([TEXT, item])


class TestSwap:
    def test_input_and_output_change_places(self):
        data = [{"input": "a", "output": "b", "id": 7}, {"prompt": "p", "completion": "c"}]
        assert augment_swap_io(data) == [
            {"input": "b", "output": "a", "id": 7},
            {"prompt": "c", "completion": "p"},
        ]
        assert data[0] == {"input": "a", "output": "b", "id": 7}
        assert augment_swap_io(augment_swap_io(data)) == data

    def test_nobody_has_judged_the_other_direction(self):
        data = [
            {"state": 1, "action": 2, "reward": 0.9, "score": 1.0},
            TrajectoryItem("s", "a", 0.9, {"k": 1}),
        ]
        assert augment_swap_io(data) == [
            {"state": 2, "action": 1, "reward": None, "score": None},
            TrajectoryItem("a", "s", None, {"k": 1}),
        ]

    @pytest.mark.parametrize("item", ["text", {"input": "a"}, TRAJECTORY, 3])
    def test_what_has_no_two_sides(self, item):
        with pytest.raises(
            RecordError, match="item 1: item must have an input and an output to be swapped"
        ):
            augment_swap_io([item])


class TestFilter:
    def test_poor_and_unscored_items_are_left_out(self):
        data = [
            {"score": 0.9},
            {"score": 0.7},
            {"score": 0.69},
            {"score": None},
            {"text": "t"},
            "t",
        ]
        data += [TrajectoryItem("s", "a", 0.8), TrajectoryItem("s", "a"), TRAJECTORY]
        assert filter_by_score(data, min_score=0.7) == [*data[:2], data[6], TRAJECTORY]
        assert filter_by_score(data) == filter_by_score(data, 0.7)

    def test_bad_scores(self):
        with pytest.raises(
            RecordError, match="item 2: field 'score' must be a finite number or None, got 'x'"
        ):
            filter_by_score([{"score": 1}, {"score": "x"}])
        with pytest.raises(ConfigError, match="min_score must be a number, got nan"):
            filter_by_score([], min_score=float("nan"))


class TestDeduplicate:
    def test_the_first_of_a_kind_stays(self):
        near = {"input": TEXT + "!", "output": "b"}
        data = [{"input": TEXT, "output": "b"}, near, {"input": "other", "output": "b"}]
        assert deduplicate(data, threshold=0.9) == [data[0], data[2]]
        assert deduplicate(data, threshold=1.0) == data
        assert deduplicate(data) == deduplicate(data, 0.9)

    def test_answers_tell_items_apart(self):
        data = [{"prompt": "p", "completion": "four"}, {"prompt": "p", "completion": "five"}]
        assert deduplicate(data) == data

    def test_bad_items(self):
        with pytest.raises(RecordError, match="item 2: item must be a text"):
            deduplicate(["a", 3])


ratios = (
    st.lists(st.integers(0, 10), min_size=1, max_size=5)
    .filter(any)
    .map(lambda parts: [part / sum(parts) for part in parts])
)


class TestSplit:
    @settings(deadline=None)
    @given(total=st.integers(0, 60), ratios=ratios, seed=st.integers(0, 9))
    def test_every_item_is_in_exactly_one_part(self, total, ratios, seed):
        parts = split_dataset(list(range(total)), ratios, seed=seed)
        assert sorted(itertools.chain(*parts)) == list(range(total))
        assert [len(part) for part in parts] == split_sizes(total, ratios)
        assert all(part == sorted(part) for part in parts)

    @given(total=st.integers(0, 10_000), ratios=ratios)
    def test_sizes_are_within_one_of_the_ratios(self, total, ratios):
        sizes = split_sizes(total, ratios)
        assert sum(sizes) == total
        assert all(abs(size - total * ratio) < 1 for size, ratio in zip(sizes, ratios, strict=True))
        assert all(size == 0 for size, ratio in zip(sizes, ratios, strict=True) if ratio == 0)

    @settings(deadline=None)
    @given(groups=st.lists(st.integers(0, 8), max_size=40), ratios=ratios, seed=st.integers(0, 9))
    def test_a_group_stays_together(self, groups, ratios, seed):
        data = [{"task_id": group, "n": n} for n, group in enumerate(groups)]
        parts = split_dataset(data, ratios, seed=seed, group="task_id")
        assert sorted(item["n"] for part in parts for item in part) == list(range(len(groups)))
        where = collections.defaultdict(set)
        for n, part in enumerate(parts):
            for item in part:
                where[item["task_id"]].add(n)
        assert all(len(found) == 1 for found in where.values())
        assert all(not part for part, ratio in zip(parts, ratios, strict=True) if ratio == 0)

    def test_the_largest_remainder_wins(self):
        assert split_sizes(10, [0.8, 0.1, 0.1]) == [8, 1, 1]
        assert split_sizes(5, [0.5, 0.25, 0.25]) == [3, 1, 1]
        assert split_sizes(3, [0.34, 0.33, 0.33]) == [1, 1, 1]

    def test_groups_fill_the_parts_as_far_as_they_can(self):
        data = [{"g": g} for g in range(20) for _ in range(5)]
        parts = split_dataset(data, [0.8, 0.1, 0.1], group=lambda item: item["g"])
        assert [len(part) for part in parts] == [80, 10, 10]

    def test_a_large_group_is_placed_while_there_is_room(self):
        data = [{"g": min(n, 8)} for n in range(16)]
        for seed in range(10):
            parts = split_dataset(data, [0.5, 0.5], seed=seed, group="g")
            assert [len(part) for part in parts] == [8, 8]

    def test_the_seed_chooses(self):
        data = list(range(100))
        splits = [split_dataset(data, seed=seed) for seed in (0, 0, 1)]
        assert splits[0] == splits[1] != splits[2]
        assert [len(part) for part in splits[0]] == [80, 10, 10]

    def test_an_attribute_names_a_group(self):
        parts = split_dataset([TRAJECTORY] * 10, [0.5, 0.5], group="task_id")
        assert sorted(len(part) for part in parts) == [0, 10]

    @pytest.mark.parametrize(
        "bad", [[0.5, 0.6], [], [1.5, -0.5], [float("nan"), 1.0], [0.3], ["1"], [None, 1]]
    )
    def test_ratios_add_up_to_1(self, bad):
        with pytest.raises(ConfigError, match="ratios must be >= 0 with the sum 1, got"):
            split_dataset([1, 2], bad)

    def test_an_item_without_the_group(self):
        with pytest.raises(RecordError, match="item 2: item must have the group 'g'"):
            split_dataset([{"g": 1}, {"h": 1}], group="g")


@pytest.mark.parametrize(
    "function", [augment_add_noise, augment_swap_io, filter_by_score, deduplicate, split_dataset]
)
@pytest.mark.parametrize("data", ["text", {"input": "a", "output": "b"}])
def test_data_is_a_list(function, data):
    with pytest.raises(ConfigError, match="data must be a list of items, got"):
        function(data)


def test_the_question_after_shown_turns_is_the_one_that_is_changed():
    shown = attrs.evolve(TRAJECTORY, prompt_size=4)
    (changed,) = augment_add_noise([shown], noise_level=0.5)
    assert [a == b for a, b in zip(shown.messages, changed.messages)] == [True, True, True, False]
    (changed,) = augment_add_noise([TRAJECTORY], noise_level=0.5)
    assert [a == b for a, b in zip(shown.messages, changed.messages)] == [True, False, True, True]
