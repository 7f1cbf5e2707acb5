"""SPIN rows: the ground truth beside the model's own answers (Chen et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import ClassVar

import attrs
from attrs import define

from orbiter.checks import check_whole_number
from orbiter.generate.engine import PolicySynthesiser
from orbiter.generate.proposals import ROLE, Dropped, Proposal, Proposed, chosen, no_rival, said
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
        known, dropped = self.answerable(tasks, otherwise="no right answer is known")
        asked = [self.request(task, number=n) for task, _ in known for n in range(self.samples)]
        answers = iter(await self.ask(asked))
        proposals: list[Proposal] = []
        for task, right in known:
            proposals.append(chosen(task, right))
            seen: set[str] = set()
            for answer in islice(answers, self.samples):
                text = said(answer) or ""
                reason = no_rival(answer, right=right, seen=seen, what="answer")
                if reason is not None:
                    dropped.append(Dropped(reason, task.task_id, text))
                    continue
                seen.add(text)
                told = {**answer.metadata, ROLE: "rejected"}
                proposals.append(Proposal(task, attrs.evolve(answer, metadata=told)))
        return Proposed(proposals=tuple(proposals), dropped=tuple(dropped))
