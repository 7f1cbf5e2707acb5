"""Train, validation and test sets in which no task is in two."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

from attrs import frozen

from orbiter.errors import ConfigError
from orbiter.tasks.streams import item_seed

T = TypeVar("T")


@frozen(kw_only=True)
class Splits(Generic[T]):
    """Rows by split, each in the order they were given."""

    train: tuple[T, ...]
    validation: tuple[T, ...]
    test: tuple[T, ...]


def task_of(row: Any) -> tuple[str, str]:
    """Return (env, task_id) of a record.

    Raises:
        ConfigError: It has no task_id, so nothing says which rows belong together.
    """
    env, task_id = getattr(row, "env", None), getattr(row, "task_id", None)
    if not isinstance(env, str) or not isinstance(task_id, str) or not task_id:
        raise ConfigError(
            f"row must have an env and a task_id, got {env!r} and {task_id!r}",
            hint="give group: a function from the row to the texts that name its group",
        )
    return env, task_id


def split_rows(
    rows: Iterable[T],
    *,
    ratios: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    group: Callable[[T], Hashable] = task_of,
) -> Splits[T]:
    """Return the rows in three splits, all rows of a group in the same one.

    A group's split depends on its name and the seed alone, so rows that are added later move no other row. The sizes are
    therefore those of ``ratios`` in expectation only.

    Args:
        rows: Records with env and task_id, or anything with ``group``.
        ratios: Shares of train, validation and test; each >= 0, their sum 1.
        seed: Another seed makes another, independent split.
        group: Name of a row's group: a text, an integer or a tuple of them.

    Raises:
        ConfigError: The ratios do not sum to 1, or a row has no group.
    """
    bounds = _bounds(ratios)
    parts: tuple[list[T], list[T], list[T]] = ([], [], [])
    for row in rows:
        parts[bisect_right(bounds, _position(group(row), seed))].append(row)
    return Splits(train=tuple(parts[0]), validation=tuple(parts[1]), test=tuple(parts[2]))


def _bounds(ratios: Sequence[float]) -> list[float]:
    """Return where validation and test begin in [0, 1]."""
    numbers = [r for r in ratios if isinstance(r, int | float) and not isinstance(r, bool)]
    if len(ratios) != 3 or len(numbers) != 3 or not all(0 <= r <= 1 for r in numbers):
        raise ConfigError(f"ratios must be three numbers in [0, 1], got {ratios!r}")
    if not math.isclose(math.fsum(numbers), 1.0, abs_tol=1e-9):
        raise ConfigError(
            f"ratios must sum to 1, got {tuple(ratios)!r} with sum {math.fsum(numbers)}"
        )
    first, second, _ = accumulate(numbers)
    # A sum that rounding left short of 1 would open a third split whose ratio is 0.
    return [first if numbers[1] or numbers[2] else 1.0, second if numbers[2] else 1.0]


def _position(name: Hashable, seed: int) -> float:
    """Return a number in [0, 1) drawn by hash for the group."""
    parts = name if isinstance(name, tuple) else (name,)
    for part in parts:
        if not isinstance(part, str | int):
            raise ConfigError(f"group must be a text, an integer or a tuple of them, got {name!r}")
    return (item_seed("split", seed, *parts) >> 10) / 2.0**53
