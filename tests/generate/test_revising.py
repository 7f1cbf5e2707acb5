"""Critique and revision, with scripted policies that say what they were shown."""

import asyncio
from pathlib import Path

import pytest

from orbiter.errors import ConfigError
from orbiter.generate.constitution import Constitution, Principle
from orbiter.generate.policy import Completion, Request, Sampling
from orbiter.generate.revising import RevisingPolicy
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.records import Message
from orbiter.testing import check_policy

RULES = Constitution((Principle("brevity", "Be brief."),))


def request(text="why?", **more):
    return Request(messages=(Message("user", text),), task_id=text, **more)


def mending(request):
    """Say what a critic says: what is wrong, then something better."""
    return "too long" if "Criticise" in request.messages[-1].text else "short"


def shown(critic):
    """Return the conversations that a critic was shown."""
    return [[(m.role, m.text) for m in request.messages] for request in critic.asked]


def first(text="a long answer", **more):
    return ScriptedPolicy(answers=lambda _: Completion.of(text, token_count=3, **more))


async def test_the_last_revision_follows_the_prompt_and_the_chain_is_kept(saying):
    critic = saying(mending)
    policy = RevisingPolicy(first(), critic=critic, constitution=RULES, rounds=2, temperature=0.1)
    (said,) = await policy.complete([request(seed=4)], Sampling(temperature=0.9))
    assert said.messages == (Message("assistant", "short"),)
    assert said.metadata["revision"] == {
        "initial": "a long answer",
        "steps": [
            {"principle": "brevity", "critique": "too long", "answer": "short"},
            {"principle": "brevity", "critique": "too long", "answer": "short"},
        ],
        "critic": "saying",
    }
    assert said.token_count == 3 + 4
    assert policy.name == "scripted+revision"
    assert {s.temperature for s in critic.samplings} == {0.1}


async def test_each_turn_shows_the_conversation_before_it(saying):
    critic = saying(mending)
    policy = RevisingPolicy(first(), critic=critic, constitution=RULES, rounds=2)
    await policy.complete([request()], Sampling())
    asked_to_criticise, asked_to_revise, again, _ = shown(critic)
    assert asked_to_criticise[:2] == [("user", "why?"), ("assistant", "a long answer")]
    assert asked_to_criticise[2][1].startswith(
        "Criticise your last answer by this principle: Be brief."
    )
    assert asked_to_revise[:4] == [*asked_to_criticise, ("assistant", "too long")]
    assert asked_to_revise[4][1].startswith("Rewrite")
    # The second round begins with the revision.
    assert again[:2] == [("user", "why?"), ("assistant", "short")]


async def test_the_model_is_its_own_critic_unless_there_is_another(saying):
    policy = saying(mending)
    (said,) = await RevisingPolicy(policy, constitution=RULES).complete([request()], Sampling())
    assert len(policy.asked) == 3
    assert said.messages[0].text == "short"
    assert "critic" not in said.metadata["revision"]


@pytest.mark.parametrize(
    ("say", "error"),
    [
        (lambda request: Completion.failed("down"), "no critique: down"),
        (
            lambda request: "" if "Rewrite" in request.messages[-1].text else "fine",
            "no revision: nothing was said",
        ),
        (lambda request: Completion.of("x", finish_reason="length"), "no critique: it was cut off"),
    ],
)
async def test_a_chain_that_breaks_is_no_answer(saying, say, error):
    policy = RevisingPolicy(first(), critic=saying(say), constitution=RULES)
    (said,) = await policy.complete([request()], Sampling())
    assert (said.error, said.messages) == (error, ())


async def test_one_broken_chain_leaves_the_others_whole(saying):
    def picky(request):
        is_bad = request.messages[0].text == "bad"
        return Completion.failed("refused") if is_bad else mending(request)

    policy = RevisingPolicy(first(), critic=saying(picky), constitution=RULES, rounds=2)
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
async def test_what_is_no_whole_answer_in_words_is_left_as_it_is(saying, answer):
    critic = saying(mending)
    policy = RevisingPolicy(
        ScriptedPolicy(answers=lambda _: answer), critic=critic, constitution=RULES
    )
    assert await policy.complete([request()], Sampling()) == [answer]
    assert critic.asked == []


def test_it_keeps_the_contract_of_a_policy(saying):
    def make():
        return RevisingPolicy(first(), critic=saying(mending), constitution=RULES)

    check_policy(make, [request(str(n), seed=n) for n in range(4)])


def test_loading_reaches_the_policy_that_answers_and_not_the_critic(saying, tmp_path):
    (tmp_path / "scripted.json").write_text('{"accuracy": 0.25}')
    inner = ScriptedPolicy(answers={"why?": "a"})
    policy = RevisingPolicy(inner, critic=saying(mending), constitution=RULES)
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


async def test_what_a_chain_cost_is_that_of_all_its_completions(saying):
    def say(request):
        return Completion.of("short", token_count=2, cost=0.5)

    policy = RevisingPolicy(first(cost=0.25), critic=saying(say), constitution=RULES, rounds=2)
    (said,) = await policy.complete([request()], Sampling())
    assert (said.cost, said.token_count, said.sample_count) == (2.25, 3 + 4 * 2, 5)
    policy = RevisingPolicy(first(), critic=saying(say), constitution=RULES)
    (said,) = await policy.complete([request()], Sampling())
    assert said.cost is None  # of the first answer it is unknown


async def test_what_was_paid_for_before_the_critic_fell_silent_is_not_forgotten(saying):
    critic = saying(lambda _: Completion.failed("down"))
    policy = RevisingPolicy(first(cost=0.25), critic=critic, constitution=RULES)
    (said,) = await policy.complete([request()], Sampling())
    assert said.error == "no critique: down"
    assert (said.cost, said.token_count, said.sample_count) == (0.25, 3, 2)
    assert len(critic.asked) == 1  # nobody is asked to mend what was not named


@pytest.mark.parametrize("nothing", [Completion.of(" \n"), Completion()])
async def test_an_answer_that_says_nothing_is_not_criticised(saying, nothing):
    critic = saying(mending)
    answering = ScriptedPolicy(answers=lambda _: nothing)
    (said,) = await RevisingPolicy(answering, critic=critic, constitution=RULES).complete(
        [request()], Sampling()
    )
    assert (said, critic.asked) == (nothing, [])


@pytest.mark.parametrize(("answers_at_once", "batches"), [(1, 6), (6, 1)])
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_critic_of_its_own_is_asked_as_many_at_once_as_it_bears(
    saying, answers_at_once, batches, concurrency
):
    class Busy(saying):
        """Notes how many batches are under way at once."""

        under_way = most = 0

        async def complete(self, requests, sampling):
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            for _ in range(3):
                await asyncio.sleep(0)
            self.under_way -= 1
            return await super().complete(requests, sampling)

    critic = Busy(mending)
    critic.batch_size, critic.concurrency = 1, concurrency
    policy = RevisingPolicy(first(), critic=critic, constitution=RULES)
    await asyncio.gather(
        *(
            policy.complete([request(f"{b}-{n}") for n in range(answers_at_once)], Sampling())
            for b in range(batches)
        )
    )
    assert critic.most == concurrency
