"""Reverse a string: ``reverse abcdefgh:`` -> ``hgfedcba``."""

from __future__ import annotations

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError
from orbiter.records import Task
from orbiter.tasks.environment import Environment
from orbiter.tasks.streams import item_stream


class Reversal(Environment):
    """Write a string backwards.

    Args:
        length: How many characters.
        alphabet: The characters that are drawn: distinct, at least two, no white space and no colon.
    """

    name = "reversal"

    def __init__(self, *, length: int = 8, alphabet: str = "abcdefghij") -> None:
        self.length = check_whole_number("length", length, low=1, high=1000)
        distinct = isinstance(alphabet, str) and len(set(alphabet)) == len(alphabet) >= 2
        if not distinct or any(c.isspace() or c == ":" for c in alphabet):
            raise ConfigError(
                "alphabet must be two or more distinct characters without white space and colon, "
                f"got {alphabet!r}"
            )
        self.alphabet = alphabet
        self.chars = "".join(sorted(set("reverse :" + alphabet)))

    def task(self, index: int, *, seed: int) -> Task:
        """Return a task whose id is the string to be reversed."""
        stream = item_stream(self.name, self.length, self.alphabet, seed, index)
        text = "".join(stream.choices(self.alphabet, k=self.length))
        return self.make_task(text, f"reverse {text}:", answer=text[::-1])

    def demonstrate(self, task: Task) -> str:
        """Return the reversed string, read from the prompt."""
        return task.prompt.removeprefix("reverse ").removesuffix(":")[::-1]
