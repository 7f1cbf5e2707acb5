"""Back-translation: the instruction to which a document is the answer (Li et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs
from attrs import define, field

from orbiter.checks import check_number, check_whole_number
from orbiter.generate.engine import PolicySynthesiser, make_policy
from orbiter.generate.instructions import bare, fault, posed
from orbiter.generate.policy import Completion, Policy
from orbiter.generate.proposals import DOCUMENT, Dropped, Proposal, Proposed, said, why_nothing
from orbiter.records import Task
from orbiter.similarity import shingles

PROMPT = """\
Below is a text that was written in reply to a request. Write the request.
It must ask for this very text, and be understood by someone who has not seen it. Do not quote the text, and do not give the answer away.
Reply with the request alone.

{document}"""


@define(kw_only=True, eq=False, slots=False, repr=False)
class BackTranslation(PolicySynthesiser):
    """Write the instruction that a document answers, and keep it if it leads back to the document.

        BackTranslation(policy=policy, writer=teacher, environment=environment, verifier=judge)

    The document is a task's right answer. The writer sees nothing else; the policy sees the instruction alone, and answers it. The verifier judges that
    answer with the document as the reference: what passes has made the round trip, and the row that is kept is the instruction with the document. Its
    ``metadata["round_trip"]`` is the policy's answer. An instruction that gives the document away is dropped before.

    Args:
        writer: What writes the instruction; default: the policy that answers.
        max_shared: Share in (0, 1] of the document's character 5-grams that stand in the instruction from which it gives the document away.
        max_words: Longest instruction, in words.
    """

    writer: Policy | None = field(default=None, converter=make_policy)
    max_shared: float = 0.5
    max_words: int = 400

    name: ClassVar[str] = "back_translation"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_number("max_shared", self.max_shared, "(0, 1]")
        check_whole_number("max_words", self.max_words, low=1)

    async def propose(self, tasks: Sequence[Task]) -> Proposed:
        """Return the policy's answers to the instructions that were written for the tasks' right answers."""
        rights = [self.right_answer(task) for task in tasks]
        known = [(task, right) for task, right in zip(tasks, rights) if right]
        dropped = [
            Dropped("no document", task.task_id) for task, right in zip(tasks, rights) if not right
        ]
        replies = await self.ask(
            [
                self.order(task, PROMPT.format(document=document), step="write")
                for task, document in known
            ],
            who=self.writer,
        )
        made: dict[str, Task] = {}
        for (task, document), reply in zip(known, replies):
            text = bare(said(reply) or "")
            reason = self._fault(reply, text, document)
            new = posed(task, text, engine=self.name, answer=document, operation="write")
            if reason is None and new.task_id in made:
                reason = "same instruction as another document's"
            if reason is None:
                made[new.task_id] = new
            else:
                dropped.append(Dropped(reason, task.task_id, text))
        answers = await self.ask([self.request(task) for task in made.values()])
        proposals = tuple(
            Proposal(task, self._told(task, answer)) for task, answer in zip(made.values(), answers)
        )
        return Proposed(proposals=proposals, dropped=tuple(dropped))

    def _fault(self, reply: Completion, text: str, document: str) -> str | None:
        if said(reply) is None:
            return why_nothing(reply)
        if reason := fault(text, source=document, max_words=self.max_words):
            return reason
        parts = shingles(document)
        shared = len(parts & shingles(text)) / len(parts)
        given_away = shared >= self.max_shared or document.strip().casefold() in text.casefold()
        return "gives the document away" if given_away else None

    def _told(self, task: Task, answer: Completion) -> Completion:
        told = {**answer.metadata, **task.metadata, DOCUMENT: task.answer}
        return attrs.evolve(answer, metadata=told)
