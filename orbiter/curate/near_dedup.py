"""Near-duplicates: of rows that say nearly the same, the first stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from orbiter.errors import ConfigError
from orbiter.records import Task, Trajectory
from orbiter.similarity import near_duplicates

T = TypeVar("T")


@frozen(kw_only=True)
class Deduplicated(Generic[T]):
    """What deduplication kept and dropped.

    Args:
        kept: The kept items, in the order they were given.
        dropped: (index, of_index) of each dropped item: its own place, and that of the kept item that it repeats.
    """

    kept: tuple[T, ...]
    dropped: tuple[tuple[int, int], ...]


def text_of(item: object) -> str:
    """Return the text that an item is compared by: a text itself, or all that a conversation says.

    Raises:
        ConfigError: The item is neither a text, a Task nor a Trajectory.
    """
    if isinstance(item, str):
        return item
    if isinstance(item, Task | Trajectory):
        return "\n".join(message.text for message in item.messages)
    raise ConfigError(
        f"item must be a text, a Task or a Trajectory, got {type(item).__name__}",
        hint="give key: a function from the item to the text that it is compared by",
    )


def near_dedup(
    items: Sequence[T], *, threshold: float, key: Callable[[T], str] = text_of, seed: int = 0
) -> Deduplicated[T]:
    """Return the items without those that nearly repeat an earlier kept one.

    Two items are near-duplicates if the Jaccard similarity of their texts' character 5-grams is at least ``threshold``. Locality-
    sensitive hashing proposes, the exact similarity decides: nothing is dropped below the threshold, and a pair at it is missed
    with probability below 0.001. See :func:`orbiter.similarity.near_duplicates`.

    Args:
        items: In order of preference: the first of its kind stays.
        threshold: Least similarity of a duplicate, in (0, 1].
        key: The text of an item.
        seed: Seed of the hash functions that propose candidates.

    Raises:
        ConfigError: The threshold is out of range, or an item has no text.
    """
    texts = [key(item) for item in items]
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise ConfigError(f"key of item {index} must be a text, got {text!r}")
    original = near_duplicates(texts, threshold=threshold, seed=seed)
    return Deduplicated(
        kept=tuple(item for item, of in zip(items, original) if of is None),
        dropped=tuple((index, of) for index, of in enumerate(original) if of is not None),
    )
