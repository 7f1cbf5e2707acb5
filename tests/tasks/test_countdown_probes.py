"""Each probe is what its family says, by the exact arithmetic of the verifier's own parser."""

import re
from collections import Counter
from fractions import Fraction

import pytest

from orbiter.tasks.countdown import Countdown
from orbiter.tasks.countdown_probes import countdown_probes
from orbiter.verify.answer import answered
from orbiter.verify.arithmetic import evaluate, numbers, parse
from orbiter.verify.countdown import CountdownVerifier
from orbiter.verify.verifier import judge

SHAPES = [
    {},
    {"numbers": 2},
    {"numbers": 3, "high": 4},
    {"numbers": 2, "low": 1, "high": 1, "max_target": 1},
    {"numbers": 5, "max_target": 1000},
]


def tasks_of(shape):
    environment = Countdown(**shape)
    return [environment.task(index, seed=0) for index in range(12)]


def probes_of(task):
    given, target = task.answer["numbers"], task.answer["target"]
    return {probe.family: probe for probe in countdown_probes(given, target)}, given, target


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_verifier_agrees_with_every_label(shape):
    for task in tasks_of(shape):
        for probe in Countdown(**shape).probes(task):
            verdict = judge(CountdownVerifier(), task, answered(task, probe.answer))
            assert verdict.outcome == ("pass" if probe.correct else "fail"), (probe, verdict)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_only_the_use_of_numbers_is_wrong_where_the_family_says_so(shape):
    for task in tasks_of(shape):
        found, given, target = probes_of(task)
        unlisted, twice = (parse(found[f].answer) for f in ("unlisted number", "number used twice"))
        assert evaluate(unlisted) == evaluate(twice) == target
        assert set(numbers(unlisted)) - set(given)
        assert set(numbers(twice)) <= set(given)
        assert Counter(numbers(twice)) - Counter(given)


def test_a_truncated_value_is_a_fraction_whose_whole_part_is_the_target():
    found = 0
    for task in tasks_of({}):
        probes, given, target = probes_of(task)
        if "value after int()" in probes:
            tree = parse(probes["value after int()"].answer)
            value = evaluate(tree)
            assert value.denominator > 1
            assert int(value) == target
            assert not Counter(numbers(tree)) - Counter(given)
            found += 1
    assert found >= 4


def test_off_by_one_and_hedged_are_over_the_given_numbers():
    for task in tasks_of({}):
        probes, given, target = probes_of(task)
        if "wrong by one" in probes:
            tree = parse(probes["wrong by one"].answer)
            assert abs(evaluate(tree) - target) == 1
            assert not Counter(numbers(tree)) - Counter(given)
            right, _, wrong = probes["hedged"].answer.partition(" or ")
            assert (evaluate(parse(right)), wrong) == (target, probes["wrong by one"].answer)


def test_each_family_comes_once_for_a_task():
    for task in tasks_of({}):
        families = [probe.family for probe in Countdown().probes(task)]
        assert len(families) == len(set(families))
        assert {"unlisted number", "number used twice", "format variant"} <= set(families)


def test_a_task_without_a_solution_has_no_probes():
    assert list(countdown_probes([2, 4], 3)) == []


def test_a_number_given_often_is_used_more_often_still():
    (twice,) = (p for p in countdown_probes([1, 1, 1, 1], 1) if p.family == "number used twice")
    assert Fraction(evaluate(parse(twice.answer))) == 1
    assert len(re.findall(r"\d", twice.answer)) > 4
