"""What an engine proposes before any verdict, and what a verdict makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import attrs
from attrs import field, frozen

from orbiter.generate.policy import Completion, Spending
from orbiter.records import Message, Outcome, Task, Trajectory, content_hash

ROLE = "role"
"""Key of a row's metadata: ``chosen`` or ``rejected``, where an engine makes answers to be set against each other."""

DOCUMENT = "document"
"""Key of a row's metadata: the answer that is kept in the place of the row's own, which was made to test the prompt alone."""

NO_ANSWER = "no answer: "
"""What a reason has before the fault of a policy that gave no answer."""


@frozen
class Proposal:
    """An answer that an engine has for a task, before any verdict.

    Args:
        task: The task, which the engine may have made too.
        completion: What follows its prompt; its metadata become the row's.
    """

    task: Task
    completion: Completion


@frozen
class Dropped:
    """What an engine gave up before there was anything to judge.

    Args:
        reason: Why, in a short stable phrase that can be counted.
        source: Id of the task that it was made from.
        text: What was given up.
        metadata: Anything else, such as the operation.
    """

    reason: str
    source: str
    text: str = ""
    metadata: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Proposed:
    """What an engine made of some tasks: every thing that it tried is in one of the two.

    Args:
        proposals: To be judged; a task has as many attempts as proposals, in their order.
        dropped: What is not worth a verdict.
        beside: What was spent beside the proposals: on writers and simulators, and on what was dropped.
    """

    proposals: tuple[Proposal, ...]
    dropped: tuple[Dropped, ...] = ()
    beside: Spending = field(factory=Spending)

    @property
    def unanswered(self) -> Counter[str]:
        """How often a policy gave no answer, by the reason; what was given up for it included."""
        silent = (p.completion for p in self.proposals if p.completion.error is not None)
        given_up = (item.reason for item in self.dropped if NO_ANSWER in item.reason)
        return Counter(map(why_nothing, silent)) + Counter(given_up)


@frozen(kw_only=True)
class EngineReport:
    """What became of all that an engine tried: ``tried == kept + dropped.total()``.

    Args:
        tried: How many rows it set out to make.
        kept: Rows that were returned.
        dropped: The others, by reason.
        spent: What all of it took.
    """

    tried: int = 0
    kept: int = 0
    dropped: Counter[str] = field(factory=Counter)
    spent: Spending = field(factory=Spending)


def objection(row: Trajectory) -> str | None:
    """Return why a judged row is not what its engine meant it to be, or None: one to be rejected must fail, any other pass."""
    verdict = row.verdict
    if verdict is None:
        return f"{NO_ANSWER}{row.extra.get('error', 'nobody judged it')}"
    if verdict.outcome is Outcome.INVALID:
        return f"invalid: {verdict.reason}"
    if row.extra.get("finish_reason") == "length":
        return "cut off by the bound on tokens"
    if len(row.messages) == len(row.prompt):
        return "no assistant message"
    if row.metadata.get(ROLE) == "rejected":
        return PASSED if verdict.outcome is Outcome.PASS else None
    return None if verdict.outcome is Outcome.PASS else f"failed: {verdict.reason or 'no reason'}"


PASSED = "meant to be rejected, and passed"
"""Why an answer that is to be rejected is none."""


def sorted_out(rows: Sequence[Trajectory]) -> tuple[list[Trajectory], Counter[str]]:
    """Return the rows that are what they were meant to be, in the form in which they are kept, and how many are not, by reason.

    An answer to be rejected is of use beside one to be chosen alone.
    """
    reasons = [objection(row) for row in rows]
    fit = [n for n, reason in enumerate(reasons) if reason is None]
    answered = {_asked(rows[n]) for n in fit if rows[n].metadata.get(ROLE) == "chosen"}
    for n in fit:
        if rows[n].metadata.get(ROLE) == "rejected" and _asked(rows[n]) not in answered:
            reasons[n] = "nothing to be chosen beside it"
    kept = [kept_form(row) for row, reason in zip(rows, reasons) if reason is None]
    return kept, Counter(reason for reason in reasons if reason is not None)


def _asked(row: Trajectory) -> str:
    """Return what the rows of one prompt of one task share."""
    return content_hash([row.env, row.task_id, row.prompt])


def kept_form(row: Trajectory) -> Trajectory:
    """Return the row as it is kept: with the document as its answer, if it has one, and under the id of its attempt."""
    document = row.metadata.get(DOCUMENT)
    if not isinstance(document, str):
        return row
    turns = row.messages[len(row.prompt) :]
    metadata = {key: value for key, value in row.metadata.items() if key != DOCUMENT}
    metadata["round_trip"] = "\n".join(turn.text for turn in turns)
    messages = (*row.prompt, Message("assistant", document))
    extra = {**row.extra, "id": row.id}
    return attrs.evolve(row, messages=messages, metadata=metadata, extra=extra)


def by_program(text: str, *, made_by: str, **told: Any) -> Completion:
    """Return an answer that no policy was asked for, with what is told of it."""
    return Completion.of(text, model=made_by, sample_count=0, metadata=told)


def unmarked(answer: Completion) -> Completion:
    """Return an answer without what an engine alone says of it, if its policy has noted something under these keys."""
    if answer.metadata.keys().isdisjoint((ROLE, DOCUMENT)):
        return answer
    told = {key: value for key, value in answer.metadata.items() if key not in (ROLE, DOCUMENT)}
    return attrs.evolve(answer, metadata=told)


def chosen(task: Task, right: str) -> Proposal:
    """Return a right answer, to be set against others."""
    return Proposal(task, by_program(right, made_by="demonstration", **{ROLE: "chosen"}))


def no_rival(answer: Completion, *, right: str, seen: Collection[str], what: str) -> str | None:
    """Return why an answer is not worth to be set against the right one, or None.

    Args:
        answer: The answer.
        right: The right one.
        seen: The texts of those that are set against it already.
        what: What they are called.
    """
    text = said(answer)
    if text is None:
        return why_nothing(answer)
    if text == right.strip():
        return "same as the right answer"
    return f"repeats another {what}" if text in seen else None


def said(completion: Completion) -> str | None:
    """Return the text of a whole answer, or None if there is none: an error, nothing, or one that was cut off."""
    if completion.finish_reason != "stop" or not completion.messages:
        return None
    return completion.messages[-1].text.strip() or None


def why_nothing(completion: Completion) -> str:
    """Return why :func:`said` found nothing."""
    if completion.error is not None:
        return f"{NO_ANSWER}{completion.error}"
    return "cut off" if completion.finish_reason == "length" else "empty"
