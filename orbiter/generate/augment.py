"""Plain functions on lists of data: add noise, swap input and output, filter, deduplicate, split.

Each returns new lists and leaves the data alone. An item is a text, a dict, a TrajectoryItem or a Trajectory, as
:mod:`orbiter.generate.item` says.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
import string
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from orbiter.checks import check_number, is_number
from orbiter.errors import ConfigError, RecordError
from orbiter.generate.item import SCORES, TEXTS, at_item, pair_of, score_of, text_of, unknown_item
from orbiter.records import Trajectory, TrajectoryItem
from orbiter.similarity import near_duplicates
from orbiter.tasks.streams import item_stream

T = TypeVar("T")


def augment_add_noise(data: Sequence[T], noise_level: float = 0.1, *, seed: int = 0) -> list[T]:
    """Return the data with typing errors in what the model is shown; what it should answer is left as it is.

    Each letter or digit is hit with probability ``noise_level``: dropped, doubled, swapped with its right neighbour, or
    replaced by another of its kind. The noise goes into a text, into the input of a dict, into the state of a
    TrajectoryItem, and into the last user message before the first answer of a chat.

    Args:
        data: Items.
        noise_level: Probability in [0, 1].
        seed: Seed; the noise of an item depends on it and on the item's place alone.

    Raises:
        ConfigError: ``noise_level`` is out of range.
        RecordError: An item has no text to be disturbed.
    """
    check_number("noise_level", noise_level, "[0, 1]")
    out = []
    for index, item in enumerate(_list(data)):
        stream = item_stream(seed, "noise", index)
        change = _Change(functools.partial(_noisy, level=noise_level, stream=stream))
        out.append(at_item(index, change.item, item))
    return out


def augment_swap_io(data: Sequence[T]) -> list[T]:
    """Return the data with input and output swapped, to train the other direction.

    Works on dicts with a known pair of keys and on TrajectoryItems. Nobody has judged the other direction, so the score or
    reward of a swapped item is None.

    Raises:
        RecordError: An item has no input and output. A Trajectory has not: it belongs to a task, whose answer it is.
    """
    return [at_item(index, _swapped, item) for index, item in enumerate(_list(data))]


def filter_by_score(data: Sequence[T], min_score: float = 0.7) -> list[T]:
    """Return the items with a score >= ``min_score``; an item that nobody scored is left out.

    Raises:
        ConfigError: ``min_score`` is NaN.
        RecordError: A score is neither a number nor None.
    """
    check_number("min_score", min_score, "[-inf, inf]", infinite=True)
    scored = ((at_item(index, score_of, item), item) for index, item in enumerate(_list(data)))
    return [item for score, item in scored if score is not None and score >= min_score]


def deduplicate(data: Sequence[T], threshold: float = 0.9) -> list[T]:
    """Return the items without those that nearly repeat an earlier one.

    Args:
        data: Items, in order of preference.
        threshold: Similarity in (0, 1], as :func:`orbiter.similarity.near_duplicates` has it.

    Raises:
        RecordError: The text of an item cannot be found.
    """
    items = _list(data)
    texts = [at_item(index, text_of, item) for index, item in enumerate(items)]
    twins = near_duplicates(texts, threshold=threshold)
    return [item for item, twin in zip(items, twins) if twin is None]


def split_dataset(
    data: Sequence[T],
    ratios: Sequence[float] = (0.8, 0.1, 0.1),
    *,
    seed: int = 0,
    group: str | Callable[[T], Hashable] | None = None,
) -> list[list[T]]:
    """Return one list per ratio; every item is in exactly one of them, chosen at random, in the order of the data.

    Sizes are the ratios of the whole, rounded so that they add up (largest remainder first). With ``group``, items of one group stay
    together, so that no prompt or task leaks from one list into another, and the sizes are as near as the groups allow.

    Args:
        data: Items.
        ratios: Shares, each >= 0, with the sum 1.
        seed: Seed of the choice.
        group: Key or attribute of an item, or a function of it, that names its group.

    Raises:
        ConfigError: The ratios are negative or do not add up to 1.
        RecordError: An item has no such group.
    """
    items = _list(data)
    sizes = split_sizes(len(items), ratios)
    members: dict[Hashable, list[int]] = {}
    for index, item in enumerate(items):
        name = index if group is None else at_item(index, lambda i: _group_of(i, group), item)
        members.setdefault(name, []).append(index)
    groups = list(members.values())
    item_stream(seed, "split").shuffle(groups)
    groups.sort(key=len, reverse=True)  # the largest first, while every list has room
    parts: list[list[int]] = [[] for _ in sizes]
    for indices in groups:
        room = [size - len(part) for size, part in zip(sizes, parts)]
        parts[room.index(max(room))].extend(indices)
    return [[items[index] for index in sorted(part)] for part in parts]


def split_sizes(total: int, ratios: Sequence[float]) -> list[int]:
    """Return whole numbers in the given ratios that add up to ``total``, by the method of the largest remainder."""
    shown = list(ratios)
    fit = all(is_number(ratio) and ratio >= 0 for ratio in shown)
    if not shown or not fit or not math.isclose(sum(shown), 1):
        raise ConfigError(f"ratios must be >= 0 with the sum 1, got {shown!r}")
    shares = [total * ratio for ratio in shown]
    sizes = [math.floor(share) for share in shares]
    by_remainder = sorted(range(len(sizes)), key=lambda i: sizes[i] - shares[i])
    for i in by_remainder[: total - sum(sizes)]:
        sizes[i] += 1
    return sizes


@attrs.frozen
class _Change:
    """A change of the text that a model is shown, wherever an item keeps it."""

    text: Callable[[str], str]

    def item(self, item: Any) -> Any:
        if isinstance(item, str):
            return self.text(item)
        if isinstance(item, TrajectoryItem):
            return attrs.evolve(item, state=self._shown(item.state, item))
        if isinstance(item, Trajectory):
            return attrs.evolve(item, messages=tuple(self._messages(item.messages, item)))
        if isinstance(item, Mapping):
            pair = pair_of(item)
            known = (pair[0],) if pair else ("messages", *TEXTS)
            key = next((key for key in known if key in item), None)
            if key is not None:
                return {**item, key: self._shown(item[key], item)}
        raise unknown_item(item)

    def _shown(self, value: Any, item: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list) and value and all(isinstance(m, Mapping) for m in value):
            return self._messages(value, item)
        raise RecordError(f"item must show the model a text or a chat, got {item!r:.200}")

    def _messages(self, messages: Sequence[Any], item: Any) -> list[Any]:
        def get(message: Any, name: str) -> Any:
            return message.get(name) if isinstance(message, Mapping) else getattr(message, name)

        roles = [get(message, "role") for message in messages]
        size = roles.index("assistant") if "assistant" in roles else len(roles)
        prompt = roles[: len(item.prompt) if isinstance(item, Trajectory) else size]
        last = max((n for n, role in enumerate(prompt) if role == "user"), default=None)
        if last is None or not isinstance(get(messages[last], "content"), str):
            raise RecordError(f"item must have a user message of plain text, got {item!r:.200}")
        old = messages[last]
        text = self.text(get(old, "content"))
        new = (
            {**old, "content": text}
            if isinstance(old, Mapping)
            else attrs.evolve(old, content=text)
        )
        return [*messages[:last], new, *messages[last + 1 :]]


def _noisy(text: str, *, level: float, stream: random.Random) -> str:
    out: list[str] = []
    skip = False
    for char, following in itertools.zip_longest(text, text[1:], fillvalue=""):
        if skip:
            skip = False
        elif not char.isalnum() or stream.random() >= level:
            out.append(char)
        else:
            change = stream.choice(("drop", "double", "swap", "replace"))
            if change == "double":
                out += [char, char]
            elif change == "swap":
                out += [following, char]
                skip = True
            elif change == "replace":
                kind = string.digits if char.isdigit() else string.ascii_letters
                out.append(stream.choice(kind.replace(char, "")))
    return "".join(out)


def _swapped(item: Any) -> Any:
    if isinstance(item, TrajectoryItem):
        return attrs.evolve(item, state=item.action, action=item.state, reward=None)
    pair = pair_of(item) if isinstance(item, Mapping) else None
    if pair is None:
        raise RecordError(
            f"item must have an input and an output to be swapped, got {item!r:.200}",
            hint="a TrajectoryItem, or a dict with input/output, prompt/completion, state/action, ...",
        )
    source, target = pair
    unjudged = {key: None for key in SCORES if key in item}
    return {**item, source: item[target], target: item[source], **unjudged}


def _group_of(item: Any, group: str | Callable[[Any], Hashable]) -> Hashable:
    if callable(group):
        return group(item)
    if isinstance(item, Mapping) and group in item:
        return item[group]  # type: ignore[no-any-return]
    if not isinstance(item, Mapping) and hasattr(item, group):
        return getattr(item, group)  # type: ignore[no-any-return]
    raise RecordError(f"item must have the group {group!r}, got {item!r:.200}")


def _list(data: Sequence[T]) -> list[T]:
    if isinstance(data, str | Mapping):
        raise ConfigError(f"data must be a list of items, got {data!r:.200}")
    return list(data)
