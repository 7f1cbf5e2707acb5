from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.records import Message, Task
from orbiter.tasks.countdown import Countdown, solve
from orbiter.verify.arithmetic import evaluate, numbers, parse


@pytest.mark.parametrize(
    ("given_numbers", "target", "solution"),
    [
        ([7], 7, "7"),
        ([2, 3], 6, "2*3"),
        ([2, 3], 1, "3-2"),
        ([3, 8], 24, "3*8"),
        ([1, 5, 5, 5], 24, "5*5-1"),
        ([1, 2, 8], 4, "8/(1*2)"),
        ([1, 1], 5, None),
        ([2, 4], 3, None),
    ],
)
def test_solve(given_numbers, target, solution):
    assert solve(given_numbers, target) == solution


def test_solve_finds_what_only_fractions_reach():
    assert solve([1, 2, 3, 8], 28) == "8*(3+1/2)"


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(0, 60))
def test_a_solution_is_right(given_numbers, target):
    expression = solve(given_numbers, target)
    if expression is None:
        return
    tree = parse(expression)
    left = list(given_numbers)
    for number in numbers(tree):
        left.remove(number)
    assert evaluate(tree) == Fraction(target)


def test_numbers_are_shown_in_order_so_that_one_task_has_one_prompt():
    for index in range(50):
        task = Countdown().task(index, seed=0)
        assert task.answer["numbers"] == sorted(task.answer["numbers"])


def test_target_is_seldom_one_of_the_numbers():
    tasks = [Countdown(numbers=3).task(index, seed=0) for index in range(200)]
    assert not any(task.answer["target"] in task.answer["numbers"] for task in tasks)


def test_demonstrate_refuses_a_foreign_prompt():
    task = Task("countdown", "x", (Message("user", "make tea"),))
    with pytest.raises(ConfigError, match="prompt must be a countdown prompt, got 'make tea'"):
        Countdown().demonstrate(task)
