"""Critique and revision, with scripted policies that say what they were shown."""

import asyncio
from pathlib import Path

import pytest

from orbiter.errors import ConfigError
from orbiter.generate.constitution import Constitution, Principle
from orbiter.generate.policy import Completion, Policy, Request, Sampling
from orbiter.generate.revising import RevisingPolicy
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.records import Message
from orbiter.testing import check_policy

RULES = Constitution((Principle("brevity", "Be brief."),))


def request(text="why?", **more):
    return Request(messages=(Message("user", text),), task_id=text, **more)


class Critic(Policy):
    """Remembers the conversations that it is shown, and answers as it is told."""

    name = "critic"
    batch_size = 2

    def __init__(self, say=None):
        self.shown, self.samplings = [], []
        self.say = say or (lambda asked: "too long" if "Criticise" in asked else "short")

    async def complete(self, requests, sampling):
        self.shown += [[(m.role, m.text) for m in r.messages] for r in requests]
        self.samplings.append(sampling)
        said = [self.say(r.messages[-1].text) for r in requests]
        return [
            one if isinstance(one, Completion) else Completion.of(one, token_count=2)
            for one in said
        ]


def first(text="a long answer", **more):
    return ScriptedPolicy(answers=lambda _: Completion.of(text, token_count=3, **more))


async def test_the_last_revision_follows_the_prompt_and_the_chain_is_kept():
    critic = Critic()
    policy = RevisingPolicy(first(), critic=critic, constitution=RULES, rounds=2, temperature=0.1)
    (said,) = await policy.complete([request(seed=4)], Sampling(temperature=0.9))
    assert said.messages == (Message("assistant", "short"),)
    assert said.metadata["revision"] == {
        "initial": "a long answer",
        "steps": [
            {"principle": "brevity", "critique": "too long", "answer": "short"},
            {"principle": "brevity", "critique": "too long", "answer": "short"},
        ],
        "critic": "critic",
    }
    assert said.token_count == 3 + 4 * 2
    assert policy.name == "scripted+revision"
    assert {s.temperature for s in critic.samplings} == {0.1}


async def test_each_turn_shows_the_conversation_before_it():
    critic = Critic()
    policy = RevisingPolicy(first(), critic=critic, constitution=RULES, rounds=2)
    await policy.complete([request()], Sampling())
    asked_to_criticise, asked_to_revise, again, _ = critic.shown
    assert asked_to_criticise[:2] == [("user", "why?"), ("assistant", "a long answer")]
    assert asked_to_criticise[2][1].startswith(
        "Criticise your last answer by this principle: Be brief."
    )
    assert asked_to_revise[:4] == [*asked_to_criticise, ("assistant", "too long")]
    assert asked_to_revise[4][1].startswith("Rewrite")
    # The second round begins with the revision.
    assert again[:2] == [("user", "why?"), ("assistant", "short")]


async def test_the_model_is_its_own_critic_unless_there_is_another():
    policy = Critic()
    (said,) = await RevisingPolicy(policy, constitution=RULES).complete([request()], Sampling())
    assert len(policy.shown) == 3
    assert said.messages[0].text == "short"
    assert "critic" not in said.metadata["revision"]


@pytest.mark.parametrize(
    ("say", "error"),
    [
        (lambda asked: Completion.failed("down"), "no critique: down"),
        (lambda asked: "" if "Rewrite" in asked else "fine", "no revision: nothing was said"),
        (lambda asked: Completion.of("x", finish_reason="length"), "no critique: it was cut off"),
    ],
)
async def test_a_chain_that_breaks_is_no_answer(say, error):
    policy = RevisingPolicy(first(), critic=Critic(say), constitution=RULES)
    (said,) = await policy.complete([request()], Sampling())
    assert (said.error, said.messages) == (error, ())


async def test_one_broken_chain_leaves_the_others_whole():
    class Picky(Critic):
        async def complete(self, requests, sampling):
            said = await super().complete(requests, sampling)
            return [
                Completion.failed("refused") if r.messages[0].text == "bad" else one
                for r, one in zip(requests, said)
            ]

    policy = RevisingPolicy(first(), critic=Picky(), constitution=RULES, rounds=2)
    asked = [request("one"), request("bad"), request("two"), request("three")]
    said = await policy.complete(asked, Sampling())
    assert [c.error for c in said] == [None, "no critique: refused", None, None]
    assert {c.messages[0].text for c in said if c.messages} == {"short"}


@pytest.mark.parametrize(
    "answer",
    [
        Completion.failed("no answer"),
        Completion.of("cut", finish_reason="length"),
        Completion(messages=(Message("assistant", None, tool_calls=({"type": "function", "function": {"name": "f", "arguments": {}}},)),)),
    ],
)  # fmt: skip
async def test_what_is_no_whole_answer_in_words_is_left_as_it_is(answer):
    critic = Critic()
    policy = RevisingPolicy(
        ScriptedPolicy(answers=lambda _: answer), critic=critic, constitution=RULES
    )
    assert await policy.complete([request()], Sampling()) == [answer]
    assert critic.shown == []


def test_it_keeps_the_contract_of_a_policy():
    def make():
        return RevisingPolicy(first(), critic=Critic(), constitution=RULES)

    check_policy(make, [request(str(n), seed=n) for n in range(4)])


def test_loading_reaches_the_policy_that_answers_and_not_the_critic(tmp_path):
    (tmp_path / "scripted.json").write_text('{"accuracy": 0.25}')
    inner = ScriptedPolicy(answers={"why?": "a"})
    policy = RevisingPolicy(inner, critic=Critic(), constitution=RULES)
    policy.load(Path(tmp_path))
    assert inner.accuracy == 0.25
    with pytest.raises(ConfigError, match="rounds must be"):
        RevisingPolicy(inner, rounds=0)


@pytest.mark.parametrize("own_critic", [True, False])
async def test_closing_reaches_all_who_answer_once(saying, own_critic):
    inner, critic = saying(None), saying(None)
    policy = RevisingPolicy(inner, critic=critic if own_critic else None)
    await policy.aclose()
    assert (inner.closed_count, critic.closed_count) == (1, int(own_critic))


async def test_what_a_chain_cost_is_that_of_all_its_completions():
    def say(asked):
        return Completion.of("short", token_count=2, cost=0.5)

    policy = RevisingPolicy(first(cost=0.25), critic=Critic(say), constitution=RULES, rounds=2)
    (said,) = await policy.complete([request()], Sampling())
    assert (said.cost, said.token_count, said.sample_count) == (2.25, 3 + 4 * 2, 5)
    policy = RevisingPolicy(first(), critic=Critic(say), constitution=RULES)
    (said,) = await policy.complete([request()], Sampling())
    assert said.cost is None  # of the first answer it is unknown


async def test_what_was_paid_for_before_the_critic_fell_silent_is_not_forgotten():
    critic = Critic(lambda _: Completion.failed("down"))
    policy = RevisingPolicy(first(cost=0.25), critic=critic, constitution=RULES)
    (said,) = await policy.complete([request()], Sampling())
    assert said.error == "no critique: down"
    assert (said.cost, said.token_count, said.sample_count) == (0.25, 3, 2)
    assert len(critic.shown) == 1  # nobody is asked to mend what was not named


@pytest.mark.parametrize("nothing", [Completion.of(" \n"), Completion()])
async def test_an_answer_that_says_nothing_is_not_criticised(nothing):
    critic = Critic()
    answering = ScriptedPolicy(answers=lambda _: nothing)
    (said,) = await RevisingPolicy(answering, critic=critic, constitution=RULES).complete(
        [request()], Sampling()
    )
    assert (said, critic.shown) == (nothing, [])


class Busy(Critic):
    """Notes how many batches are under way at once."""

    def __init__(self, *, batch_size, concurrency):
        super().__init__()
        self.batch_size, self.concurrency = batch_size, concurrency
        self.under_way, self.most = 0, 0

    async def complete(self, requests, sampling):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        for _ in range(3):
            await asyncio.sleep(0)
        self.under_way -= 1
        return await super().complete(requests, sampling)


@pytest.mark.parametrize(("answers_at_once", "batches"), [(1, 6), (6, 1)])
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_critic_of_its_own_is_asked_as_many_at_once_as_it_bears(
    answers_at_once, batches, concurrency
):
    critic = Busy(batch_size=1, concurrency=concurrency)
    policy = RevisingPolicy(first(), critic=critic, constitution=RULES)
    await asyncio.gather(
        *(
            policy.complete([request(f"{b}-{n}") for n in range(answers_at_once)], Sampling())
            for b in range(batches)
        )
    )
    assert critic.most == concurrency
