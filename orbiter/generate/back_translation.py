"""Back-translation: the instruction to which a document is the answer (Li et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs
from attrs import define

from orbiter.checks import check_number
from orbiter.generate.instructions import stands_in
from orbiter.generate.proposals import DOCUMENT, Proposal, Proposed
from orbiter.generate.writing import Order, WritingSynthesiser
from orbiter.records import Task
from orbiter.similarity import shingles

PROMPT = """\
Below is a text that was written in reply to a request. Write the request.
It must ask for this very text, and be understood by someone who has not seen it. Do not quote the text, and do not give the answer away.
Reply with the request alone.

{document}"""


@define(kw_only=True, eq=False, slots=False, repr=False)
class BackTranslation(WritingSynthesiser):
    """Write the instruction that a document answers, and keep it if it leads back to the document.

        BackTranslation(policy=policy, writer=teacher, environment=environment, verifier=judge)

    The document is a task's right answer. The writer sees nothing else; the policy sees the instruction alone, and answers it. The verifier
    judges that answer with the document as the reference: what passes has made the round trip, and the row that is kept is the instruction
    with the document. Its ``metadata["round_trip"]`` is the policy's answer. An instruction that gives the document away is dropped before.

    Args:
        writer: What writes the instruction; default: the policy that answers.
        max_shared: Share in (0, 1] of the document's character 5-grams that stand in the instruction from which it gives the document away.
        max_words: Longest instruction, in words.
    """

    max_shared: float = 0.5

    name: ClassVar[str] = "back_translation"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_number("max_shared", self.max_shared, "(0, 1]")

    @property
    def answers_per_task(self) -> int:
        """The instruction, and the answer to it."""
        return 2

    async def propose(self, tasks: Sequence[Task]) -> Proposed:
        """Return the policy's answers to the instructions that were written for the tasks' right answers."""
        known, dropped = self.answerable(tasks, otherwise="no document")
        orders = [
            Order(
                task=task,
                request=self.order(task, PROMPT.format(document=document), step="write"),
                source=document,
                answer=document,
                lineage={"operation": "write"},
            )
            for task, document in known
        ]
        found = await self.answered(await self.written(orders, repeats=_repeated))
        return Proposed(
            proposals=tuple(map(_told, found.proposals)), dropped=(*dropped, *found.dropped)
        )

    def fault(self, text: str, order: Order) -> str | None:
        """Return why what was written is no instruction to the document, or None."""
        if reason := super().fault(text, order):
            return reason
        parts = shingles(order.source)
        shared = len(parts & shingles(text)) / len(parts)
        given_away = shared >= self.max_shared or stands_in(text, order.source)
        return "gives the document away" if given_away else None


def _repeated(tasks: Sequence[Task]) -> list[str | None]:
    """Return of each task why it is not new, or None: two documents cannot answer one instruction."""
    first: dict[str, int] = {}
    return [
        None if first.setdefault(task.task_id, n) == n else "same instruction as another document's"
        for n, task in enumerate(tasks)
    ]


def _told(proposal: Proposal) -> Proposal:
    """Return the proposal with the document in its metadata."""
    told = {**proposal.completion.metadata, DOCUMENT: proposal.task.answer}
    return Proposal(proposal.task, attrs.evolve(proposal.completion, metadata=told))
