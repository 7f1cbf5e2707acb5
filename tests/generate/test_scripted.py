import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import ConfigError, UserCodeError
from orbiter.generate.hard_negatives import HardNegatives
from orbiter.generate.policy import Completion, Request, Sampling
from orbiter.generate.scripted import ScriptedPolicy, corrupted
from orbiter.plugin import registry
from orbiter.records import Message
from orbiter.tasks import TaskStream
from orbiter.tasks.sorting import Sorting
from orbiter.testing import check_policy


def asking(prompt, attempt=0, seed=0):
    return Request(messages=(Message("user", prompt),), attempt=attempt, seed=seed)


async def texts(policy, requests):
    completions = await policy.complete(requests, Sampling())
    return [c.error or c.messages[0].text for c in completions]


def requests_for(tasks, samples=1):
    return [
        Request(messages=task.messages, env=task.env, task_id=task.task_id, attempt=n)
        for task in tasks
        for n in range(samples)
    ]


async def test_answers_by_prompt():
    policy = ScriptedPolicy(answers={"a": "1", "b": ["2", "3"], "c": []})
    requests = [asking("a"), *(asking("b", n) for n in range(3)), asking("c"), asking("d")]
    missing = "no scripted answer for this prompt"
    assert await texts(policy, requests) == ["1", "2", "3", "2", missing, missing]


async def test_answers_by_function():
    def answer(request):
        return {"say": "said", "fail": Completion.failed("broke"), "none": None}[
            request.messages[0].text
        ]

    requests = [asking("say"), asking("fail"), asking("none")]
    assert await texts(ScriptedPolicy(answers=answer), requests) == [
        "said",
        "broke",
        "no scripted answer for this prompt",
    ]


async def test_a_function_that_raises_is_the_users():
    with pytest.raises(
        UserCodeError, match="answers function of a scripted policy raised KeyError"
    ):
        await ScriptedPolicy(answers=lambda r: {}["x"]).complete([asking("a")], Sampling())


async def test_an_environment_demonstrates():
    tasks = TaskStream(Sorting(length=4), seed=0).take(20)
    for environment in (Sorting(length=4), "sorting", {"name": "sorting", "length": 4}):
        policy = ScriptedPolicy(environment=environment)
        assert await texts(policy, requests_for(tasks)) == [task.answer for task in tasks]


async def test_a_demonstration_that_is_no_text_is_the_environments_fault():
    class Counting(Sorting):
        def demonstrate(self, task):
            return 7

    (task,) = TaskStream(Counting(length=4), seed=0).take(1)
    with pytest.raises(
        UserCodeError, match="environment 'sorting' must return a text or None, got 7"
    ):
        await ScriptedPolicy(environment=Counting(length=4)).complete(
            requests_for([task]), Sampling()
        )
    with pytest.raises(
        UserCodeError, match="environment 'sorting' must return a text or None, got 7"
    ):
        await HardNegatives(environment=Counting(length=4)).generate(1)


async def test_accuracy_is_the_share_of_right_answers():
    tasks = TaskStream(Sorting(), seed=0).take(300)
    policy = registry().create("policy", "scripted", {"environment": "sorting", "accuracy": 0.3})
    given_texts = await texts(policy, requests_for(tasks, 4))
    right = [task.answer for task in tasks for _ in range(4)]
    assert 300 < sum(a == b for a, b in zip(given_texts, right)) < 420


async def test_no_right_answer_at_accuracy_zero_and_no_wrong_one_at_one():
    tasks = TaskStream(Sorting(), seed=0).take(100)
    for accuracy in (0, 1):
        policy = ScriptedPolicy(environment="sorting", accuracy=accuracy)
        right = [a == t.answer for a, t in zip(await texts(policy, requests_for(tasks)), tasks)]
        assert set(right) == {bool(accuracy)}


async def test_an_answer_depends_on_the_request_alone():
    requests = requests_for(TaskStream(Sorting(), seed=0).take(30), 3)
    policy = ScriptedPolicy(environment="sorting", accuracy=0.5)
    together = await texts(policy, requests)
    backwards = await texts(ScriptedPolicy(environment="sorting", accuracy=0.5), requests[::-1])
    one_by_one = [(await texts(policy, [request]))[0] for request in requests]
    assert together == backwards[::-1] == one_by_one


async def test_seeds_and_attempts_differ():
    policy = ScriptedPolicy(environment="sorting", accuracy=0.5)
    messages = Sorting().task(0, seed=0).messages
    by_attempt = [Request(messages=messages, attempt=n) for n in range(40)]
    by_seed = [Request(messages=messages, seed=n) for n in range(40)]
    assert len(set(await texts(policy, by_attempt))) > 10
    assert len(set(await texts(policy, by_seed))) > 10
    other = ScriptedPolicy(environment="sorting", accuracy=0.5, seed=1)
    assert await texts(policy, by_seed) != await texts(other, by_seed)


async def test_a_long_answer_is_cut():
    policy = ScriptedPolicy(answers={"a": "12345"})
    [cut] = await policy.complete([asking("a")], Sampling(max_new_tokens=3))
    assert cut == Completion.of("123", token_count=3, finish_reason="length")
    [whole] = await policy.complete([asking("a")], Sampling(max_new_tokens=5))
    assert whole == Completion.of("12345", token_count=5)


def test_contract():
    requests = requests_for(TaskStream(Sorting(), seed=0).take(12), 2)
    check_policy(
        lambda: ScriptedPolicy(environment="sorting", accuracy=0.5), requests, stochastic=True
    )


async def test_a_checkpoint_changes_the_accuracy(tmp_path):
    policy = ScriptedPolicy(environment="sorting", accuracy=0)
    (tmp_path / "scripted.json").write_text('{"accuracy": 1}')
    policy.load(tmp_path)
    task = Sorting().task(0, seed=0)
    assert await texts(policy, requests_for([task])) == [task.answer]


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"accuracy": NaN}'])
def test_a_checkpoint_must_hold_an_accuracy(tmp_path, content):
    if content is not None:
        (tmp_path / "scripted.json").write_text(content)
    with pytest.raises(ConfigError, match=r"must hold scripted\.json with an accuracy"):
        ScriptedPolicy(answers={}).load(tmp_path)


@pytest.mark.parametrize("accuracy", [-0.1, 1.1, "0.5", None, True, float("nan")])
def test_accuracy_must_be_a_probability(tmp_path, accuracy):
    with pytest.raises(ConfigError, match=r"accuracy must be a number in \[0, 1\], got "):
        ScriptedPolicy(answers={}, accuracy=accuracy)
    (tmp_path / "scripted.json").write_text(json.dumps({"accuracy": "high"}))
    with pytest.raises(ConfigError, match=r"accuracy in .* must be a number in \[0, 1\]"):
        ScriptedPolicy(answers={}).load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "scripted policy must have either an environment or answers"),
        (
            {"answers": {}, "environment": "sorting"},
            "scripted policy must have either an environment or answers",
        ),
        ({"answers": "42"}, "answers must be a mapping or a function, got '42'"),
    ],
)
def test_options(options, message):
    with pytest.raises(ConfigError) as caught:
        ScriptedPolicy(**options)
    assert caught.value.message == message


@given(st.text(max_size=20), st.integers(0, 2**32))
def test_a_corrupted_text_differs_in_one_place(text, seed):
    other = corrupted(text, random.Random(seed))
    assert other != text
    assert sum(a != b for a, b in zip(text, other)) == (1 if text else 0)
    assert len(other) == max(1, len(text))


@given(st.text(alphabet="0123456789", min_size=1), st.integers(0, 2**32))
def test_digits_stay_digits(text, seed):
    assert corrupted(text, random.Random(seed)).isdigit()
