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
    total_cost,
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
    """An answer on its way: the request, the answer as it is now, and what is known of it so far."""

    request: Request
    first: Completion
    answer: Message
    steps: list[dict[str, str]] = field(factory=list)
    completions: list[Completion] = field(factory=list)
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
            n: _Chain(request, completion, completion.messages[0], completions=[completion])
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
        drawn = [
            self.constitution.draw(chain.request.seed, chain.request.task_id, number)
            for chain in going
        ]
        prompts = [
            Message("user", CRITIQUE.format(principle=principle.text)) for principle in drawn
        ]
        critiques = await self._ask(going, [(prompt,) for prompt in prompts], "critique", number)
        criticised = [
            (chain, principle, (prompt, critique))
            for chain, principle, prompt, critique in zip(going, drawn, prompts, critiques)
            if chain.error is None
        ]
        revisions = await self._ask(
            [chain for chain, _, _ in criticised],
            [(*said, Message("user", REVISE)) for _, _, said in criticised],
            "revision",
            number,
        )
        for (chain, principle, (_, critique)), revision in zip(criticised, revisions):
            if chain.error is None:
                chain.steps.append(
                    {
                        "principle": principle.name,
                        "critique": critique.text,
                        "answer": revision.text,
                    }
                )
                chain.answer = revision

    async def _ask(
        self, chains: Sequence[_Chain], turns: Sequence[tuple[Message, ...]], what: str, number: int
    ) -> list[Message]:
        """Return what the critic says to each chain and the turns that follow it; a chain that it fails is given up."""
        requests = [
            attrs.evolve(
                chain.request,
                messages=(*chain.request.messages, chain.answer, *more),
                seed=item_seed(what, chain.request.seed, number),
                tools=(),
            )
            for chain, more in zip(chains, turns)
        ]
        said: list[Message] = []
        for chain, completion in zip(chains, await self._criticised(requests)):
            chain.completions.append(completion)
            text = completion.messages[-1].text.strip() if completion.messages else ""
            if completion.finish_reason != "stop" or not text:
                why = completion.error or ("it was cut off" if text else "nothing was said")
                chain.error = f"no {what}: {why}"
            said.append(Message("assistant", text))
        return said

    async def _criticised(self, requests: Sequence[Request]) -> list[Completion]:
        """Return what the critic answers, with as many batches under way as it bears, however many answers are revised at once."""
        if self.critic is self.policy:
            # The batch of answers that are revised is one that it bears, and is not under way itself.
            return list(await ask(self.critic, requests, self.sampling)) if requests else []
        gate = self._gates.setdefault(asyncio.get_running_loop(), gate_of(self.critic))
        return await ask_all(self.critic, requests, self.sampling, gate=gate)

    def _completed(self, chain: _Chain) -> Completion:
        """Return what a chain has come to, with all that it took."""
        spent: dict[str, Any] = {
            "token_count": sum(completion.token_count for completion in chain.completions),
            "cost": total_cost(chain.completions),
            "sample_count": sum(completion.sample_count for completion in chain.completions),
        }
        if chain.error is not None:
            return attrs.evolve(Completion.failed(chain.error), **spent)
        told: dict[str, Any] = {"initial": chain.first.messages[-1].text, "steps": chain.steps}
        if self.critic is not self.policy:
            told["critic"] = self.critic.model or self.critic.name
        metadata = {**chain.first.metadata, "revision": told}
        return attrs.evolve(chain.first, messages=(chain.answer,), metadata=metadata, **spent)


def _can_be_revised(completion: Completion) -> bool:
    """Return whether a completion is one whole answer in words."""
    if completion.finish_reason != "stop" or len(completion.messages) != 1:
        return False
    (answer,) = completion.messages
    return bool(answer.text.strip()) and not answer.tool_calls
