"""Conversations of several turns, between the policy and a policy that plays its user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import ClassVar

import attrs
from attrs import define, field

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError
from orbiter.generate.engine import PolicySynthesiser, make_policy
from orbiter.generate.instructions import indented, stands_in
from orbiter.generate.policy import Completion, Policy, taken_by
from orbiter.generate.proposals import Dropped, Proposal, Proposed, said, why_nothing
from orbiter.records import Message, Task
from orbiter.similarity import jaccard, shingles
from orbiter.tasks.streams import item_stream

STOP = "DONE"
"""What the user says when there is nothing more to say."""

PERSONAS = (
    "a beginner who asks back when a word is not plain",
    "someone in a hurry, who writes short and wants the result",
    "a careful reader who checks each step and points at what looks wrong",
    "an expert who wants the special cases looked at",
    "someone who gives what is needed bit by bit, and changes a detail on the way",
)
"""Who the user is, unless told otherwise."""

PROMPT = """\
You play the user of an assistant, and write the user's next message.
The user is {persona}. What the user wants: {goal}
Never answer the question yourself, and never write as the assistant.
If the user has got what was wanted, reply with the one word {stop}. Else reply with the user's next message alone.

{transcript}
User:"""

_AS_ASSISTANT = re.compile(
    r"\s*(?:assistant|ai|bot|system)\s*:|\W*(?:as an? ai\b|how (?:can|may) i (?:help|assist) you|is there anything else (?:that )?i can"
    r"|i(?:'d| would|'m| am) (?:be )?(?:happy|glad) to (?:help|assist)|sure[,!.]? here(?:'s| is| are)\b)",
    re.IGNORECASE,
)
_ASSISTANT_INSIDE = re.compile(r"^[^\S\n]*assistant\s*:", re.IGNORECASE | re.MULTILINE)
_LABEL = re.compile(r"\Auser\s*:", re.IGNORECASE)
_SENTENCE_ENDS = frozenset(".!?…。！？\n")
_ECHO = 0.8
"""Similarity from which a user only says again what the assistant said."""


def _personas(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"personas must be a list of texts, got {given!r}")
    texts = tuple(given)
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ConfigError(f"personas must be texts, got {texts!r}")
    return texts


@define
class _Talk:
    """A conversation on its way.

    Args:
        task: What the user wants.
        number: Which conversation of the task it is, counted from 0.
        persona: Who the user is.
        turns: What followed the prompt so far.
        answers: What the policy answered.
        end: How it ended before the bound on turns: ``stop`` when the user had enough, ``answer`` at one that is not whole.
        fault: What spoiled it.
    """

    task: Task
    number: int
    persona: str
    turns: list[Message] = field(factory=list)
    answers: list[Completion] = field(factory=list)
    end: str | None = None
    fault: str | None = None

    @property
    def goes_on(self) -> bool:
        return self.end is None and self.fault is None


@define(kw_only=True, eq=False, slots=False, repr=False)
class MultiTurn(PolicySynthesiser):
    """Have conversations with a user that is played by a policy.

        MultiTurn(policy=policy, simulator=teacher, environment=environment, turns=4)

    The task's prompt is the first message, and what the user wants. The policy answers, the user goes on as its persona would, and so on,
    until the user says that nothing is left or the policy has spoken ``turns`` times. The verifier judges the end, or with
    :class:`orbiter.verify.turns.TurnsVerifier` every turn of the assistant; a training on the rows has its loss on those alone.

    A user that gives the right answer away before the assistant has said it, that talks as the assistant does or repeats it, spoils the
    conversation: it is dropped. The user is never shown the right answer. A row's metadata say the ``persona``, and whether the ``end`` was
    ``stop`` or ``turns``.

    Args:
        simulator: What plays the user; default: the policy that answers.
        turns: Most answers of the policy in a conversation, >= 1.
        personas: Who the user may be; one is drawn for each conversation.
        samples: Conversations of each task, >= 1.
    """

    simulator: Policy | None = field(default=None, converter=make_policy)
    turns: int = 3
    personas: tuple[str, ...] = field(default=PERSONAS, converter=_personas)
    samples: int = 1

    name: ClassVar[str] = "multi_turn"

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_whole_number("turns", self.turns, low=1)
        check_whole_number("samples", self.samples, low=1)

    @property
    def per_task(self) -> int:
        """The conversations of a task."""
        return self.samples

    @property
    def answers_per_task(self) -> int:
        """What the policy and the user say in the conversations."""
        return self.samples * (2 * self.turns - 1)

    async def propose(self, tasks: Sequence[Task]) -> Proposed:
        """Return a conversation for each task and sample."""
        talks = [
            _Talk(task, number, self._persona(task, number))
            for task in tasks
            for number in range(self.samples)
        ]
        for turn in range(self.turns):
            if turn:
                await self._asked_on([talk for talk in talks if talk.goes_on], turn - 1)
            await self._answered([talk for talk in talks if talk.goes_on], turn)
        return Proposed(
            proposals=tuple(Proposal(t.task, _completed(t)) for t in talks if t.fault is None),
            dropped=tuple(
                Dropped(
                    talk.fault,
                    talk.task.task_id,
                    talk.turns[-1].text if talk.turns else "",
                    {"persona": talk.persona, "turns": len(talk.turns)},
                )
                for talk in talks
                if talk.fault is not None
            ),
        )

    def _persona(self, task: Task, number: int) -> str:
        return item_stream(self.name, self.seed, task.task_id, number).choice(self.personas)

    async def _answered(self, talks: Sequence[_Talk], turn: int) -> None:
        """Let the policy answer in each conversation."""
        asked = [
            self.request(talk.task, *talk.turns, number=talk.number, step=f"assistant {turn}")
            for talk in talks
        ]
        for talk, answer in zip(talks, await self.ask(asked)):
            talk.answers.append(answer)
            talk.turns += answer.messages
            if not answer.messages and turn > 0:  # else it is an attempt that was not answered
                talk.fault = why_nothing(answer)
            elif not _is_whole(answer):
                talk.end = "answer"

    async def _asked_on(self, talks: Sequence[_Talk], turn: int) -> None:
        """Let the user say the next thing in each conversation, or end it."""
        orders = [
            self.order(
                talk.task,
                PROMPT.format(
                    persona=talk.persona,
                    goal=talk.task.prompt,
                    stop=STOP,
                    transcript=_transcript(talk),
                ),
                number=talk.number,
                step=f"user {turn}",
            )
            for talk in talks
        ]
        for talk, reply in zip(talks, await self.ask(orders, who=self.simulator)):
            text = _LABEL.sub("", said(reply) or "").strip()
            if _stops(text):
                talk.end = "stop"
                continue
            talk.fault = f"user: {why_nothing(reply)}" if not text else self._fault(talk, text)
            talk.turns.append(Message("user", text))

    def _fault(self, talk: _Talk, text: str) -> str | None:
        """Return how what the user says spoils a conversation, or None."""
        if _AS_ASSISTANT.match(text) or _ASSISTANT_INSIDE.search(text):
            return "user talks as the assistant"
        said_before = [turn.text for turn in talk.turns if turn.role == "assistant"]
        parts = shingles(text)
        if len(text) >= 20 and any(jaccard(parts, shingles(t)) >= _ECHO for t in said_before):
            return "user repeats the assistant"
        right = (self.right_answer(talk.task) or "").strip()
        known = "\n".join([*(m.text for m in talk.task.messages), *said_before])
        if right and stands_in(text, right) and not stands_in(known, right):
            return "user gives the answer away"
        return None


def _stops(text: str) -> bool:
    """Return whether a user is done: the word alone, or as the last sentence, whatever signs are around it."""
    before, found, after = text.rpartition(STOP)
    if not found or any(map(str.isalnum, after)):
        return False
    signs = list(takewhile(lambda char: not char.isalnum(), reversed(before)))
    return len(signs) == len(before) or not _SENTENCE_ENDS.isdisjoint(signs)


def _is_whole(answer: Completion) -> bool:
    """Return whether something was said, and to its end."""
    if answer.error is not None or answer.finish_reason != "stop":
        return False
    return any(message.text.strip() or message.tool_calls for message in answer.messages)


def _transcript(talk: _Talk) -> str:
    lines = [("user", talk.task.prompt), *((turn.role, turn.text) for turn in talk.turns)]
    return "\n".join(f"{role.capitalize()}: {indented(text)}" for role, text in lines)


def _completed(talk: _Talk) -> Completion:
    last = talk.answers[-1]
    if not talk.turns:
        error = last.error or "the policy gave no answer"
        return attrs.evolve(last, finish_reason="error", error=error)
    return Completion(
        messages=tuple(talk.turns),
        finish_reason=last.finish_reason,
        model=next((answer.model for answer in reversed(talk.answers) if answer.model), None),
        metadata={"persona": talk.persona, "end": talk.end or "turns"},
        **taken_by(talk.answers),
    )
