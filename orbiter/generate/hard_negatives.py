"""Hard negatives: for each right answer, answers that are wrong in a named way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import attrs
from attrs import define, field

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError, did_you_mean
from orbiter.generate.corruptions import NegativeKind, Right, corruption
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
from orbiter.tasks.streams import item_stream
from orbiter.verify.refusals import is_refusal

ORDERS: Mapping[NegativeKind, str] = {
    NegativeKind.REFUSAL: "Refuse to answer it, politely and in your own words, although nothing is wrong with it.",
    NegativeKind.WRONG: "Answer it with one mistake of fact that is easy to overlook: a wrong number, name, date, unit or step. "
    "Sound sure of it, and do not say that it is wrong.",
    NegativeKind.OFF_TOPIC: "Answer another question, one that is near to it, as if that had been asked.",
    NegativeKind.FORMAT: "Answer it with the right content, but not in the form that it asks for.",
    NegativeKind.VERBOSE: "Answer it at three times the length that is needed: repeat yourself, hedge, and add what nobody asked for.",
    NegativeKind.TERSE: "Answer it in so few words that what the reader needs to follow it is missing.",
}
"""What a policy is told to do with a request, by kind."""

PROMPT = """\
Below is a request, and its right answer. Write a bad answer to the request, to be shown beside the good one.
{order}
Reply with the bad answer alone.

Request:
{request}

Right answer:
{right}"""

_OTHERS = 16
"""Right answers to other tasks that a corruption may borrow from."""


def _kinds(given: object) -> tuple[NegativeKind, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"kinds must be a list of kinds of negatives, got {given!r}")
    known = [kind.value for kind in NegativeKind]
    found = []
    for kind in given:
        if kind not in known:
            raise ConfigError(
                f"unknown kind of negative {kind!r}{did_you_mean(str(kind), known)}",
                hint=f"known: {', '.join(known)}",
            )
        found.append(NegativeKind(kind))
    return tuple(dict.fromkeys(found))


@define(kw_only=True, eq=False, slots=False, repr=False)
class HardNegatives(PolicySynthesiser):
    """Make answers that are wrong in a named way, beside the right one.

        HardNegatives(environment="sorting", kinds=["wrong", "terse"])

    A program makes them where one can: another number, date, unit or name, the opposite claim, another task's answer, a broken form, the
    answer cut short or padded, a refusal in one of several hundred wordings. Elsewhere, and for the kinds in ``prompted``, the policy is
    asked for an answer of the kind. The right answer must pass the verifier and each negative must fail it: one that passes is no negative
    and is dropped. A row's metadata say ``role`` (chosen or rejected), ``negative`` (the kind) and ``how`` it was made.

    Args:
        kinds: The kinds to make; default: all six.
        per_kind: Negatives of each kind and task, >= 1.
        prompted: Kinds that the policy is always asked for.
        length_ratio: How many times as long as the right answer a verbose one must be at least, or as short a terse one; > 1.
    """

    kinds: tuple[NegativeKind, ...] = field(default=tuple(NegativeKind), converter=_kinds)
    per_kind: int = 1
    prompted: tuple[NegativeKind, ...] = field(default=(), converter=_kinds)
    length_ratio: float = 1.5

    name: ClassVar[str] = "hard_negatives"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_whole_number("per_kind", self.per_kind, low=1)
        check_number("length_ratio", self.length_ratio, "(1, inf)")
        if not self.kinds:
            raise ConfigError("kinds must have a kind of negative, got none")

    @property
    def per_task(self) -> int:
        """The right answer, and the negatives."""
        return 1 + len(self.kinds) * self.per_kind

    @property
    def answers_per_task(self) -> int:
        """What no program makes."""
        return len(self.kinds) * self.per_kind if self.policy is not None else 0

    async def propose(self, tasks: Sequence[Task]) -> Proposed:
        """Return of each task the right answer, then its negatives."""
        rights = [self.right_answer(task) for task in tasks]
        pool = [right for right in rights if right]
        plan = [
            _Plan(task, kind, number, right)
            for task, right in zip(tasks, rights)
            if right
            for kind in self.kinds
            for number in range(self.per_kind)
        ]
        texts: dict[tuple[str, str], set[str]] = {one.key: set() for one in plan}
        made = [self._by_program(one, pool, texts[one.key]) for one in plan]
        open_ones = [one for one, found in zip(plan, made) if found is None]
        answers = iter(await self._asked(open_ones))
        dropped = [
            Dropped("no right answer is known", task.task_id)
            for task, right in zip(tasks, rights)
            if not right
        ]
        by_task: dict[tuple[str, str], list[Proposal]] = {}
        seen: set[tuple[str, ...]] = set()
        for one, found in zip(plan, made):
            row = by_task.setdefault(one.key, [self._chosen(one)])
            answer = found if found is not None else next(answers)
            reason = self._fault(one, answer, seen)
            if reason is None:
                row.append(Proposal(one.task, answer))
            else:
                text, about = said(answer) or "", {"negative": one.kind.value}
                dropped.append(Dropped(reason, one.task.task_id, text, about))
        proposals = tuple(proposal for rows in by_task.values() for proposal in rows)
        return Proposed(proposals=proposals, dropped=tuple(dropped))

    def _chosen(self, one: _Plan) -> Proposal:
        chosen = by_program(one.right, made_by="demonstration", **{ROLE: "chosen"})
        return Proposal(one.task, chosen)

    def _by_program(self, one: _Plan, pool: Sequence[str], made: set[str]) -> Completion | None:
        """Return a negative made by program, unlike those ``made`` of its task before; None if there is none."""
        if one.kind in self.prompted:
            return None
        stream = item_stream(self.name, self.seed, one.task.task_id, one.kind.value, one.number)
        others = [pool[stream.randrange(len(pool))] for _ in range(_OTHERS)]
        found = corruption(
            one.kind,
            Right(prompt=one.task.prompt, answer=one.right, others=others),
            stream,
            avoid=made,
        )
        if found is None:
            return None
        made.add(found[0].strip())
        return by_program(found[0], made_by="corruption", **one.told(found[1]))

    async def _asked(self, plan: Sequence[_Plan]) -> list[Completion]:
        """Return what the policy makes of those that no program could, or why there is nobody to ask."""
        if self.policy is None:
            return [Completion.failed("no program makes one, and there is no policy")] * len(plan)
        requests = [
            self.order(
                one.task,
                PROMPT.format(order=ORDERS[one.kind], request=one.task.prompt, right=one.right),
                number=one.number,
                step=one.kind.value,
            )
            for one in plan
        ]
        return [
            attrs.evolve(answer, metadata={**answer.metadata, **one.told("prompted")})
            for one, answer in zip(plan, await self.ask(requests))
        ]

    def _fault(self, one: _Plan, answer: Completion, seen: set[tuple[str, ...]]) -> str | None:
        """Return why an answer is not worth a verdict, or None."""
        text = said(answer)
        if text is None:
            return why_nothing(answer)
        if text == one.right.strip():
            return "same as the right answer"
        if (*one.key, text) in seen:
            return "repeats another negative"
        if not self._is_of_kind(one.kind, text, one.right):
            return f"not {one.kind.value}"
        seen.add((*one.key, text))
        return None

    def _is_of_kind(self, kind: NegativeKind, text: str, right: str) -> bool:
        """Return whether a text can be what it is called, as far as a program sees."""
        if (kind is NegativeKind.REFUSAL) != (is_refusal(text) and not is_refusal(right)):
            return False
        if kind is NegativeKind.VERBOSE:
            return len(text) >= self.length_ratio * len(right)
        return kind is not NegativeKind.TERSE or len(text) * self.length_ratio <= len(right)


@attrs.frozen
class _Plan:
    """A negative that is to be made."""

    task: Task
    kind: NegativeKind
    number: int
    right: str

    @property
    def key(self) -> tuple[str, str]:
        return self.task.env, self.task.task_id

    def told(self, how: str) -> dict[str, str]:
        return {ROLE: "rejected", "negative": self.kind.value, "how": how}
