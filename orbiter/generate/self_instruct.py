"""Self-instruct: new instructions after the pattern of those that there are (Wang et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from attrs import define

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError
from orbiter.generate.instructions import indented, repeated, word_count
from orbiter.generate.proposals import Dropped, Proposed
from orbiter.generate.writing import Order, WritingSynthesiser
from orbiter.records import Task
from orbiter.tasks.streams import item_stream

PROMPT = """\
Below are some tasks. Write one more: of the same kind, but different from all of them.
Reply with the task alone.

{tasks}

Task {number}:"""


@define(kw_only=True, eq=False, slots=False, repr=False)
class SelfInstruct(WritingSynthesiser):
    """Write new instructions from examples, and answer them.

        SelfInstruct(policy=policy, environment=environment, verifier=judge, examples=8)

    Each source task asks for one new instruction a wave, after ``examples``: itself, other source tasks and, a quarter of them at most,
    what earlier waves made. What nearly repeats anything in the pool is dropped, as are copies, refusals and what is too short or too long.
    The new ones are answered, and the verifier judges the answers: they have no reference, so it is one that goes by the prompt, or a
    judge.

    Args:
        writer: What writes instructions; default: the policy that answers.
        examples: Tasks that are shown, >= 1.
        waves: How often the source is gone through, >= 1; a later wave is shown what earlier ones made.
        samples: Answers to each new instruction, >= 1.
        novelty: Similarity in (0, 1] from which an instruction repeats another; about 0.45 is self-instruct's ROUGE-L of 0.7.
        min_words: Shortest instruction, in words; self-instruct has 3.
        max_words: Longest instruction, in words; self-instruct has 150.
    """

    examples: int = 8
    waves: int = 1
    samples: int = 1
    novelty: float = 0.45
    min_words: int = 3
    max_words: int = 150

    name: ClassVar[str] = "self_instruct"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        for option in ("examples", "waves", "samples", "min_words"):
            check_whole_number(option, getattr(self, option), low=1)
        if self.min_words > self.max_words:
            raise ConfigError(
                f"min_words must be at most max_words, got {self.min_words} and {self.max_words}"
            )
        check_number("novelty", self.novelty, "(0, 1]")

    @property
    def per_task(self) -> int:
        """A new instruction for each wave, with its answers."""
        return self.waves * self.samples

    @property
    def answers_per_task(self) -> int:
        """What the writer says in each wave, and the answers."""
        return self.waves * (1 + self.samples)

    async def propose(self, tasks: Sequence[Task]) -> Proposed:
        """Return the answers to new instructions, as many as there are tasks in each wave."""
        found: list[Task | Dropped] = []
        for wave in range(self.waves):
            found += await self._wave(tasks, [t for t in found if isinstance(t, Task)], wave)
        return await self.answered(found, samples=self.samples)

    async def _wave(
        self, tasks: Sequence[Task], made: Sequence[Task], wave: int
    ) -> list[Task | Dropped]:
        """Return what is written after each task in a wave, or why there is nothing."""
        orders = []
        for task in tasks:
            examples = self._shown(task, tasks, made, wave)
            lineage = {
                "operation": "write",
                "wave": wave,
                "examples": [e.task_id for e in examples],
            }
            request = self.order(task, _prompt(examples), number=wave, step="write")
            orders.append(Order(task=task, request=request, source=task.prompt, lineage=lineage))
        pool = [task.prompt for task in (*tasks, *made)]
        return await self.written(
            orders,
            repeats=lambda tasks: repeated(tasks, pool=pool, threshold=self.novelty),
        )

    def _shown(
        self, task: Task, tasks: Sequence[Task], made: Sequence[Task], wave: int
    ) -> list[Task]:
        """Return the examples of an order: the task itself, others of the source, and a quarter of what was made."""
        stream = item_stream(self.name, self.seed, task.task_id, wave)
        size = min(len(made), self.examples // 4)
        others = [other for other in tasks if other is not task]
        own = stream.sample(others, min(len(others), self.examples - size - 1))
        shown = [task, *own, *stream.sample(list(made), size)]
        stream.shuffle(shown)
        return shown

    def fault(self, text: str, order: Order) -> str | None:
        """Return why what was written is no instruction, or None."""
        if word_count(text) < self.min_words:
            return "too short"
        return super().fault(text, order)


def _prompt(shown: Sequence[Task]) -> str:
    listed = "\n\n".join(
        f"Task {n}: {indented(task.prompt)}" for n, task in enumerate(shown, start=1)
    )
    return PROMPT.format(tasks=listed, number=len(shown) + 1)
