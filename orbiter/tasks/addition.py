"""Add two numbers: ``123+456=`` -> ``579``."""

from __future__ import annotations

from orbiter.checks import check_bool, check_whole_number
from orbiter.records import Task
from orbiter.tasks.environment import Environment
from orbiter.tasks.streams import item_stream


class Addition(Environment):
    """Add two whole numbers.

    Args:
        digits: Each number is drawn from [0, 10**digits - 1].
        reverse: Write the answer with its units first, the order in which carries arise.
    """

    name = "addition"
    chars = "+0123456789="

    def __init__(self, *, digits: int = 3, reverse: bool = False) -> None:
        self.digits = check_whole_number("digits", digits, low=1, high=100)
        self.reverse = check_bool("reverse", reverse)

    def task(self, index: int, *, seed: int) -> Task:
        """Return a task whose id is the sum that is asked."""
        stream = item_stream(self.name, self.digits, seed, index)
        left, right = (stream.randrange(10**self.digits) for _ in range(2))
        return self.make_task(
            f"{left}+{right}", f"{left}+{right}=", answer=self._write(left + right)
        )

    def demonstrate(self, task: Task) -> str:
        """Return the sum, read from the prompt."""
        left, _, right = task.prompt.removesuffix("=").partition("+")
        return self._write(int(left) + int(right))

    def _write(self, number: int) -> str:
        return str(number)[::-1] if self.reverse else str(number)
