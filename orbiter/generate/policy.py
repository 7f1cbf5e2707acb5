"""The Policy ABC: what answers a prompt."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen

from orbiter.convert import show, unstructure
from orbiter.errors import ConfigError, PolicyError, RecordError, user_code
from orbiter.jsonl import MAX_LINE_BYTES, dumps
from orbiter.records import Message

if TYPE_CHECKING:
    from orbiter.train.backend import Finding

MAX_ANSWER_BYTES = MAX_LINE_BYTES // 4
"""Longest answer that is recorded, as JSON with its metadata: two of them and a prompt are one row of pairs."""


@frozen(kw_only=True)
class Sampling:
    """How to sample.

    Args:
        temperature: 0 is greedy; must be >= 0.
        top_p: Nucleus share in (0, 1]; 1 is off.
        top_k: Number of candidates; 0 is off.
        max_new_tokens: Bound on the answer's length in tokens.
        stop: Texts that end an answer; they are not part of it.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 512
    stop: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        rules = (
            ("temperature", self.temperature >= 0, ">= 0"),
            ("top_p", 0 < self.top_p <= 1, "in (0, 1]"),
            ("top_k", self.top_k >= 0, ">= 0"),
            ("max_new_tokens", self.max_new_tokens >= 1, ">= 1"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise ConfigError(f"{name} must be {rule}, got {getattr(self, name)!r}")


@frozen(kw_only=True)
class Request:
    """One prompt to be answered once.

    Args:
        messages: The prompt.
        env: Environment of the task.
        task_id: The task.
        attempt: Which sample of the task this is, counted from 0.
        seed: Seed of this sample.
        tools: Tool schemas.
    """

    messages: tuple[Message, ...]
    env: str = ""
    task_id: str = ""
    attempt: int = 0
    seed: int = 0
    tools: tuple[Any, ...] = ()


@frozen(kw_only=True)
class Completion:
    """What a policy answered.

    Args:
        messages: The messages that follow the prompt; most often one assistant message. Empty on error.
        finish_reason: ``stop``, or ``length`` when the bound on tokens cut the answer off, or ``error``.
        token_count: Number of generated tokens.
        prompt_token_count: Number of prompt tokens; 0 if unknown.
        model: The model that answered, if it is not the policy's own.
        error: Why there is no answer, when finish_reason is ``error``.
        metadata: Anything else to be kept with the row.
        cost: What it cost, in the currency of the policy's prices; None if unknown.
        sample_count: How many answers of policies went into it: those that it was revised from too, and none if a program made it.
    """

    messages: tuple[Message, ...] = ()
    finish_reason: str = "stop"
    token_count: int = 0
    prompt_token_count: int = 0
    model: str | None = None
    error: str | None = None
    metadata: dict[str, Any] = field(factory=dict)
    cost: float | None = None
    sample_count: int = 1

    @classmethod
    def of(cls, text: str, **more: Any) -> Completion:
        """Return a completion of one assistant message."""
        return cls(messages=(Message("assistant", text),), **more)

    @classmethod
    def failed(cls, error: str) -> Completion:
        """Return a completion that holds no answer, because of ``error``."""
        return cls(finish_reason="error", error=error)


def taken_by(completions: Sequence[Completion]) -> dict[str, Any]:
    """Return what completions took together, as fields of the one that is made of them.

    The cost is None if that of one is unknown. One that failed and does not say what it cost is left out beside others: it gave no answer
    that was to be paid for.
    """
    costs = [c.cost for c in completions if c.error is None or c.cost is not None]
    known = [cost for cost in costs if cost is not None]
    return {
        "token_count": sum(c.token_count for c in completions),
        "cost": math.fsum(known) if known and len(known) == len(costs) else None,
        "sample_count": sum(c.sample_count for c in completions),
    }


@frozen(kw_only=True)
class Spending:
    """What answers of policies took.

    Args:
        samples: Answers that were asked for.
        tokens: Generated tokens, where they are known.
        cost: What the answers cost whose cost is known.
        priced: How many those are.
    """

    samples: int = 0
    tokens: int = 0
    cost: float = 0.0
    priced: int = 0

    @classmethod
    def of(cls, completions: Iterable[Completion]) -> Spending:
        """Return what these took."""
        given = list(completions)
        priced = [c for c in given if c.cost is not None]
        return cls(
            samples=sum(c.sample_count for c in given),
            tokens=sum(c.token_count for c in given),
            cost=_summed(c.cost for c in priced),
            priced=sum(c.sample_count for c in priced),
        )

    def __add__(self, other: Spending) -> Spending:
        return Spending(
            samples=self.samples + other.samples,
            tokens=self.tokens + other.tokens,
            cost=_summed((self.cost, other.cost)),
            priced=self.priced + other.priced,
        )

    def beside(self, part: Spending) -> Spending:
        """Return what is left of it without a part."""
        return Spending(
            samples=max(0, self.samples - part.samples),
            tokens=max(0, self.tokens - part.tokens),
            cost=max(0.0, _summed((self.cost, -part.cost))),
            priced=max(0, self.priced - part.priced),
        )


def _summed(costs: Iterable[float | None]) -> float:
    """Return a sum of prices, without the last digits, which depend on the order."""
    return round(math.fsum(cost for cost in costs if cost is not None), 9)


class Policy(ABC):
    """Answers prompts.

    A small complete subclass:

        class Parrot(Policy):
            name = "parrot"

            async def complete(self, requests, sampling):
                return [Completion.of(request.messages[-1].text) for request in requests]

    Contract: ``complete`` returns one completion per request, in their order. The answers depend on the requests (their seeds
    included), the sampling and the loaded model alone, so that a batch that is asked again is answered the same. One prompt
    that cannot be answered is ``Completion.failed(why)``; raise PolicyError only when nothing can be answered at all.
    The engine sends batches of ``batch_size`` and keeps up to ``concurrency`` of them under way.
    """

    name: str
    """Name of the policy, written into every row."""

    batch_size: int = 1
    """How many requests ``complete`` is given at once."""

    concurrency: int = 1
    """How many batches may be under way at once."""

    @property
    def model(self) -> str | None:
        """The model or checkpoint that answers, as written into rows; None if there is none."""
        return None

    @abstractmethod
    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer each request once."""

    def load(self, checkpoint: Path) -> None:
        """Answer with the model in this folder from now on. Called after each training; a policy that cannot learn refuses."""
        raise ConfigError(
            f"policy {self.name!r} cannot load the checkpoint {str(checkpoint)!r}",
            hint="leave the train stage out, or use a policy that loads models, such as 'transformers'",
        )

    async def logps(self, answered: Sequence[tuple[Request, Completion]]) -> list[float]:  # noqa: ARG002
        """Return the log-probability in nats of each answer after its prompt, at temperature 1, its end included if it ended.

        Only what measures how far a model moved asks for it; a policy that cannot tell refuses.
        """
        raise ConfigError(f"policy {self.name!r} cannot tell the log-probability of an answer")

    @classmethod
    def examine(cls) -> Sequence[Finding]:
        """Return what ``orbiter doctor`` should say of this machine and what the policy needs of it."""
        return ()

    async def aclose(self) -> None:  # noqa: B027  # optional: most policies hold nothing open
        """Release connections and memory. Called once, at the end of a run."""


class WrappingPolicy(Policy):
    """Answers by another policy, and does something with its answers; a base class that says who answers, and in which batches.

    Args:
        policy: What answers.
        suffix: What the name has after the other's; None for the same name.
    """

    def __init__(self, policy: Policy, *, suffix: str | None = None) -> None:
        self.policy = policy
        self.name = policy.name if suffix is None else f"{policy.name}+{suffix}"
        self.batch_size, self.concurrency = policy.batch_size, policy.concurrency

    @property
    def model(self) -> str | None:
        """The model that answers."""
        return self.policy.model

    def load(self, checkpoint: Path) -> None:
        """Answer with another model from now on."""
        self.policy.load(checkpoint)

    async def aclose(self) -> None:
        """Release what the other policy holds."""
        await self.policy.aclose()


async def ask(
    policy: Policy, requests: Sequence[Request], sampling: Sampling
) -> Sequence[Completion]:
    """Return what a policy answers, one completion per request; whoever calls a policy calls it through this.

    An answer that no row can hold, such as half of a character, is no answer: its completion says why.

    Raises:
        UserCodeError: The policy raised.
        PolicyError: It returned something else than one completion per request.
    """
    with user_code(f"policy {policy.name!r}"):
        completions = await policy.complete(requests, sampling)
    if not isinstance(completions, list) or len(completions) != len(requests):
        got = len(completions) if isinstance(completions, list) else type(completions).__name__
        raise PolicyError(
            f"policy {policy.name!r} must return a list of {len(requests)} completions, got {got}"
        )
    for completion in completions:
        if not isinstance(completion, Completion):
            raise PolicyError(
                f"policy {policy.name!r} must return completions, got {show(completion)} among them"
            )
    return [_recordable(completion) for completion in completions]


async def ask_all(
    policy: Policy,
    requests: Sequence[Request],
    sampling: Sampling,
    *,
    gate: asyncio.Semaphore | None = None,
) -> list[Completion]:
    """Return what a policy answers to any number of requests, in batches of which it has as many under way as it bears.

    Args:
        policy: What answers.
        requests: The prompts.
        sampling: How.
        gate: What bounds the batches under way, where others ask the same policy at the same time.
    """
    size, gate = max(1, policy.batch_size), gate or gate_of(policy)

    async def answers(batch: Sequence[Request]) -> Sequence[Completion]:
        async with gate:
            return await ask(policy, batch, sampling)

    batches = [
        asyncio.ensure_future(answers(requests[start : start + size]))
        for start in range(0, len(requests), size)
    ]
    try:
        return [answer for batch in await asyncio.gather(*batches) for answer in batch]
    finally:
        for batch in batches:
            batch.cancel()


def gate_of(policy: Policy) -> asyncio.Semaphore:
    """Return what lets as many batches through at once as a policy bears."""
    return asyncio.Semaphore(max(1, policy.concurrency))


def _recordable(completion: Completion) -> Completion:
    """Return a completion that a row can hold: this one, or one that says why it cannot."""
    few = len(completion.messages) < 10
    if few and not completion.metadata and all(map(_is_plain, completion.messages)):
        return completion
    try:
        answer = {"messages": unstructure(completion.messages), "metadata": completion.metadata}
        size = len(dumps(answer))
    except RecordError as fault:
        why = fault.message
    else:
        if size <= MAX_ANSWER_BYTES:
            return completion
        why = f"must be at most {MAX_ANSWER_BYTES} bytes long, got {size}"
    return attrs.evolve(
        completion,
        messages=(),
        finish_reason="error",
        error=f"answer cannot be recorded: {why}",
        metadata={},
    )


def _is_plain(message: Message) -> bool:
    """Return whether any row can hold a message: most are short and of plain text, which is seen at a glance."""
    said = message.content
    other = message.tool_calls or message.extra or message.name or message.tool_call_id
    return isinstance(said, str) and said.isascii() and len(said) < 50_000 and not other
