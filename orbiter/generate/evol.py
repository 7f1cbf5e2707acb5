"""Evol-Instruct: instructions made harder and wider, step by step (Xu et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from attrs import define, field

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError, did_you_mean
from orbiter.generate.instructions import repeated
from orbiter.generate.proposals import Dropped, Proposed
from orbiter.generate.writing import Order, WritingSynthesiser
from orbiter.records import Task
from orbiter.tasks.streams import item_stream

OPERATIONS: Mapping[str, str] = {
    "constrain": "Rewrite it with one more constraint or requirement.",
    "deepen": "Rewrite it so that what it asks about is asked about in more depth and breadth.",
    "concretise": "Rewrite it with more specific concepts in the place of general ones.",
    "reason": "Rewrite it so that answering it takes several steps of reasoning where few were enough.",
    "complicate": "Rewrite it with input that is harder to work with: a table, a piece of code, data in JSON or XML, an equation.",
    "widen": "Write a new one in its place: of the same domain, about as long and as hard, but rarer.",
}
"""What is done to an instruction; ``widen`` is evolution in breadth, the others are in depth."""

PROMPT = """\
Below is an instruction. {operation}
It must be reasonable, be understood and answered by people, and grow by 20 words at most.
Keep all that is not text, such as a table or code. Reply with the instruction alone.

{instruction}"""


def _operations(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"operations must be a list of names, got {given!r}")
    names = tuple(given)
    for name in names:
        if not isinstance(name, str) or name not in OPERATIONS:
            raise ConfigError(
                f"unknown operation {name!r}{did_you_mean(str(name), OPERATIONS)}",
                hint=f"known: {', '.join(OPERATIONS)}",
            )
    if not names:
        raise ConfigError("operations must have an operation, got none")
    return tuple(dict.fromkeys(names))


@define(kw_only=True, eq=False, slots=False, repr=False)
class Evol(WritingSynthesiser):
    """Evolve instructions, and answer what came of them.

        Evol(policy=policy, writer=teacher, environment=environment, verifier=judge, depth=2)

    At each step every instruction is rewritten by an operation that is drawn for it. One that failed (it is a copy, a refusal, empty, too
    long, has words of the order in it, or nearly repeats another) is dropped, and what it was made from is tried again at the next step.
    All that were made are answered, and the verifier judges the answers: they have no reference, so it is one that goes by the prompt, or a
    judge. A row's task says its ``lineage``: parent, operation and depth.

    Args:
        writer: What rewrites; default: the policy that answers.
        operations: Of :data:`OPERATIONS`; default: all.
        depth: Steps, >= 1.
        samples: Answers to each new instruction, >= 1.
        novelty: Similarity in (0, 1] from which an instruction repeats another; high, since one that has grown is much like its source.
        max_words: Longest instruction, in words.
    """

    operations: tuple[str, ...] = field(default=tuple(OPERATIONS), converter=_operations)
    depth: int = 1
    samples: int = 1
    novelty: float = 0.9

    name: ClassVar[str] = "evol"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        for option in ("depth", "samples"):
            check_whole_number(option, getattr(self, option), low=1)
        check_number("novelty", self.novelty, "(0, 1]")

    @property
    def per_task(self) -> int:
        """A new instruction for each step, with its answers."""
        return self.depth * self.samples

    @property
    def answers_per_task(self) -> int:
        """What the writer says at each step, and the answers."""
        return self.depth * (1 + self.samples)

    async def propose(self, tasks: Sequence[Task]) -> Proposed:
        """Return the answers to what the tasks evolve into."""
        front, found = list(tasks), list[Task | Dropped]()
        for step in range(self.depth):
            pool = [task.prompt for task in (*tasks, *found) if isinstance(task, Task)]
            new = await self._evolved(front, step, pool)
            front = [one if isinstance(one, Task) else old for one, old in zip(new, front)]
            found += new
        return await self.answered(found, samples=self.samples)

    async def _evolved(
        self, front: Sequence[Task], step: int, pool: Sequence[str]
    ) -> list[Task | Dropped]:
        """Return what each task evolves into at a step, or why it does not."""
        drawn = [
            item_stream(self.name, self.seed, task.task_id, step).choice(self.operations)
            for task in front
        ]
        orders = [
            Order(
                task=task,
                request=self.order(
                    task,
                    PROMPT.format(operation=OPERATIONS[operation], instruction=task.prompt),
                    number=step,
                    step=operation,
                ),
                source=task.prompt,
                lineage={"operation": operation, "depth": _depth(task) + 1},
            )
            for task, operation in zip(front, drawn)
        ]
        return await self.written(
            orders,
            repeats=lambda tasks: repeated(tasks, pool=pool, threshold=self.novelty),
        )


def _depth(task: Task) -> int:
    """Return how many steps a task is away from one that nobody evolved."""
    lineage = task.metadata.get("lineage")
    depth = lineage.get("depth") if isinstance(lineage, Mapping) else None
    return depth if isinstance(depth, int) else 0
