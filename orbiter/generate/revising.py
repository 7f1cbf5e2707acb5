"""Critique and revision: a policy that criticises its answers by a constitution and rewrites them (Bai et al. 2022)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import attrs
from attrs import define, field

from orbiter.checks import check_whole_number
from orbiter.generate.constitution import Constitution
from orbiter.generate.policy import (
    Completion,
    Policy,
    Request,
    Sampling,
    WrappingPolicy,
    ask,
    ask_all,
    gate_of,
    taken_by,
)
from orbiter.records import Message
from orbiter.tasks.streams import item_seed

CRITIQUE = (
    "Criticise your last answer by this principle: {principle}\n"
    "Name each place where the answer falls short of it, and why. If it keeps the principle, say so."
)
REVISE = (
    "Rewrite your answer so that it mends what the critique names and keeps all that was good. "
    "Reply with the rewritten answer alone."
)


@define
class _Chain:
    """An answer on its way.

    Args:
        request: What it answers.
        answer: The answer as it is now.
        completions: All that it took, the first answer before all.
        turns: What is said of the answer in this round.
        steps: The rounds that are done, as records keep them.
        error: Why it was given up.
    """

    request: Request
    answer: Message
    completions: list[Completion]
    turns: list[Message] = field(factory=list)
    steps: list[dict[str, str]] = field(factory=list)
    error: str | None = None


class RevisingPolicy(WrappingPolicy):
    """Answers as another policy does, has each answer criticised by a principle of a constitution, and revised.

        RevisingPolicy(policy, critic=teacher, constitution=Constitution.default(), rounds=2)

    The completion is the last revision, directly after the prompt, so that a row of it teaches the better answer and not the critique. The
    chain stands in its metadata, ``{"revision": {"initial": ..., "steps": [{"principle", "critique", "answer"}, ...]}}``, and the
    ``critic`` beside it where that is another policy, since the last words are then its own. An answer that could not be criticised or
    revised is no answer; one that says nothing, called tools or was cut off is left as it is.

    Args:
        policy: What answers first.
        critic: What criticises and revises; default: the same policy.
        constitution: Where the principles come from; default: :meth:`Constitution.default`.
        rounds: Critiques and revisions of each answer, >= 1; each draws a principle.
        temperature: That of critiques and revisions.
        max_new_tokens: Bound on each of them.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        critic: Policy | None = None,
        constitution: Constitution | None = None,
        rounds: int = 1,
        temperature: float = 0.3,
        max_new_tokens: int = 512,
    ) -> None:
        super().__init__(policy, suffix="revision")
        self.critic = critic or policy
        self._gates: WeakKeyDictionary[Any, asyncio.Semaphore] = WeakKeyDictionary()
        self.constitution = constitution or Constitution.default()
        self.rounds = check_whole_number("rounds", rounds, low=1)
        self.sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Answer each request, and revise the answer."""
        first = await ask(self.policy, requests, sampling)
        chains = {
            n: _Chain(request, completion.messages[0], [completion])
            for n, (request, completion) in enumerate(zip(requests, first))
            if _can_be_revised(completion)
        }
        for number in range(self.rounds):
            await self._revise(list(chains.values()), number)
        return [
            self._completed(chains[n]) if n in chains else completion
            for n, completion in enumerate(first)
        ]

    async def aclose(self) -> None:
        """Release what the policy and its critic hold."""
        await super().aclose()
        if self.critic is not self.policy:
            await self.critic.aclose()

    async def _revise(self, chains: Sequence[_Chain], number: int) -> None:
        """Criticise and rewrite the answers of those chains that have not failed."""
        going = [chain for chain in chains if chain.error is None]
        drawn = [self.constitution.draw(c.request.seed, c.request.task_id, number) for c in going]
        for chain, principle in zip(going, drawn):
            chain.turns = [Message("user", CRITIQUE.format(principle=principle.text))]
        await self._ask(going, "critique", number)
        criticised = [chain for chain in going if chain.error is None]
        for chain in criticised:
            chain.turns.append(Message("user", REVISE))
        await self._ask(criticised, "revision", number)
        for chain, principle in zip(going, drawn):
            if chain.error is None:
                _, critique, _, chain.answer = chain.turns
                step = {"critique": critique.text, "answer": chain.answer.text}
                chain.steps.append({"principle": principle.name, **step})

    async def _ask(self, chains: Sequence[_Chain], what: str, number: int) -> None:
        """Add what the critic says to the turns of each chain; one to which it says nothing whole is given up."""
        requests = [
            attrs.evolve(
                chain.request,
                messages=(*chain.request.messages, chain.answer, *chain.turns),
                seed=item_seed(what, chain.request.seed, number),
                tools=(),
            )
            for chain in chains
        ]
        for chain, completion in zip(chains, await self._criticised(requests)):
            chain.completions.append(completion)
            text = completion.messages[-1].text.strip() if completion.messages else ""
            if completion.finish_reason != "stop" or not text:
                why = completion.error or ("it was cut off" if text else "nothing was said")
                chain.error = f"no {what}: {why}"
            chain.turns.append(Message("assistant", text))

    async def _criticised(self, requests: Sequence[Request]) -> list[Completion]:
        """Return what the critic answers, with as many batches under way as it bears, however many answers are revised at once."""
        if self.critic is self.policy:
            # The batch of answers that are revised is one that it bears, and is not under way itself.
            return list(await ask(self.critic, requests, self.sampling)) if requests else []
        gate = self._gates.setdefault(asyncio.get_running_loop(), gate_of(self.critic))
        return await ask_all(self.critic, requests, self.sampling, gate=gate)

    def _completed(self, chain: _Chain) -> Completion:
        """Return what a chain has come to, with all that it took."""
        spent = taken_by(chain.completions)
        if chain.error is not None:
            return attrs.evolve(Completion.failed(chain.error), **spent)
        first = chain.completions[0]
        told: dict[str, Any] = {"initial": first.messages[-1].text, "steps": chain.steps}
        if self.critic is not self.policy:
            told["critic"] = self.critic.model or self.critic.name
        metadata = {**first.metadata, "revision": told}
        return attrs.evolve(first, messages=(chain.answer,), metadata=metadata, **spent)


def _can_be_revised(completion: Completion) -> bool:
    """Return whether a completion is one whole answer in words."""
    if completion.finish_reason != "stop" or len(completion.messages) != 1:
        return False
    (answer,) = completion.messages
    return bool(answer.text.strip()) and not answer.tool_calls
