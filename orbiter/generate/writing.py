"""WritingSynthesiser: an engine that has instructions written, and answers those that are fit to be answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from attrs import define, field, frozen

from orbiter.checks import check_whole_number
from orbiter.generate.engine import PolicySynthesiser, make_policy
from orbiter.generate.instructions import bare, fault, posed
from orbiter.generate.policy import Policy, Request
from orbiter.generate.proposals import Dropped, Proposal, Proposed, said, why_nothing
from orbiter.records import Task


@frozen(kw_only=True)
class Order:
    """An instruction that is to be written.

    Args:
        task: What it is made from.
        request: What the writer is asked.
        source: The text that it must not be a copy of.
        answer: Its right answer, if that is known.
        lineage: What a row of it says of where it comes from.
    """

    task: Task
    request: Request
    source: str
    answer: Any = None
    lineage: Mapping[str, Any]

    def dropped(self, reason: str, text: str) -> Dropped:
        """Return that what was written is given up."""
        return Dropped(reason, self.task.task_id, text, dict(self.lineage))


@define(kw_only=True, eq=False, slots=False, repr=False)
class WritingSynthesiser(PolicySynthesiser):
    """Have a writer write instructions, and let the policy answer them.

    A subclass says in ``propose`` what is ordered: :meth:`written` gives what came of it, :meth:`answered` the answers to that. What is
    no instruction, repeats another or is not to be answered is dropped before anything is spent on an answer to it.

    Args:
        writer: What writes; default: the policy that answers.
        max_words: Longest instruction, in words.
    """

    writer: Policy | None = field(default=None, converter=make_policy)
    max_words: int = 400

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_whole_number("max_words", self.max_words, low=1)

    def fault(self, text: str, order: Order) -> str | None:
        """Return why what was written is no instruction, or None."""
        return fault(text, source=order.source, max_words=self.max_words)

    async def written(
        self,
        orders: Sequence[Order],
        *,
        repeats: Callable[[Sequence[Task]], Sequence[str | None]],
    ) -> list[Task | Dropped]:
        """Return the task that came of each order, or why there is none.

        Args:
            orders: What is to be written.
            repeats: Says of those that are sound, in their order, why one is not new, or None.
        """
        found: list[Task | Dropped] = []
        replies = await self.ask([order.request for order in orders], who=self.writer)
        for order, reply in zip(orders, replies):
            text = bare(said(reply) or "")
            task = posed(order.task, text, engine=self.name, answer=order.answer, **order.lineage)
            reason = why_nothing(reply) if said(reply) is None else self.fault(text, order)
            reason = reason or self.forbidden(task)
            found.append(task if reason is None else order.dropped(reason, text))
        sound = {n: one for n, one in enumerate(found) if isinstance(one, Task)}
        for (n, task), reason in zip(sound.items(), repeats(list(sound.values())), strict=True):
            if reason is not None:
                found[n] = orders[n].dropped(reason, task.prompt)
        return found

    async def answered(self, found: Sequence[Task | Dropped], *, samples: int = 1) -> Proposed:
        """Return so many answers of the policy to each task that came of an order; their metadata say where it comes from."""
        asked = [(one, n) for one in found if isinstance(one, Task) for n in range(samples)]
        answers = await self.ask([self.request(task, number=n) for task, n in asked])
        proposals = (
            Proposal(task, attrs.evolve(answer, metadata={**answer.metadata, **task.metadata}))
            for (task, _), answer in zip(asked, answers)
        )
        return Proposed(
            proposals=tuple(proposals),
            dropped=tuple(one for one in found if isinstance(one, Dropped)),
        )
