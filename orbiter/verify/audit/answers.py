"""Answers of known label, and what they are made from: an environment's own demonstrations."""

from __future__ import annotations

import random
from collections.abc import Iterator

from attrs import frozen

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError, user_code
from orbiter.records import Task, Trajectory
from orbiter.tasks.environment import Environment, demonstration_of
from orbiter.verify.answer import answered


@frozen
class LabelledAnswer:
    """An answer that is known to be right or wrong.

    Args:
        task: The task.
        answer: The answer: text, or a whole trajectory.
        correct: Whether it is right.
        family: What kind of answer it is; an audit counts each family apart.
    """

    task: Task
    answer: str | Trajectory
    correct: bool
    family: str = "labelled"

    @property
    def trajectory(self) -> Trajectory:
        """The answer as an unscored trajectory."""
        if isinstance(self.answer, Trajectory):
            return self.answer
        return answered(self.task, self.answer)


def demonstrated(environment: Environment, *, count: int, seed: int) -> list[tuple[Task, str]]:
    """Return the first tasks of a stream that the environment demonstrates, with the demonstrations.

    Args:
        environment: Where they come from.
        count: Tasks that are looked at, from 1 on; a smaller environment gives all it has.
        seed: Selects the stream.

    Raises:
        ConfigError: It demonstrates none of them.
        UserCodeError: It raised, or demonstrated something else than a text.
    """
    check_whole_number("count", count, low=1)
    if environment.size is not None:
        count = min(count, environment.size)
    with user_code(f"environment {environment.name!r}", "task"):
        tasks = [environment.task(index, seed=seed) for index in range(count)]
    answers = ((task, demonstration_of(environment, task)) for task in tasks)
    shown = [(task, answer) for task, answer in answers if answer is not None]
    if not shown:
        raise ConfigError(
            f"environment {environment.name!r} must demonstrate right answers to be audited with, "
            f"got none for {count} tasks",
            hint="implement demonstrate(task), audit with labelled answers of your own, or, in a recipe, turn the audit off "
            "with evaluate.audit=0",
        )
    return shown


def corruptions(
    answer: str, stream: random.Random, *, chars: str | None = None, tries: int = 16
) -> Iterator[str]:
    """Yield texts that are one edit away from ``answer``, and never ``answer`` itself.

    Args:
        answer: What is edited.
        stream: Where the choice of edits comes from.
        chars: Characters to put in; default: those of the answer, and digits if it has any.
        tries: Most texts; edits that change nothing use up a try.
    """
    alphabet = sorted(set(chars or answer or "?"))
    if chars is None and any(c.isdigit() for c in answer):
        alphabet = sorted({*alphabet, *"0123456789"})
    for _ in range(tries):
        edit = stream.choice(("delete", "double", "swap", "replace"))
        place = stream.randrange(len(answer)) if answer else 0
        before, here, after = answer[:place], answer[place : place + 1], answer[place + 1 :]
        if edit == "delete":
            text = before + after
        elif edit == "double":
            text = before + here + here + after
        elif edit == "swap":
            text = before + after[:1] + here + after[1:]
        else:
            text = before + stream.choice(alphabet) + after
        if text != answer:
            yield text
