import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.verify.process import Process
from orbiter.verify.verifier import Verifier, judge

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID
TASK = Task("e", "e:1", (Message("user", "q"),))
TRAJECTORY = Trajectory((*TASK.messages, Message("assistant", "42")), "e", "e:1", None)


class Scores(Verifier):
    name = "scores"

    def __init__(self, verdict):
        self.verdict = verdict

    def verify(self, task, trajectory):
        return self.verdict


def verdict_on(steps, **options):
    scored = Scores(Verdict.passed(details={"steps": steps}))
    return judge(Process(scored, **options), TASK, TRAJECTORY)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_product_and_minimum(steps):
    product, weakest = verdict_on(steps), verdict_on(steps, aggregate="min")
    assert product.score == math.prod(steps)
    assert weakest.score == min(steps)
    assert product.score <= weakest.score
    assert product.details == {"steps": steps}


@given(st.lists(st.none() | st.floats(0, 1), max_size=5), st.sampled_from(["product", "min"]))
def test_an_unknown_step_is_never_decided(steps, aggregate):
    verdict = verdict_on(steps, aggregate=aggregate, threshold=0.5)
    unknown = None in steps and 0 not in steps
    assert (verdict.outcome is INVALID) == (unknown or not steps)


@given(st.lists(st.none() | st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=5), st.data())
def test_what_is_decided_stays_when_unknown_steps_become_known(steps, data):
    verdict = verdict_on(steps, threshold=0.5)
    known = [data.draw(st.floats(0, 1)) if step is None else step for step in steps]
    if verdict.outcome is not INVALID:
        later = verdict_on(known, threshold=0.5)
        assert (later.outcome, later.score) == (verdict.outcome, verdict.score)


@pytest.mark.parametrize(
    ("steps", "options", "outcome", "reason"),
    [
        ([1, 1.0], {}, PASS, ""),
        ([1, 0.5], {}, FAIL, "scores: a step is wrong"),
        ([0.9, 0.9], {"threshold": 0.81}, PASS, ""),
        ([0.9, 0.9], {"threshold": 0.82}, FAIL, "scores: a step is wrong"),
        ([0.9, 0.9], {"threshold": 0.9, "aggregate": "min"}, PASS, ""),
        ([1, None], {}, INVALID, "scores: a step is unknown"),
        ([0.5, None], {}, INVALID, "scores: a step is unknown"),
        ([1, 0, None], {}, FAIL, "scores: a step is wrong"),
        ([None, 0], {"aggregate": "min"}, FAIL, "scores: a step is wrong"),
        ([], {}, INVALID, "scores: no steps"),
        ("11", {}, INVALID, "scores: steps are no list of numbers in [0, 1]"),
        ([True], {}, INVALID, "scores: steps are no list of numbers in [0, 1]"),
        ([1.1], {}, INVALID, "scores: steps are no list of numbers in [0, 1]"),
        ([math.nan], {}, INVALID, "scores: steps are no list of numbers in [0, 1]"),
        ({"0": 1}, {}, INVALID, "scores: steps are no list of numbers in [0, 1]"),
        (None, {}, INVALID, "scores: steps are no list of numbers in [0, 1]"),
    ],
)
def test_steps(steps, options, outcome, reason):
    verdict = verdict_on(steps, **options)
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


def test_the_steps_count_whatever_is_said_of_the_whole():
    for verdict, outcome in (
        (Verdict.failed("wrong answer", details={"steps": [1.0]}), PASS),
        (Verdict.passed(details={"steps": [0.0]}), FAIL),
        (Verdict.invalid("timeout", details={"steps": [1.0]}), INVALID),
    ):
        assert Process(Scores(verdict)).verify(TASK, TRAJECTORY).outcome is outcome


def test_step_scores_of_turns_are_steps_too():
    scored = Scores(Verdict.failed(step_scores=(1.0, 0.5)))
    assert Process(scored).verify(TASK, TRAJECTORY).score == 0.5
    scored = Scores(Verdict.failed(step_scores=(1.0, 0.5), details={"steps": [1.0]}))
    assert Process(scored).verify(TASK, TRAJECTORY).score == 1.0


def test_a_trace_that_goes_wrong_early_fails_by_its_steps():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"x": {}}}}}
    expected = [{"name": "f", "arguments": {"x": 1}}, {"name": "f", "arguments": {"x": 2}}]
    task = Task("e", "e:1", TASK.messages, "42", (tool,), {"trace": {"expected": expected}})

    def trace(*calls):
        turns = []
        for number, arguments in enumerate(calls):
            call = {"id": str(number), "function": {"name": "f", "arguments": arguments}}
            turns += [
                Message("assistant", tool_calls=(call,)),
                Message("tool", "", tool_call_id=str(number)),
            ]
        return Trajectory.following(task, *turns, Message("assistant", "42"))

    for calls, outcome in (
        (('{"x": 1}', '{"x": 2}'), PASS),
        (('{"x": 3}', '{"x": 2}'), FAIL),
        (('{"x": NaN}', '{"x": 2}'), FAIL),
        (('{"x": 1}', "{}", '{"x": 2}'), FAIL),
    ):
        assert judge(Process("static"), task, trace(*calls)).outcome is outcome


def test_a_verifier_that_scores_no_steps_is_named():
    assert Process({"name": "regex", "pattern": ".*"}).verify(TASK, TRAJECTORY).reason == "regex: no steps"  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregate": "mean"}, "aggregate must be one of product, min, got 'mean'"),
        ({"threshold": 0}, "threshold must be a number in (0, 1], got 0"),
        ({"threshold": math.nan}, "threshold must be a number in (0, 1], got nan"),
    ],
)
def test_options(options, message):
    with pytest.raises(ConfigError) as caught:
        Process("exact", **options)
    assert caught.value.message == message


def test_versions_tell_options_apart():
    makes = [Process("exact"), Process("numeric"), Process("exact", aggregate="min"), Process("exact", threshold=0.5)]  # fmt: skip
    assert len({verifier.version for verifier in makes}) == 4
