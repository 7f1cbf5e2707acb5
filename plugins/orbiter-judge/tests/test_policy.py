import asyncio

import pytest
from orbiter_judge.policy import PolicyJudgeModel

from orbiter.errors import PolicyError
from orbiter.generate.policy import Completion, Policy
from orbiter.records import Message
from orbiter.verify.judges import Question


class Echo(Policy):
    """Says how it was asked."""

    name = "echo"
    batch_size, concurrency = 2, 3

    def __init__(self):
        self.calls, self.under_way, self.most_under_way = [], 0, 0

    async def complete(self, requests, sampling):
        self.calls.append(
            ([r.seed for r in requests], sampling.temperature, sampling.max_new_tokens)
        )
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1
        return [Completion.of(f"{r.seed} {sampling.temperature}", token_count=2) for r in requests]


def question(seed, **options):
    return Question(messages=(Message("user", "?"),), seed=seed, **options)


def test_questions_that_are_sampled_alike_are_asked_together_and_all_in_order():
    policy = Echo()
    model = PolicyJudgeModel(policy)
    questions = [question(1), question(2, temperature=0.0), question(3), question(4, max_tokens=9)]
    assert [r.text for r in model.ask(questions)] == ["1 0.2", "2 0.0", "3 0.2", "4 0.2"]
    assert policy.calls == [([1, 3], 0.2, 1024), ([2], 0.0, 1024), ([4], 0.2, 9)]
    assert model.ask([]) == []


def test_a_policy_is_asked_in_its_own_measure():
    policy = Echo()
    model = PolicyJudgeModel(policy)
    assert model.concurrency == 6
    assert [r.text for r in model.ask([question(n) for n in range(15)])] == [f"{n} 0.2" for n in range(15)]  # fmt: skip
    assert [len(seeds) for seeds, _, _ in policy.calls] == [2] * 7 + [1]
    assert policy.most_under_way == 3


def test_the_model_is_named_after_the_policy_unless_said():
    class Named(Echo):
        model = "small"

    assert PolicyJudgeModel(Echo()).model == "echo"
    assert PolicyJudgeModel(Named()).model == "small"
    assert PolicyJudgeModel(Named(), model="mine").model == "mine"


def test_tokens_that_nobody_counted_are_unknown():
    [reply] = PolicyJudgeModel(Echo(), prompt_price=1, completion_price=1).ask([question(1)])
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cost) == (None, 2, None)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ValueError("oops"), "policy 'bad' raised ValueError: oops"),
        (PolicyError("no model"), "no model"),
        ([], "policy 'bad' must return a list of 1 completions, got 0"),
        ([Completion.failed("busy")], "busy"),
        ([Completion()], "policy answered nothing"),
        ([Completion.of("\ud800")], "answer cannot be recorded"),
    ],
)
def test_what_goes_wrong_is_the_error_of_the_reply(answer, error):
    class Bad(Policy):
        name = "bad"

        async def complete(self, requests, sampling):
            if isinstance(answer, Exception):
                raise answer
            return answer

    [reply] = PolicyJudgeModel(Bad()).ask([question(1)])
    assert reply.text is None
    assert reply.error.startswith(error)
