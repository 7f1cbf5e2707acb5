"""Reach a number: ``make 24 from 3 5 6 8:`` -> ``(3+5)*(8-5)`` or any other right expression."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from random import Random

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError
from orbiter.records import Task
from orbiter.tasks.countdown_probes import countdown_probes
from orbiter.tasks.countdown_solver import solve
from orbiter.tasks.environment import Environment, Probe
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
        numbers, target = _read(task)
        return solve(numbers, target)

    def probes(self, task: Task) -> Iterator[Probe]:
        """Yield the mistakes that checkers of expressions let through, and other writings of a right answer."""
        numbers, target = _read(task)
        return countdown_probes(numbers, target)

    def verifier(self) -> str:
        """Return ``countdown``."""
        return "countdown"

    def _target(self, numbers: Sequence[int], stream: Random) -> int:
        for _ in range(200):
            target = _random_value(numbers, stream)
            if 0 < target <= self.max_target and target not in numbers:
                return target
        return stream.choice(numbers)  # a solvable task all the same, if an easy one


def _read(task: Task) -> tuple[list[int], int]:
    """Return the numbers and the target that a prompt gives."""
    match = _PROMPT.fullmatch(task.prompt)
    if match is None:
        raise ConfigError(f"prompt must be a countdown prompt, got {task.prompt!r}")
    return [int(n) for n in match[2].split()], int(match[1])


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
