"""What holds for every built-in environment."""

import pytest

from orbiter.plugin import registry
from orbiter.records import Message, Task, Trajectory
from orbiter.tasks import TaskStream
from orbiter.tasks.addition import Addition
from orbiter.tasks.countdown import Countdown
from orbiter.tasks.reversal import Reversal
from orbiter.tasks.sorting import Sorting
from orbiter.testing import check_environment
from orbiter.verify.verifier import judge

ENVIRONMENTS = [
    Sorting(),
    Sorting(length=3, low=2, high=5),
    Addition(),
    Addition(digits=2, reverse=True),
    Reversal(),
    Reversal(length=3, alphabet="xyz"),
    Countdown(),
    Countdown(numbers=3),
    Countdown(numbers=2, low=50, high=99, max_target=99),
]

every_environment = pytest.mark.parametrize(
    "environment", ENVIRONMENTS, ids=[f"{e.name}-{n}" for n, e in enumerate(ENVIRONMENTS)]
)


def tasks_of(environment, count=60, seed=0):
    return [environment.task(index, seed=seed) for index in range(count)]


GOLDEN = [
    (Sorting(), "sort 71677278:", "12677778"),
    (Addition(), "689+81=", "770"),
    (Addition(reverse=True), "689+81=", "077"),
    (Reversal(), "reverse hbabihah:", "hahibabh"),
    (Countdown(), "make 19 from 3 7 7 8:", {"target": 19, "numbers": [3, 7, 7, 8]}),
]


@pytest.mark.parametrize(("environment", "prompt", "answer"), GOLDEN, ids=lambda v: str(v)[:12])
def test_a_task_is_the_same_for_ever(environment, prompt, answer):
    task = environment.task(7, seed=3)
    assert (task.prompt, task.answer) == (prompt, answer)


@every_environment
def test_order_of_calls_does_not_matter(environment):
    forwards = tasks_of(environment)
    backwards = [environment.task(index, seed=0) for index in reversed(range(60))]
    assert forwards == backwards[::-1]


@every_environment
def test_seeds_select_different_streams(environment):
    assert tasks_of(environment) != tasks_of(environment, seed=1)


@every_environment
def test_one_prompt_has_one_id_and_one_answer(environment):
    by_prompt = {}
    for seed in range(20):
        for task in tasks_of(environment, seed=seed):
            assert by_prompt.setdefault(task.prompt, task) == task
    assert len({task.task_id for task in by_prompt.values()}) == len(by_prompt)


@every_environment
def test_chars_cover_prompts_and_demonstrations(environment):
    for task in tasks_of(environment):
        assert set(task.prompt + environment.demonstrate(task)) <= set(environment.chars)


def test_chars_of_sorting_hold_nothing_else():
    environment = Sorting(low=3, high=4)
    used = {c for t in tasks_of(environment, 20) for c in t.prompt + environment.demonstrate(t)}
    assert set(environment.chars) == used


@every_environment
def test_verifier_accepts_demonstrations_and_nothing_corrupted(environment):
    verifier = registry().create("verifier", environment.verifier())
    for task in tasks_of(environment):
        right = environment.demonstrate(task)
        assert judge(verifier, task, answered(task, right)).score == 1.0
        assert judge(verifier, task, answered(task, right + "+1")).score == 0.0
        assert judge(verifier, task, answered(task, "")).score == 0.0


@every_environment
def test_demonstration_needs_the_prompt_only(environment):
    for task in tasks_of(environment, 20):
        bare = Task(task.env, task.task_id, task.messages)
        assert environment.demonstrate(bare) == environment.demonstrate(task)


@every_environment
def test_task_rows_come_back_as_they_were(environment):
    for task in tasks_of(environment, 5):
        assert Task.from_row(task.to_row()) == task


@every_environment
def test_stream_gives_distinct_prompts(environment):
    tasks = TaskStream(environment, seed=0).take(40, allow_fewer=True)
    assert len({task.prompt for task in tasks}) == len(tasks) > 20


@every_environment
def test_contract(environment):
    check_environment(lambda: environment)


@pytest.mark.parametrize("cls", [Sorting, Addition, Reversal, Countdown])
def test_contract_in_a_fresh_process(cls):
    check_environment(cls, count=3, fresh_process=True)


def answered(task, text):
    messages = (*task.messages, Message("assistant", text))
    return Trajectory(messages, task.env, task.task_id, None)
