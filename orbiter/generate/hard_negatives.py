"""Hard negatives: for each right answer, answers that are wrong in a named way."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar

import attrs
from attrs import define, field

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError, OrbiterWarning, did_you_mean
from orbiter.generate.corruptions import NegativeKind, Right, corruption
from orbiter.generate.engine import PolicySynthesiser
from orbiter.generate.policy import Completion
from orbiter.generate.proposals import (
    ROLE,
    Dropped,
    Proposal,
    Proposed,
    by_program,
    chosen,
    no_rival,
    said,
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


@define
class _Negative:
    """A negative that is to be made, and what was made."""

    task: Task
    right: str
    kind: NegativeKind
    number: int
    answer: Completion | None = None

    def told(self, how: str) -> dict[str, str]:
        """Return what the metadata of its row say of it."""
        return {ROLE: "rejected", "negative": self.kind.value, "how": how}


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
        if idle := [kind.value for kind in self.prompted if kind not in self.kinds]:
            warnings.warn(
                f"prompted has no effect on {', '.join(idle)}, which kinds does not name",
                OrbiterWarning,
                stacklevel=3,
            )

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
        known, dropped = self.answerable(tasks, otherwise="no right answer is known")
        pool = [right for _, right in known]
        planned = [self._by_program(task, right, pool) for task, right in known]
        if self.policy is not None:
            await self._ask_for([one for plan in planned for one in plan if one.answer is None])
        proposals: list[Proposal] = []
        for (task, right), plan in zip(known, planned):
            proposals.append(chosen(task, right))
            seen: set[str] = set()
            for one in plan:
                answer, about = one.answer, {"negative": one.kind.value}
                if answer is None:
                    nobody = "no program makes one, and there is no policy"
                    dropped.append(Dropped(nobody, task.task_id, metadata=about))
                elif fault := self._fault(one, answer, seen):
                    dropped.append(Dropped(fault, task.task_id, said(answer) or "", about))
                else:
                    seen.add(said(answer) or "")
                    proposals.append(Proposal(task, answer))
        return Proposed(proposals=tuple(proposals), dropped=tuple(dropped))

    def _by_program(self, task: Task, right: str, pool: Sequence[str]) -> list[_Negative]:
        """Return the negatives of a task, no two alike, with an answer where a program can make one."""
        made: set[str] = set()
        plan = []
        for kind, number in itertools.product(self.kinds, range(self.per_kind)):
            one = _Negative(task, right, kind, number)
            plan.append(one)
            if kind in self.prompted:
                continue
            stream = item_stream(self.name, self.seed, task.task_id, kind.value, number)
            others = [pool[stream.randrange(len(pool))] for _ in range(_OTHERS)]
            source = Right(prompt=task.prompt, answer=right, others=others)
            found = corruption(kind, source, stream, avoid=made)
            if found is not None:
                text, how = found
                made.add(text.strip())
                one.answer = by_program(text, made_by="corruption", **one.told(how))
        return plan

    async def _ask_for(self, plan: Sequence[_Negative]) -> None:
        """Have the policy make what no program could."""
        requests = [
            self.order(
                one.task,
                PROMPT.format(order=ORDERS[one.kind], request=one.task.prompt, right=one.right),
                number=one.number,
                step=one.kind.value,
            )
            for one in plan
        ]
        for one, answer in zip(plan, await self.ask(requests)):
            told = {**answer.metadata, **one.told("prompted")}
            one.answer = attrs.evolve(answer, metadata=told)

    def _fault(self, one: _Negative, answer: Completion, seen: Collection[str]) -> str | None:
        """Return why an answer is not worth a verdict, or None."""
        if reason := no_rival(answer, right=one.right, seen=seen, what="negative"):
            return reason
        is_of_kind = self._is_of_kind(one.kind, said(answer) or "", one.right)
        return None if is_of_kind else f"not {one.kind.value}"

    def _is_of_kind(self, kind: NegativeKind, text: str, right: str) -> bool:
        """Return whether a text can be what it is called, as far as a program sees."""
        if (kind is NegativeKind.REFUSAL) != (is_refusal(text) and not is_refusal(right)):
            return False
        if kind is NegativeKind.VERBOSE:
            return len(text) >= self.length_ratio * len(right)
        return kind is not NegativeKind.TERSE or len(text) * self.length_ratio <= len(right)
