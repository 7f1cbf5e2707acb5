"""The records: what flows from room to room, and what a line of JSONL holds.

One JSONL row is one :class:`Trajectory`. Every record is frozen. Keys that the format does not know are
kept in ``extra`` and written back. Nothing is coerced: a number in a text field is an error that names the
field, never a conversion.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import attrs
import orjson
from attrs import field, frozen

from orbiter.checks import is_number
from orbiter.convert import structure, unstructure
from orbiter.errors import RecordError

ROLES = ("system", "developer", "user", "assistant", "tool")


def content_hash(value: object) -> str:
    """Return 16 hexadecimal digits that depend on the JSON content alone, not on key order."""
    return _hash(unstructure(value))


def _hash(plain: object) -> str:
    try:
        data = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise RecordError(f"record must be JSON data, got: {error}") from None
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class _Row:
    """Conversion to and from a decoded JSON object, shared by the records."""

    @classmethod
    def from_row(cls, row: object, *, source: str | None = None, line: int | None = None) -> Self:
        """Make the record from a decoded JSON object.

        Raises:
            RecordError: A field is missing or has the wrong type; names source, line and field.
        """
        return structure(row, cls, source=source, line=line)

    def to_row(self) -> dict[str, Any]:
        """Return the JSON object of the record; optional fields at their default are left out."""
        row: dict[str, Any] = unstructure(self)
        return row


class Outcome(enum.StrEnum):
    """The three things that a verdict can say."""

    PASS = "pass"  # noqa: S105  # not a password
    FAIL = "fail"
    INVALID = "invalid"


def _one_of_roles(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if value not in ROLES:
        raise RecordError(f"must be one of {', '.join(ROLES)}, got {value!r}", field=attribute.name)


def _finite(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not is_number(value):
        raise RecordError(f"must be a finite number, got {value!r}", field=attribute.name)


def _parts(_: object, attribute: attrs.Attribute[Any], value: str | list[Any] | None) -> None:
    for number, part in enumerate(value) if isinstance(value, list) else ():
        if not isinstance(part, Mapping):
            raise RecordError(
                f"must be a content part, an object with a type, got {part!r:.100}",
                field=f"{attribute.name}[{number}]",
            )
        if part.get("type") == "text" and not isinstance(part.get("text"), str):
            raise RecordError(
                f"must be a string, got {part.get('text')!r:.100}",
                field=f"{attribute.name}[{number}].text",
            )


@frozen
class Message(_Row):
    """One chat message in the OpenAI and TRL shape.

    Args:
        role: One of ``system``, ``developer``, ``user``, ``assistant``, ``tool``.
        content: Text, or a list of content parts (objects; one of type ``text`` has a string as its ``text``), or None beside tool calls.
        tool_calls: Tool calls of an assistant turn, as the chat API gives them.
        tool_call_id: The call that a tool message answers.
        name: Name of the speaker or tool.
        extra: Keys that the format does not know.
    """

    role: str = field(validator=_one_of_roles)
    content: str | list[Any] | None = field(default=None, validator=_parts)
    tool_calls: tuple[Any, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    extra: Mapping[str, Any] = field(factory=dict, kw_only=True)

    @property
    def text(self) -> str:
        """The text of the message: its string, or the text parts joined, or the empty string."""
        if isinstance(self.content, str):
            return self.content
        parts = self.content or ()
        return "".join(
            p["text"] for p in parts if isinstance(p, Mapping) and p.get("type") == "text"
        )


@frozen
class Task(_Row):
    """One thing to be solved.

    Args:
        env: Name of the environment that it comes from.
        task_id: Name of the task in the environment; the same (env, seed, index) gives the same one for ever.
        messages: The prompt: what the policy is shown.
        answer: What the verifier compares with; never shown to the policy.
        tools: Tool schemas that the policy may call.
        metadata: Anything else about the task.
    """

    env: str
    task_id: str
    messages: tuple[Message, ...]
    answer: Any = None
    tools: tuple[Any, ...] = ()
    metadata: Mapping[str, Any] = field(factory=dict)
    extra: Mapping[str, Any] = field(factory=dict, kw_only=True)

    @property
    def prompt(self) -> str:
        """The text of the last user message."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")


@frozen
class Verdict(_Row):
    """What a verifier says of one trajectory: pass, fail or invalid.

    Make one with :meth:`passed`, :meth:`failed` or :meth:`invalid`. An invalid verdict (the verifier broke, ran out of
    time or abstained) has score None and a reason; it never counts as 0.

    Args:
        outcome: Pass, fail or invalid.
        score: A number in [0, 1], or None when invalid.
        reason: Why, in a short stable phrase that can be counted.
        verifier: Name of the verifier.
        version: Version of the verifier.
        step_scores: One score in [0, 1] or None per assistant turn after the prompt, if the verifier judges steps.
        details: Evidence.
    """

    outcome: Outcome
    score: float | None = field(default=None, validator=_finite)
    reason: str = ""
    verifier: str = ""
    version: str = ""
    step_scores: tuple[float | None, ...] = ()
    details: Mapping[str, Any] = field(factory=dict)
    extra: Mapping[str, Any] = field(factory=dict, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.outcome is Outcome.INVALID:
            if self.score is not None:
                raise RecordError(f"must be null when invalid, got {self.score!r}", field="score")
            if not self.reason:
                raise RecordError("must say why the verdict is invalid", field="reason")
        elif self.score is None or not 0.0 <= self.score <= 1.0:
            raise RecordError(f"must be a number in [0, 1], got {self.score!r}", field="score")

    @classmethod
    def passed(cls, reason: str = "", *, score: float = 1.0, **more: Any) -> Verdict:
        """Return a verdict that says yes."""
        return cls(Outcome.PASS, score, reason, **more)

    @classmethod
    def failed(cls, reason: str = "", *, score: float = 0.0, **more: Any) -> Verdict:
        """Return a verdict that says no."""
        return cls(Outcome.FAIL, score, reason, **more)

    @classmethod
    def invalid(cls, reason: str, **more: Any) -> Verdict:
        """Return a verdict that says nothing, for the given reason."""
        return cls(Outcome.INVALID, None, reason, **more)


@frozen
class TrajectoryItem(_Row):
    """A state-action-reward triple: the unit of data of one decision.

    Args:
        state: What the actor saw.
        action: What it did.
        reward: A finite number of any range, or None when nobody scored it.
        metadata: Anything else.
    """

    state: Any
    action: Any
    reward: float | None = field(default=None, validator=_finite)
    metadata: Mapping[str, Any] = field(factory=dict)


@frozen
class Trajectory(_Row):
    """One episode, one JSONL row.

    Args:
        messages: The whole conversation, prompt included.
        env: Name of the environment.
        task_id: Name of the task.
        score: The verifier's number in [0, 1], or None when unscored. The key must be present in a row.
        verdict: The verifier's whole result.
        tools: Tool schemas.
        metadata: Anything else.
        generator: What generated it: a policy, teacher or engine.
        model: The model or checkpoint that answered.
        sampling: Sampling parameters.
        seed: Seed of this sample.
        round: Round of the run that generated it.
        prompt_size: How many of the messages are the prompt; None: those before the first assistant turn. A prompt that shows
            assistant turns, as examples do, needs it; :meth:`following` sees to that. A verifier goes by the prompt of the task.
    """

    messages: tuple[Message, ...]
    env: str
    task_id: str
    score: float | None = field(validator=_finite)
    verdict: Verdict | None = field(default=None, kw_only=True)
    tools: tuple[Any, ...] = field(default=(), kw_only=True)
    metadata: Mapping[str, Any] = field(factory=dict, kw_only=True)
    generator: str | None = field(default=None, kw_only=True)
    model: str | None = field(default=None, kw_only=True)
    sampling: Mapping[str, Any] = field(factory=dict, kw_only=True)
    seed: int | None = field(default=None, kw_only=True)
    round: int | None = field(default=None, kw_only=True)
    prompt_size: int | None = field(default=None, kw_only=True)
    extra: Mapping[str, Any] = field(factory=dict, kw_only=True)

    @prompt_size.validator
    def _within_messages(self, attribute: attrs.Attribute[Any], value: int | None) -> None:
        if value is not None and (type(value) is not int or not 0 <= value <= len(self.messages)):
            raise RecordError(
                f"must be an integer from 0 to the number of messages, {len(self.messages)}, got {value!r}",
                field=attribute.name,
            )

    def __attrs_post_init__(self) -> None:
        # A row that was written here carries its hash; kept, it would outlive a change of the messages.
        if "id" in self.extra and self.extra["id"] == self.id:
            extra = {key: item for key, item in self.extra.items() if key != "id"}
            object.__setattr__(self, "extra", extra)

    @classmethod
    def following(cls, task: Task, *turns: Message, **more: Any) -> Self:
        """Return the unscored trajectory in which these turns follow the prompt of a task.

        Args:
            task: Gives env, task_id, tools and the prompt.
            turns: What follows the prompt.
            more: Further fields.
        """
        shows_turns = any(message.role == "assistant" for message in task.messages)
        return cls(
            messages=task.messages + turns,
            env=task.env,
            task_id=task.task_id,
            score=None,
            tools=task.tools,
            prompt_size=len(task.messages) if shows_turns else None,
            **more,
        )

    @property
    def id(self) -> str:
        """A hash of what was asked and answered: env, task_id and messages."""
        return content_hash([self.env, self.task_id, self.messages])

    @property
    def answer(self) -> str:
        """The text of the last assistant message after the prompt, or the empty string."""
        turns = self.messages[len(self.prompt) :]
        return next((m.text for m in reversed(turns) if m.role == "assistant"), "")

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The first ``prompt_size`` messages, or those before the first assistant turn."""
        size = self.prompt_size
        if size is None:
            size = 0
            for message in self.messages:
                if message.role == "assistant":
                    break
                size += 1
        return self.messages[:size]

    def to_row(self) -> dict[str, Any]:
        """Return the JSON object, with ``id``; a row that came with an id of another kind keeps that."""
        row = super().to_row()
        if "id" not in row:
            row["id"] = _hash([self.env, self.task_id, row.get("messages", [])])
        return row

    def steps(self) -> Iterator[TrajectoryItem]:
        """Yield one item per assistant turn after the prompt: state = the messages before it, action = that turn.

        The reward of a turn is its step score; the last turn takes the terminal score when it has none of its own.
        """
        first = len(self.prompt)
        turns = [i for i, m in enumerate(self.messages) if i >= first and m.role == "assistant"]
        scores: Sequence[float | None] = self.verdict.step_scores if self.verdict else ()
        for n, i in enumerate(turns):
            reward = scores[n] if n < len(scores) else None
            if n == len(turns) - 1 and reward is None:
                reward = self.score
            yield TrajectoryItem(
                state=[unstructure(m) for m in self.messages[:i]],
                action=unstructure(self.messages[i]),
                reward=reward,
                metadata={"env": self.env, "task_id": self.task_id, "step": n},
            )


@frozen
class Pair(_Row):
    """A preference: of two answers to one prompt, the chosen one is better.

    Args:
        prompt: The messages that both answers follow.
        chosen: The better continuation.
        rejected: The worse continuation.
        env: Name of the environment.
        task_id: Name of the task.
        margin: By how much the chosen is better, or None: the difference of their scores, in [0, 1], or a judge's log-odds in
            nats where ``metadata["unit"]`` is ``log_odds``.
        confidence: Probability that the preference is right, in [0, 1], or None if nobody measured it.
        weight: What its loss is multiplied by in training, >= 0.
        metadata: Anything else.
    """

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    env: str = ""
    task_id: str = ""
    margin: float | None = field(default=None, validator=_finite)
    metadata: Mapping[str, Any] = field(factory=dict)
    confidence: float | None = field(default=None, validator=_finite, kw_only=True)
    weight: float = field(default=1.0, validator=_finite, kw_only=True)
    extra: Mapping[str, Any] = field(factory=dict, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.confidence is not None and not 0.0 <= self.confidence <= 1.0:
            raise RecordError(
                f"must be a number in [0, 1], got {self.confidence!r}", field="confidence"
            )
        if self.weight is None or self.weight < 0:
            raise RecordError(f"must be a number >= 0, got {self.weight!r}", field="weight")
