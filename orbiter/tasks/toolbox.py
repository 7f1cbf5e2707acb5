"""The Toolbox ABC: tools with a state, which a model calls while it answers a task."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from orbiter.records import Task


class Toolbox(ABC):
    """The tools of one answer, with what they change.

    A small complete subclass, in which a number is to be guessed:

        class Guessing(Toolbox):
            def reset(self, task: Task) -> None:
                self.secret, self.found = int(task.answer), False

            def guess(self, number: int) -> str:
                \"\"\"Guess the number.

                Args:
                    number: The guess.
                \"\"\"
                self.found = number == self.secret
                return "right" if self.found else "higher" if number < self.secret else "lower"

    Contract: every public method but ``reset`` is a tool, and may be a coroutine. Its name, type hints and docstring are what the model is
    told, so each parameter has a type and a line under ``Args:``. It is called with what a model wrote: any value that JSON has, of any
    type, which it must take for untrusted. What it returns is shown to the model as text; what it raises is shown as an error, and the
    model goes on. An instance serves one answer at a time, and ``reset`` is called before each; instances share nothing.

    A reward whose function has a parameter ``toolbox`` gets the instance as the answer left it.
    """  # noqa: D214  # the tool's own docstring

    @abstractmethod
    def reset(self, task: Task) -> None:
        """Begin the answer to this task, as if nothing had been before."""


MakeToolbox = Callable[[], Toolbox]
"""Makes a fresh toolbox: a subclass, or an environment's ``toolbox``."""


def tools_of(toolbox: Toolbox) -> Mapping[str, Callable[..., Any]]:
    """Return the tools of a toolbox by name, in the order of their definitions."""
    defined = [name for cls in reversed(type(toolbox).__mro__) for name in vars(cls)]
    return {
        name: getattr(toolbox, name)
        for name in dict.fromkeys(defined)
        if not name.startswith("_")
        and name != "reset"
        and inspect.isfunction(getattr(type(toolbox), name))
    }
