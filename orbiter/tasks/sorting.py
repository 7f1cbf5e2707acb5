"""Sort digits: ``sort 31415926:`` -> ``11234569``."""

from __future__ import annotations

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError
from orbiter.records import Task
from orbiter.tasks.environment import Environment
from orbiter.tasks.streams import item_stream


class Sorting(Environment):
    """Sort the digits of a string in ascending order.

    Args:
        length: How many digits.
        low: Smallest digit that is drawn.
        high: Largest digit that is drawn.
    """

    name = "sorting"

    def __init__(self, *, length: int = 8, low: int = 0, high: int = 9) -> None:
        self.length = check_whole_number("length", length, low=1, high=1000)
        self.low = check_whole_number("low", low, low=0, high=9)
        self.high = check_whole_number("high", high, low=0, high=9)
        if low > high:
            raise ConfigError(f"low must be at most high, got low={low} and high={high}")
        self.chars = "".join(sorted(set("sort :" + "".join(map(str, range(low, high + 1))))))

    def task(self, index: int, *, seed: int) -> Task:
        """Return a task whose id is the string to be sorted."""
        stream = item_stream(self.name, self.length, self.low, self.high, seed, index)
        digits = "".join(map(str, stream.choices(range(self.low, self.high + 1), k=self.length)))
        return self.make_task(digits, f"sort {digits}:", answer="".join(sorted(digits)))

    def demonstrate(self, task: Task) -> str:
        """Return the sorted digits, read from the prompt."""
        return "".join(sorted(task.prompt.removeprefix("sort ").removesuffix(":")))
