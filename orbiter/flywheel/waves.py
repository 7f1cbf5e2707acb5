"""Waves: which attempts a rollout asks for, and when; a value that is given to a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import frozen

from orbiter.flywheel.allocation import Allocator
from orbiter.records import Outcome, Task

Wave = Sequence[tuple[Task, int]]
"""Attempts that are asked for together: a task, and the number of the attempt at it."""


class Waves(ABC):
    """Says which attempts a rollout asks for; each wave may depend on the outcomes of those before it, and on nothing else.

    A small complete subclass:

        class OnceEach(Waves):
            def most(self, tasks):
                return len(tasks)

            def over(self, tasks, outcome_of):
                yield [(task, 0) for task in tasks]

    Contract: the attempts at a task are numbered from 0 without gaps, and none comes twice. The same outcomes give the same waves, so that
    a rollout which is gone on with asks for the same ones.
    """

    @abstractmethod
    def most(self, tasks: Sequence[Task]) -> int:
        """Return how many attempts there are at most."""

    @abstractmethod
    def over(
        self, tasks: Sequence[Task], outcome_of: Callable[[Task, int], Outcome]
    ) -> Iterator[Wave]:
        """Yield the waves; ``outcome_of`` knows the outcomes of all attempts that were yielded before."""


@frozen
class UniformWaves(Waves):
    """Ask every task so many times, all at once.

    Args:
        samples: Attempts at each task.
    """

    samples: int

    def most(self, tasks: Sequence[Task]) -> int:
        """Return the number of attempts."""
        return len(tasks) * self.samples

    def over(
        self,
        tasks: Sequence[Task],
        outcome_of: Callable[[Task, int], Outcome],  # noqa: ARG002
    ) -> Iterator[Wave]:
        """Yield one wave."""
        yield [(task, n) for task in tasks for n in range(self.samples)]


@frozen
class AdaptiveWaves(Waves):
    """Ask a task until it has so many survivors, and spend what that saves where they are likelier: :mod:`orbiter.flywheel.allocation`.

    Args:
        samples: Attempts at each task that are paid for.
        target_survivors: A task with so many passes is done.
    """

    samples: int
    target_survivors: int

    def most(self, tasks: Sequence[Task]) -> int:
        """Return the budget."""
        return len(tasks) * self.samples

    def over(
        self, tasks: Sequence[Task], outcome_of: Callable[[Task, int], Outcome]
    ) -> Iterator[Wave]:
        """Yield waves until every task is done, or the budget is spent."""
        allocator = Allocator(
            tasks=len(tasks),
            samples_per_task=self.samples,
            target_survivors=self.target_survivors,
        )
        while wave := allocator.next_wave():
            yield [(tasks[index], attempt) for index, attempt in wave]
            for index, attempt in wave:
                allocator.record(index, attempt, outcome_of(tasks[index], attempt))


@frozen
class CountedWaves(Waves):
    """Ask each task as often as is said of it, all at once.

    Args:
        counts: Attempts by (env, task_id), each >= 1.
    """

    counts: Mapping[tuple[str, str], int]

    def most(self, tasks: Sequence[Task]) -> int:
        """Return the number of attempts."""
        return sum(self.counts[task.env, task.task_id] for task in tasks)

    def over(
        self,
        tasks: Sequence[Task],
        outcome_of: Callable[[Task, int], Outcome],  # noqa: ARG002
    ) -> Iterator[Wave]:
        """Yield one wave."""
        yield [(task, n) for task in tasks for n in range(self.counts[task.env, task.task_id])]
