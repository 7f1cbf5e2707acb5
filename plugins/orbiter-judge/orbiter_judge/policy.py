"""Any policy as a judge model: a local one, a recorded one, a server."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence

from orbiter.errors import ConfigError, OrbiterError
from orbiter.generate.policy import Completion, Policy, Request, Sampling, ask
from orbiter.tasks.component import Spec, make_component
from orbiter.verify.judges import JudgeModel, Question, Reply
from orbiter_judge.event_loop import EventLoopThread


class PolicyJudgeModel(JudgeModel):
    """Ask a policy.

    It is given batches of its ``batch_size``, and has up to ``concurrency`` of them under way. What it raises becomes the error of
    the replies of that batch.

    Args:
        policy: A Policy, or the name of one with options beside it.
        model: Name of the model; default: the policy's model, or else its name.
        prompt_price: Price of a million prompt tokens, in any currency; None is unknown.
        completion_price: Price of a million tokens of replies, in the same currency; None is unknown.
    """

    def __init__(
        self,
        policy: Policy | Spec,
        *,
        model: str | None = None,
        prompt_price: float | None = None,
        completion_price: float | None = None,
    ) -> None:
        for name, price in (
            ("prompt_price", prompt_price),
            ("completion_price", completion_price),
        ):
            if price is not None and not (type(price) in (int, float) and 0 <= price < 1e12):
                raise ConfigError(f"{name} must be a number >= 0 or null, got {price!r}")
        self.policy: Policy = make_component("policy", policy, Policy)  # type: ignore[type-abstract]
        self.model = model or self.policy.model or self.policy.name
        self.concurrency = self.policy.batch_size * self.policy.concurrency
        self._prices = {"prompt_price": prompt_price, "completion_price": completion_price}
        self._loop = EventLoopThread()
        # What the policy holds is released when nobody can ask any more: with this object, or at exit.
        weakref.finalize(self, self._loop.stop, self.policy.aclose)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """Return one reply per question."""
        try:
            return self._loop.run(self._ask(questions))
        except OrbiterError as error:
            return [Reply(error=error.message)] * len(questions)

    async def _ask(self, questions: Sequence[Question]) -> list[Reply]:
        slots = asyncio.Semaphore(self.policy.concurrency)

        async def complete(numbers: Sequence[int], sampling: Sampling) -> None:
            requests = [_request(questions[number]) for number in numbers]
            async with slots:
                try:
                    completions = await ask(self.policy, requests, sampling)
                except OrbiterError as error:
                    completions = [Completion.failed(error.message)] * len(requests)
            replies.update(zip(numbers, map(self._reply, completions)))

        replies: dict[int, Reply] = {}
        await asyncio.gather(
            *(
                complete(numbers, sampling)
                for sampling, alike in _by_sampling(questions).items()
                for numbers in _batches(alike, self.policy.batch_size)
            )
        )
        return [replies[number] for number in range(len(questions))]

    def _reply(self, completion: Completion) -> Reply:
        if completion.error is not None or not completion.messages:
            return Reply(error=completion.error or "policy answered nothing")
        # A server that does not count says 0; a prompt is never that short.
        tokens = [n or None for n in (completion.prompt_token_count, completion.token_count)]
        return Reply(
            text=completion.messages[-1].text,
            truncated=completion.finish_reason == "length",
            model=completion.model,
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
            cost=self._cost(*tokens),
        )

    def _cost(self, *tokens: int | None) -> float | None:
        parts = [
            None if count is None or price is None else count * price / 1e6
            for count, price in zip(tokens, self._prices.values())
        ]
        return None if None in parts else sum(part for part in parts if part is not None)


def _request(question: Question) -> Request:
    return Request(messages=question.messages, env="judge", seed=question.seed)


def _batches(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def _by_sampling(questions: Sequence[Question]) -> dict[Sampling, list[int]]:
    groups: dict[Sampling, list[int]] = {}
    for number, question in enumerate(questions):
        sampling = Sampling(temperature=question.temperature, max_new_tokens=question.max_tokens)
        groups.setdefault(sampling, []).append(number)
    return groups
