import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import split_rows
from orbiter.curate.splits import _bounds
from orbiter.errors import ConfigError
from orbiter.records import Message, Trajectory


def row(task_id, answer="2", env="sums"):
    return Trajectory((Message("user", "q"), Message("assistant", answer)), env, task_id, None)


rows_of_tasks = st.lists(
    st.builds(row, st.integers(0, 30).map(str), st.sampled_from("ab")), max_size=40
)
ratios = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 5)).map(
    lambda parts: tuple(p / sum(parts) for p in parts)
)


def tasks(part):
    return {(r.env, r.task_id) for r in part}


@given(rows_of_tasks, ratios, st.integers(0, 5))
def test_every_row_is_in_one_split_and_no_task_in_two(rows, shares, seed):
    parts = split_rows(rows, ratios=shares, seed=seed)
    split = (*parts.train, *parts.validation, *parts.test)
    assert sorted(split, key=str) == sorted(rows, key=str)
    assert not tasks(parts.train) & tasks(parts.validation)
    assert not tasks(parts.train) & tasks(parts.test)
    assert not tasks(parts.validation) & tasks(parts.test)


@given(rows_of_tasks, rows_of_tasks)
def test_added_rows_move_no_other(rows, more):
    before, after = split_rows(rows), split_rows(rows + more)
    assert before.train == after.train[: len(before.train)]
    assert before.test == after.test[: len(before.test)]


def test_sizes_are_near_the_ratios():
    parts = split_rows([row(str(i)) for i in range(5000)], ratios=(0.7, 0.2, 0.1), seed=1)
    sizes = [len(p) for p in (parts.train, parts.validation, parts.test)]
    # Four standard deviations of a binomial count.
    for size, share in zip(sizes, (0.7, 0.2, 0.1)):
        assert abs(size - 5000 * share) < 4 * (5000 * share * (1 - share)) ** 0.5


def test_split_is_the_same_for_ever():
    parts = split_rows([row(str(i)) for i in range(12)], ratios=(0.5, 0.25, 0.25), seed=7)
    assert [r.task_id for r in parts.validation] == ["6", "10", "11"]
    assert [r.task_id for r in parts.test] == ["0", "4", "8"]


def test_seeds_make_different_splits():
    rows = [row(str(i)) for i in range(50)]
    assert split_rows(rows, seed=0) != split_rows(rows, seed=1)


@pytest.mark.parametrize("shares", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.9, 0.1, 0)])
def test_split_of_ratio_zero_is_empty(shares):
    parts = split_rows([row(str(i)) for i in range(300)], ratios=shares)
    for part, share in zip((parts.train, parts.validation, parts.test), shares):
        assert bool(part) == bool(share)


@pytest.mark.parametrize(
    ("shares", "bounds"),
    [
        ((1 - 5e-10, 0, 0), [1.0, 1.0]),
        ((0.25, 0.75 - 5e-10, 0), [0.25, 1.0]),
        ((0.25, 0.5, 0.25), [0.25, 0.75]),
        ((0, 0, 1), [0, 0]),
    ],
)
def test_rounding_opens_no_split_of_ratio_zero(shares, bounds):
    assert _bounds(shares) == bounds


def test_own_groups():
    parts = split_rows(list(range(100)), ratios=(0.5, 0.25, 0.25), group=lambda n: n % 10)
    for part in (parts.train, parts.validation, parts.test):
        assert len(part) == 10 * len({n % 10 for n in part})


@pytest.mark.parametrize(
    "shares", [(0.8, 0.1), (0.8, 0.1, 0.2), (1.1, -0.1, 0.0), (True, 0, 0), ("1", 0, 0)]
)
def test_bad_ratios_are_errors(shares):
    with pytest.raises(ConfigError, match="ratios must"):
        split_rows([], ratios=shares)


def test_row_without_a_task_is_an_error():
    with pytest.raises(ConfigError, match="row must have an env and a task_id, got 'sums' and ''"):
        split_rows([row("")])
    with pytest.raises(ConfigError, match="row must have an env and a task_id, got None and None"):
        split_rows(["text"])
    with pytest.raises(ConfigError, match="group must be a text, an integer or a tuple"):
        split_rows([1.5], group=lambda n: n)
