import asyncio
import random

import pytest

from orbiter.generate.policy import Completion, Policy, Request
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.records import Message
from orbiter.tasks.streams import item_stream
from orbiter.testing import check_policy

REQUESTS = [
    Request(messages=(Message("user", f"sort {digits}:"),), env="sorting", attempt=n, seed=n)
    for n, digits in enumerate(("312", "321", "231", "132", "213", "321"))
]


def test_the_scripted_policy_keeps_the_contract():
    check_policy(lambda: ScriptedPolicy(environment="sorting"), REQUESTS)
    check_policy(
        lambda: ScriptedPolicy(environment="sorting", accuracy=0.5), REQUESTS, stochastic=True
    )
    check_policy(lambda: ScriptedPolicy(answers={"sort 312:": "123"}), REQUESTS)


class Parrot(Policy):
    """A right one, to be broken in one way each."""

    name = "parrot"

    async def complete(self, requests, sampling):
        return [Completion.of(r.messages[-1].text, token_count=3) for r in requests]


def test_a_right_policy_passes():
    check_policy(Parrot, REQUESTS)


class Sampler(Policy):
    name = "sampler"

    async def complete(self, requests, sampling):
        return [Completion.of(str(item_stream(r.seed).random())) for r in requests]


def test_a_right_sampler_passes():
    check_policy(Sampler, REQUESTS, stochastic=True)


class Nameless(Parrot):
    name = None


class NoBatch(Parrot):
    batch_size = 0


class WrongModel(Parrot):
    model = 7


class Synchronous(Parrot):
    def complete(self, requests, sampling):
        return [Completion.of("x") for _ in requests]


class Raising(Parrot):
    async def complete(self, requests, sampling):
        raise KeyError("x")


class Texts(Parrot):
    async def complete(self, requests, sampling):
        return [r.messages[-1].text for r in requests]


class Short(Parrot):
    async def complete(self, requests, sampling):
        return (await super().complete(requests, sampling))[:-1]


class Sorted(Parrot):
    """Sorts a batch by length, say, and forgets to put it back."""

    async def complete(self, requests, sampling):
        return sorted(await super().complete(requests, sampling), key=lambda c: c.messages[0].text)


class Random(Parrot):
    async def complete(self, requests, sampling):
        return [Completion.of(str(random.random())) for _ in requests]


class Counting(Parrot):
    def __init__(self):
        self.calls = 0

    async def complete(self, requests, sampling):
        self.calls += 1
        return [Completion.of(str(self.calls)) for _ in requests]


class PerInstance(Parrot):
    async def complete(self, requests, sampling):
        return [Completion.of(str(id(self))) for _ in requests]


class OddReason(Parrot):
    async def complete(self, requests, sampling):
        return [Completion.of("x", finish_reason="eos") for _ in requests]


class SilentError(Parrot):
    async def complete(self, requests, sampling):
        return [Completion(finish_reason="error") for _ in requests]


class Mute(Parrot):
    async def complete(self, requests, sampling):
        return [Completion() for _ in requests]


class Echo(Parrot):
    async def complete(self, requests, sampling):
        return [Completion(messages=(*r.messages, Message("assistant", "x"))) for r in requests]


class Wordy(Parrot):
    async def complete(self, requests, sampling):
        return [
            Completion.of("x", token_count=sampling.max_new_tokens + 1, finish_reason="length")
            for _ in requests
        ]


class Seedless(Parrot):
    pass


class LoadsAnything(Parrot):
    def load(self, checkpoint):
        pass


class LoadsBadly(Parrot):
    def load(self, checkpoint):
        (checkpoint / "model").read_text()


class NeverEmpty(Parrot):
    async def complete(self, requests, sampling):
        return await super().complete(requests, sampling) if requests else [Completion.of("x")]


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Nameless, "name"),
        (NoBatch, "batch_size"),
        (WrongModel, "model"),
        (Synchronous, "completions"),
        (Raising, "completions"),
        (Texts, "completions"),
        (Short, "one completion per request"),
        (NeverEmpty, "one completion per request"),
        (Sorted, "order"),
        (Random, "same answers again"),
        (Counting, "same answers again"),
        (PerInstance, "same answers again"),
        (OddReason, "finish reasons"),
        (SilentError, "finish reasons"),
        (Mute, "answers"),
        (Echo, "answers"),
        (Wordy, "token counts"),
        (LoadsAnything, "checkpoints"),
        (LoadsBadly, "checkpoints"),
    ],
)
def test_a_broken_clause_is_named(broken, clause):
    with pytest.raises(AssertionError) as caught:
        check_policy(broken, REQUESTS)
    assert f" breaks {clause!r}: " in str(caught.value)


def test_a_policy_that_ignores_its_seed_is_found():
    with pytest.raises(AssertionError, match="breaks 'seeds'"):
        check_policy(Parrot, REQUESTS, stochastic=True)


def test_the_policy_is_closed_even_when_a_clause_is_broken():
    closed = []

    class Closing(Short):
        async def aclose(self):
            await asyncio.sleep(0)
            closed.append(self)

    with pytest.raises(AssertionError):
        check_policy(Closing, REQUESTS)
    assert len(closed) == 2


def test_different_prompts_are_needed():
    with pytest.raises(ValueError, match="at least two different prompts"):
        check_policy(Parrot, REQUESTS[:1])
