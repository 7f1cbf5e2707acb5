"""The Environment ABC: a source of tasks, and the verifier that judges answers to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from attrs import frozen

from orbiter.convert import show
from orbiter.errors import UserCodeError, user_code
from orbiter.records import Message, Task
from orbiter.tasks.toolbox import MakeToolbox, Toolbox

if TYPE_CHECKING:
    from orbiter.verify.verifier import Verifier


@frozen
class Probe:
    """An answer whose label is certain, to audit verifiers with.

    Args:
        family: What kind of answer it is, in a few words: ``number used twice``.
        answer: The text of the answer.
        correct: Whether it is right.
    """

    family: str
    answer: str
    correct: bool


class Environment(ABC):
    """A source of tasks, numbered from 0.

    A subclass that a recipe names as ``my_file.py:Doubling``:

        class Doubling(Environment):
            name = "doubling"

            def task(self, index: int, *, seed: int) -> Task:
                number = 10 + index
                return self.make_task(index, f"double {number}", answer=str(2 * number))

    Contract: ``task(index, seed=seed)`` depends on its arguments and on the constructor's alone, so that the same
    (env, seed, index) gives the same task and id for ever. It is called from any process, in any order, many times. Tasks with
    different prompts have different ids, whatever their seeds: where the seed changes the prompt, the id says the seed or, better,
    what the prompt asks. Draw from :func:`orbiter.tasks.item_stream` to have a random stream per task.
    """

    name: str
    """Name of the environment, written into every row."""

    size: int | None = None
    """How many tasks there are, or None if they never end. ``task`` is called with 0 <= index < size."""

    chars: str | None = None
    """Characters that prompts and answers use, so that a small local model can be given just these; None if any."""

    @abstractmethod
    def task(self, index: int, *, seed: int) -> Task:
        """Return task number ``index`` of the stream that ``seed`` selects."""

    def demonstrate(self, task: Task) -> str | None:
        """Return a right answer as the policy should write it, or None if the environment knows none.

        The default is the task's reference answer, if that is text. The scripted policy asks with a task that has no reference
        answer, so that an environment which can should answer from the prompt or the id.
        """
        return task.answer if isinstance(task.answer, str) else None

    def verifier(self) -> Verifier | str:
        """Return the verifier of these tasks, or its registered name; the default compares exactly."""
        return "exact"

    def toolbox(self) -> Toolbox | None:
        """Return fresh tools for one answer to a task, or None where answers are written without any."""
        return None

    def probes(self, task: Task) -> Iterable[Probe]:  # noqa: ARG002
        """Return answers to the task that test a verifier where only this environment knows to, beside the usual probes.

        At most one right and one wrong answer of a family, each certain: what might be otherwise is left out. The default gives none.
        """
        return ()

    def make_task(
        self, index: int | str, prompt: str, *, answer: object = None, **metadata: object
    ) -> Task:
        """Return a task with one user message; its id is ``name:index``."""
        return Task(
            env=self.name,
            task_id=f"{self.name}:{index}",
            messages=(Message("user", prompt),),
            answer=answer,
            metadata=metadata,
        )


def demonstration_of(environment: Environment, task: Task) -> str | None:
    """Return the environment's own answer to a task, or None where it knows none.

    Raises:
        UserCodeError: ``demonstrate`` raised, or returned neither a text nor None.
    """
    who = f"environment {environment.name!r}"
    with user_code(who, "demonstrate"):
        answer: object = environment.demonstrate(task)
    if answer is not None and not isinstance(answer, str):
        raise UserCodeError(
            f"demonstrate of {who} must return a text or None, got {show(answer)} for task {task.task_id!r}"
        )
    return answer


def toolbox_of(environment: Environment) -> MakeToolbox | None:
    """Return what makes the tools of one answer, or None where the environment has none."""
    with user_code(f"environment {environment.name!r}", "toolbox"):
        if environment.toolbox() is None:
            return None
    # One that made a toolbox makes one each time.
    return cast(MakeToolbox, environment.toolbox)
