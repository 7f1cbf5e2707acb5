"""SPIN rows: the ground truth beside the model's own answers (Chen et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs
from attrs import define

from orbiter.checks import check_whole_number
from orbiter.generate.engine import PolicySynthesiser
from orbiter.generate.policy import Completion
from orbiter.generate.proposals import (
    ROLE,
    Dropped,
    Proposal,
    Proposed,
    by_program,
    said,
    why_nothing,
)
from orbiter.records import Task


@define(kw_only=True, eq=False, slots=False, repr=False)
class SpinRows(PolicySynthesiser):
    """Set the ground truth of a task against what the policy answers.

        SpinRows(policy=policy, environment="sorting", samples=2)

    The truth must pass the verifier, and an own answer fail it. SPIN itself asks no verifier and rejects right answers too, which teaches a
    model nothing but the wording of the truth; here they are dropped and counted. The algorithm ``spin`` of a training stage is SPIN as
    published.

    Args:
        samples: Own answers to each task, >= 1.
    """

    samples: int = 1

    name: ClassVar[str] = "spin"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_whole_number("samples", self.samples, low=1)

    @property
    def per_task(self) -> int:
        """The truth, and the policy's answers."""
        return 1 + self.samples

    @property
    def answers_per_task(self) -> int:
        """The policy's answers."""
        return self.samples

    async def propose(self, tasks: Sequence[Task]) -> Proposed:
        """Return of each task the truth, then the distinct answers of the policy."""
        rights = [self.right_answer(task) for task in tasks]
        dropped = [
            Dropped("no right answer is known", task.task_id)
            for task, right in zip(tasks, rights)
            if not right
        ]
        known = [(task, right) for task, right in zip(tasks, rights) if right]
        answers = iter(
            await self.ask(
                [self.request(task, number=n) for task, _ in known for n in range(self.samples)]
            )
        )
        proposals: list[Proposal] = []
        for task, right in known:
            chosen = by_program(right, made_by="demonstration", **{ROLE: "chosen"})
            proposals.append(Proposal(task, chosen))
            seen = {right.strip()}
            for answer in [next(answers) for _ in range(self.samples)]:
                text = said(answer)
                if text is None or text in seen:
                    dropped.append(Dropped(_reason(answer, right), task.task_id, text or ""))
                    continue
                seen.add(text)
                told = {**answer.metadata, ROLE: "rejected"}
                proposals.append(Proposal(task, attrs.evolve(answer, metadata=told)))
        return Proposed(proposals=tuple(proposals), dropped=tuple(dropped))


def _reason(answer: Completion, right: str) -> str:
    """Return why an answer is set against nothing."""
    text = said(answer)
    if text is None:
        return why_nothing(answer)
    return "same as the right answer" if text == right.strip() else "repeats another answer"
