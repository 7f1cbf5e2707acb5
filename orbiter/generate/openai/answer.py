"""What a server answered: choices, tokens, log-probabilities, reasoning; read strictly, so that a fault never looks like an answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import define, evolve, frozen

from orbiter.checks import is_number
from orbiter.errors import RecordError
from orbiter.generate.openai.faults import Fault
from orbiter.generate.policy import Completion
from orbiter.records import Message

FINISH = {"stop": "stop", "tool_calls": "stop", "eos_token": "stop", "length": "length"}
"""What servers say at the end of a whole answer, and how a Completion says it."""

MAX_COUNT = 10**9
"""Most tokens that one answer is believed to have; what is more would spoil every sum."""

REASONING = ("message", "metadata", "think")
"""Where the reasoning of a model is kept; see :class:`orbiter.generate.openai.OpenAIPolicy`."""


@frozen(kw_only=True)
class Reading:
    """How answers are read; the options are those of the policy.

    Args:
        model: Name of the model that was asked.
        logprobs: Keep log-probabilities.
        reasoning: Where reasoning is kept.
        prompt_price: Price of a million prompt tokens, or None.
        completion_price: Price of a million generated tokens, or None.
    """

    model: str
    logprobs: bool = False
    reasoning: str = "message"
    prompt_price: float | None = None
    completion_price: float | None = None

    def read(self, data: bytes, count: int) -> list[Completion | None]:
        """Return the ``count`` choices of an answer; None for one that is missing or is no answer.

        More choices than were asked for are left out, by their index.

        Raises:
            Fault: There is none at all.
        """
        try:
            answer = orjson.loads(data)
            choices = answer["choices"]
            if type(choices) is not list or not choices:
                raise TypeError
        except (ValueError, LookupError, TypeError):
            raise Fault("answer is no chat completion") from None
        if count == 1:
            return [self._completion(choices[0], _Usage.of(answer, choices[:1]), 0)]
        kept: dict[int, Any] = {}
        for place, choice in enumerate(choices):
            index = _index(choice, place)
            if index < count:
                kept.setdefault(index, choice)
        usage = _Usage.of(answer, list(kept.values()))
        found: list[Completion | None] = [None] * count
        why = "answer has none of the choices that were asked for"
        for share, (index, choice) in enumerate(kept.items()):
            try:
                found[index] = self._completion(choice, usage, share)
            except Fault as fault:
                why = fault.message
        if not any(found):
            raise Fault(why)
        return found

    def _completion(self, choice: Any, usage: _Usage, share: int) -> Completion:
        try:
            finish, raw = choice.get("finish_reason"), choice["message"]
            message, reasoning = self._message(raw)
        except (LookupError, TypeError, AttributeError, RecordError) as wrong:
            field = f": field {wrong.field!r} of its message" if isinstance(wrong, RecordError) else ""  # fmt: skip
            raise Fault(f"answer is no chat completion{field}") from None
        if message.role != "assistant":
            raise Fault(f"answer is no chat completion: its role is {message.role!r}")
        if not all(map(_is_call, message.tool_calls)):
            raise Fault("answer is no chat completion: a tool call is none of a function")
        metadata = dict(usage.notes)
        whole = isinstance(finish, str) and finish in FINISH
        if reasoning is not None and self.reasoning == "metadata":
            metadata["reasoning"] = reasoning
        if self.logprobs and (logprobs := _logprobs(choice.get("logprobs"))) is not None:
            metadata["logprobs"] = logprobs
        return Completion(
            messages=(message,) if whole else (),
            finish_reason=FINISH[finish] if whole else "error",
            token_count=usage.counts[share],
            prompt_token_count=usage.prompt,
            model=usage.model if usage.model != self.model else None,
            error=None if whole else f"server finished with {finish!r}"[:200],
            metadata=metadata if whole else {},
            cost=usage.cost(share, self.prompt_price, self.completion_price),
        )

    def _message(self, raw: dict[str, Any]) -> tuple[Message, str | None]:
        """Return the message, with its reasoning in it if it is to be there, and the reasoning."""
        given = {k: v for k, v in raw.items() if v is not None and v != []}
        role, content = given.get("role"), given.get("content")
        if len(given) == 2 and type(role) is type(content) is str:
            return Message(role, content), None
        reasoning = _reasoning(given)
        if reasoning is not None and self.reasoning == "message":
            given["reasoning_content"] = reasoning
        message = Message.from_row(given)
        if reasoning is not None and self.reasoning == "think":
            thought = f"<think>\n{reasoning}\n</think>\n\n{message.text}"
            message = evolve(message, content=thought)
        elif message.content is None and not message.tool_calls:
            message = evolve(message, content="")
        return message, reasoning


@define
class _Usage:
    """What an answer says of itself as a whole, and which part of it each choice has.

    What is missing, or is no count, is 0 tokens and of unknown cost. A server counts the tokens of all choices together. Where there are
    several, each has as many as it has log-probabilities if those are all known and their sum is right; else a share by its length, which
    its metadata say: ``token_count: shared``.
    """

    model: str | None
    is_known: bool
    prompt: int
    counts: Sequence[int]
    notes: Mapping[str, Any]

    @classmethod
    def of(cls, answer: Mapping[str, Any], choices: Sequence[Any]) -> _Usage:
        served_by, usage = answer.get("model"), answer.get("usage")
        prompt, told = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        total = told or 0
        counts, notes = [total], {}
        if len(choices) > 1:
            known = [_logprobs(choice.get("logprobs")) if type(choice) is dict else None for choice in choices]  # fmt: skip
            counts = [len(one["tokens"]) if one else 0 for one in known]
            if sum(counts) != total:
                counts, notes = _shares(total, [_size(choice) for choice in choices]), {"token_count": "shared"}  # fmt: skip
        return cls(
            served_by if isinstance(served_by, str) else None,
            prompt is not None and told is not None,
            prompt or 0,
            counts,
            notes,
        )

    def cost(self, share: int, prompt: float | None, completion: float | None) -> float | None:
        """Return what a choice cost at prices per million tokens; the prompt is paid for once by all."""
        if prompt is None or completion is None or not self.is_known:
            return None
        return (self.prompt / len(self.counts) * prompt + self.counts[share] * completion) / 1e6


def _index(choice: Any, place: int) -> int:
    """Return which choice this is: as the server counts, or by its place where it does not; beyond all if it is none."""
    index = choice.get("index") if type(choice) is dict else None
    if index is None:
        return place
    return index if type(index) is int and index >= 0 else 2**62


def _is_call(call: Any) -> bool:
    """Return whether this is a call of a function; what its arguments say is the model's own affair."""
    function = call.get("function") if type(call) is dict else None
    return (
        type(function) is dict
        and call.get("type", "function") == "function"
        and isinstance(call.get("id"), str | None)
        and isinstance(function.get("name"), str)
        and function["name"] != ""
        and isinstance(function.get("arguments"), str | dict)
    )


def _reasoning(raw: dict[str, Any]) -> str | None:
    """Take the reasoning out of a message: ``reasoning_content`` or, as other servers say, ``reasoning``."""
    found = None
    for name in ("reasoning", "reasoning_content"):
        if isinstance(text := raw.get(name), str):
            del raw[name]
            found = text or found
    return found


def _logprobs(given: Any) -> dict[str, list[Any]] | None:
    """Return the tokens of an answer and their log-probabilities in nats; None where the server does not tell them."""
    items = given.get("content") if type(given) is dict else None
    if not isinstance(items, list):
        return None
    tokens, logprobs = [], []
    for item in items:
        token = item.get("token") if type(item) is dict else None
        logprob = item.get("logprob") if type(item) is dict else None
        if not isinstance(token, str) or not is_number(logprob):
            return None
        tokens.append(token)
        logprobs.append(logprob)
    return {"tokens": tokens, "logprobs": logprobs}


def _size(choice: Any) -> int:
    """Return a number that grows with the tokens of a choice."""
    message = choice.get("message") if type(choice) is dict else None
    return 1 + (len(orjson.dumps(message)) if type(message) is dict else 0)


def _shares(total: int, sizes: Sequence[int]) -> list[int]:
    """Share a whole number out by size, so that the sum is exact."""
    exact = [total * size / sum(sizes) for size in sizes]
    counts = [math.floor(one) for one in exact]
    short = sorted(range(len(sizes)), key=lambda n: counts[n] - exact[n])
    for n in short[: total - sum(counts)]:
        counts[n] += 1
    return counts


def _count(usage: object, key: str) -> int | None:
    value = usage.get(key) if type(usage) is dict else None
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None
