"""The JudgeModel ABC: whatever a judge puts its questions to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import attrs
from attrs import field, frozen
from attrs.validators import instance_of, optional

from orbiter.checks import check_number, check_whole_number
from orbiter.records import Message


@frozen(kw_only=True)
class Question:
    """One prompt of a judge.

    Args:
        messages: The instructions and what is to be judged.
        seed: Seed of the sample, from 0 to 2**63 - 1; two samples of one prompt differ in it alone.
        temperature: Of the sample, >= 0.
        max_tokens: Bound on the reply, in tokens.
    """

    messages: tuple[Message, ...]
    seed: int = 0
    temperature: float = 0.2
    max_tokens: int = 1024


def _count(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    check_whole_number(attribute.name, value, low=0)


def _price(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    check_number(attribute.name, value, "[0, inf)")


@frozen(kw_only=True)
class Reply:
    """What came back for a question.

    Args:
        text: The reply, or None when there is none.
        error: Why there is none: a stable phrase, then if need be a colon and particulars.
        truncated: Whether the bound on tokens cut it off.
        model: The model that answered, if it is not the one that was asked.
        prompt_tokens: Length of the prompt, in tokens; None if unknown.
        completion_tokens: Length of the reply, in tokens; None if unknown.
        cost: Price of both, in the currency that the client was told; None if unknown.
    """

    text: str | None = field(default=None, validator=optional(instance_of(str)))
    error: str = field(default="", validator=instance_of(str))
    truncated: bool = field(default=False, validator=instance_of(bool))
    model: str | None = field(default=None, validator=optional(instance_of(str)))
    prompt_tokens: int | None = field(default=None, validator=optional(_count))
    completion_tokens: int | None = field(default=None, validator=optional(_count))
    cost: float | None = field(default=None, validator=optional(_price))


class JudgeModel(ABC):
    """Answers the questions of a judge.

    A small complete subclass:

        class Coin(JudgeModel):
            model = "coin"

            def ask(self, questions):
                return [Reply(text='{"score": %d}' % (1 + 9 * (q.seed % 2))) for q in questions]

    Contract: ``ask`` returns one reply per question, in their order, and returns only when all are there; it may put them to
    the model at the same time. It is called from synchronous code, in a worker process or in a script, and inside a running
    event loop too. An instance is pickled with its judge on the way to a worker. A question that could not be answered is a reply with an
    ``error``, whatever went wrong: a judge makes an invalid verdict of it, never a failed one.
    """

    model: str
    """Name of the model; part of the version of every judge that asks it."""

    concurrency: int = 1
    """How many questions it puts to the model at the same time, at most."""

    needs_env: tuple[str, ...] = ()
    """Environment variables that it reads, such as that of a key."""

    @abstractmethod
    def ask(self, questions: Sequence[Question]) -> Sequence[Reply]:
        """Return one reply per question."""


def ask(model: JudgeModel, questions: Sequence[Question]) -> Sequence[Reply]:
    """Return one reply per question, whatever the model does; a judge asks through this."""
    try:
        replies = list(model.ask(questions))
    except Exception as error:
        return [Reply(error=f"{type(error).__name__}: {error}"[:300])] * len(questions)
    if len(replies) != len(questions):
        return [Reply(error=f"{len(replies)} replies to {len(questions)} questions")] * len(
            questions
        )
    return [
        reply if isinstance(reply, Reply) else Reply(error=f"{type(reply).__name__} is no Reply")
        for reply in replies
    ]
