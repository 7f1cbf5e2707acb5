"""Reach a number: ``make 24 from 3 5 6 8:`` -> ``(3+5)*(8-5)`` or any other right expression."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random

from attrs import frozen

from orbiter.errors import ConfigError
from orbiter.records import Task
from orbiter.tasks.environment import Environment
from orbiter.tasks.options import check_whole_number
from orbiter.tasks.streams import item_stream

_PROMPT = re.compile(r"make (\d+) from (\d+(?: \d+)*):")


class Countdown(Environment):
    """Make a target from numbers, each used at most once, with ``+ - * /`` and parentheses.

    Every task has a solution: the target is the value of an expression over its numbers. The numbers are shown in ascending
    order, so that one task has one prompt. ``task.answer`` is ``{"target": ..., "numbers": [...]}``; many expressions are
    right, and the verifier ``countdown`` judges them by their exact value.

    Args:
        numbers: How many numbers, in [2, 6].
        low: Smallest number that is drawn.
        high: Largest number that is drawn.
        max_target: Largest target; at least ``high``.
    """

    name = "countdown"
    chars = "".join(sorted(set("make from :0123456789+-*/()")))

    def __init__(
        self, *, numbers: int = 4, low: int = 1, high: int = 9, max_target: int = 100
    ) -> None:
        self.numbers = check_whole_number("numbers", numbers, low=2, high=6)
        self.high = check_whole_number("high", high, low=1, high=10_000)
        self.low = check_whole_number("low", low, low=1, high=high)
        self.max_target = check_whole_number("max_target", max_target, low=high, high=1_000_000)

    def task(self, index: int, *, seed: int) -> Task:
        """Return a task whose id is the target and the numbers."""
        options = (self.numbers, self.low, self.high, self.max_target)
        stream = item_stream(self.name, *options, seed, index)
        drawn = sorted(stream.choices(range(self.low, self.high + 1), k=self.numbers))
        target = self._target(drawn, stream)
        shown = " ".join(map(str, drawn))
        return self.make_task(
            f"{target}={shown.replace(' ', ',')}",
            f"make {target} from {shown}:",
            answer={"target": target, "numbers": drawn},
        )

    def demonstrate(self, task: Task) -> str | None:
        """Return an expression with the target's value, found from the prompt; None if there is none."""
        match = _PROMPT.fullmatch(task.prompt)
        if match is None:
            raise ConfigError(f"prompt must be a countdown prompt, got {task.prompt!r}")
        return solve([int(n) for n in match[2].split()], int(match[1]))

    def verifier(self) -> str:
        """Return ``countdown``."""
        return "countdown"

    def _target(self, numbers: Sequence[int], stream: Random) -> int:
        for _ in range(200):
            target = _random_value(numbers, stream)
            if 0 < target <= self.max_target and target not in numbers:
                return target
        return stream.choice(numbers)  # a solvable task all the same, if an easy one


def _random_value(numbers: Sequence[int], stream: Random) -> int:
    """Return the value of a random expression that uses every number and stays within whole numbers."""
    left = list(numbers)
    while len(left) > 1:
        a, b = (left.pop(stream.randrange(len(left))) for _ in range(2))
        values = [a + b, a * b]
        if a >= b:
            values.append(a - b)
        if b and a % b == 0:
            values.append(a // b)
        left.append(stream.choice(values))
    return left[0]


@frozen
class _Term:
    """A value, the text that has it, and the precedence of the text's outermost operator."""

    value: int | Fraction
    text: str
    precedence: int = 3


def solve(numbers: Sequence[int], target: int) -> str | None:
    """Return an expression over some of the numbers, each at most once, whose value is ``target``; None if there is none.

    Whole intermediate results are tried first, then fractions. The same arguments always give the same expression.
    """
    terms = tuple(_Term(n, str(n)) for n in numbers)
    for fractions in (False, True):
        found = _search(terms, target, fractions, set())
        if found is not None:
            return found
    return None


def _search(
    terms: tuple[_Term, ...], target: int, fractions: bool, visited: set[tuple[int | Fraction, ...]]
) -> str | None:
    for term in terms:
        if term.value == target:
            return term.text
    state = tuple(sorted(term.value for term in terms))
    if state in visited:
        return None
    visited.add(state)
    for i, a in enumerate(terms):
        for j, b in enumerate(terms):
            if i == j:
                continue
            rest = tuple(term for k, term in enumerate(terms) if k not in (i, j))
            for joined in _joined(a, b, fractions, commutes=i < j):
                if found := _search((*rest, joined), target, fractions, visited):
                    return found
    return None


def _joined(a: _Term, b: _Term, fractions: bool, *, commutes: bool) -> Iterator[_Term]:
    if commutes:
        yield _Term(a.value + b.value, f"{a.text}+{b.text}", 1)
        yield _Term(a.value * b.value, f"{_in(a, 2)}*{_in(b, 2)}", 2)
    yield _Term(a.value - b.value, f"{a.text}-{_in(b, 2)}", 1)
    if b.value:
        quotient = Fraction(a.value) / b.value
        if quotient.denominator == 1:
            yield _Term(int(quotient), f"{_in(a, 2)}/{_in(b, 3)}", 2)
        elif fractions:
            yield _Term(quotient, f"{_in(a, 2)}/{_in(b, 3)}", 2)


def _in(term: _Term, precedence: int) -> str:
    """Return the text of a term, in parentheses if its outermost operator binds less than asked."""
    return term.text if term.precedence >= precedence else f"({term.text})"
