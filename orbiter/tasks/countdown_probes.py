"""Answers of certain label to a countdown task: the mistakes that checkers of expressions have let through.

Each is right or wrong by the way it is made, so that no checker is needed to label it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from math import floor

from orbiter.tasks.countdown_solver import search, solve
from orbiter.tasks.environment import Probe

_MOST_SEARCHED = 4
"""Numbers that a search for a wrong value looks at: of more, it would take seconds where there is none."""


def countdown_probes(numbers: Sequence[int], target: int) -> Iterator[Probe]:
    """Yield probes of a task.

    Args:
        numbers: The given numbers.
        target: The value that is asked for.
    """
    gold = solve(numbers, target)
    if gold is None:
        return
    few = sorted(numbers)[:_MOST_SEARCHED]
    # The value is right in both, so that only the use of numbers tells.
    yield Probe("unlisted number", _with_unlisted(numbers, target), False)
    yield Probe("number used twice", f"{gold}{_surplus(numbers, gold)}", False)
    truncated = search(few, lambda value: value != target and floor(value) == target)
    if truncated is not None:
        yield Probe("value after int()", truncated, False)
    beside = solve(few, target + 1) or solve(few, target - 1)
    if beside is not None:
        yield Probe("wrong by one", beside, False)
        yield Probe("hedged", f"{gold} or {beside}", False)
    yield Probe("wrong equation", f"{gold} = {target + 1}", False)
    yield Probe("dangling sign", f"{gold}+", False)
    spaced = re.sub(r"([-+*/])", r" \1 ", gold)
    yield Probe("format variant", f" {spaced} = {target}\n", True)
    other = solve(sorted(numbers, reverse=True), target)
    if other is not None and other != gold:
        yield Probe("another right answer", other, True)


def _with_unlisted(numbers: Sequence[int], target: int) -> str:
    """Return an expression with the target's value that uses a number which is not given."""
    if target not in numbers:
        return str(target)
    unlisted = next(n for n in range(1, len(numbers) + 2) if n not in numbers)
    return f"{target}*{unlisted}/{unlisted}"


def _surplus(numbers: Sequence[int], gold: str) -> str:
    """Return ``+n-n``, as often as it takes for n to be used more often than it is given."""
    used = Counter(int(n) for n in re.findall(r"\d+", gold))
    number = max(used, key=lambda n: used[n] - numbers.count(n))
    pairs = (numbers.count(number) - used[number]) // 2 + 1
    return f"+{number}-{number}" * pairs
