"""A trace graded against an expected one: score, first error, near miss, potentials."""

import json

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task, Trajectory
from orbiter.verify.static import StaticTraceVerifier

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID
PARAMETERS = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
SEARCH = {"type": "function", "function": {"name": "search", "parameters": PARAMETERS}}
PROMPT = (Message("user", "q"),)
FIRST, SECOND = ({"name": "search", "arguments": {"query": q}} for q in "xy")


def make_task(trace):
    return Task("web", "web:1", PROMPT, answer="42", tools=(SEARCH,), metadata={"trace": trace})


EXPECTED = make_task({"expected": [FIRST, SECOND]})


def verdict_on(messages, task, **options):
    trajectory = Trajectory((*task.messages, *messages), task.env, task.task_id, None)
    return StaticTraceVerifier(**options).verify(task, trajectory)


def call(query, call_id):
    arguments = json.dumps({"query": query})
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": "search", "arguments": arguments},
    }


def turns(*queries, answer="42"):
    """Return one turn per text, which searches for each of its letters, and an answer."""
    messages, n = [], 0
    for letters in queries:
        ids = [str(n + k) for k in range(len(letters))]
        calls = tuple(map(call, letters, ids))
        messages.append(Message("assistant", None, tool_calls=calls))
        messages += [Message("tool", "found", tool_call_id=one) for one in ids]
        n += len(ids)
    return (*messages, Message("assistant", answer))


@pytest.mark.parametrize(
    ("queries", "answer", "score", "first_error", "near_miss", "potentials"),
    [
        (["x", "y"], "42", 1, None, False, [1 / 3, 2 / 3, 1]),
        (["xy"], "42", 1, None, False, [2 / 3, 1]),
        (["yx"], "42", 1, None, False, [2 / 3, 1]),
        (["x", "y"], "41", 2 / 3, 2, True, [1 / 3, 2 / 3, 2 / 3]),
        (["x"], "42", 2 / 3, 1, True, [1 / 3, 1 / 3]),
        (["x", "z"], "42", 2 / 3, 1, True, [1 / 3, 1 / 3, 1 / 3]),
        (["x", "z", "y"], "42", 2 / 3, 1, True, [1 / 3, 1 / 3, 2 / 3, 1]),
        (["x", "y", "x"], "42", 2 / 3, 2, True, [1 / 3, 2 / 3, 2 / 3, 1]),
        (["y", "x"], "42", 1 / 3, 0, False, [0, 1 / 3, 1 / 3]),
        (["x"], "41", 1 / 3, 1, False, [1 / 3, 1 / 3]),
        ([], "42", 1 / 3, 0, False, [0]),
        (["z", "z", "z", "z", "x", "y"], "42", 0, 0, False, [0, 0, 0, 0, 1 / 3, 2 / 3, 1]),
        (["z"], "41", 0, 0, False, [0, 0]),
    ],
)
def test_the_expected_trace(queries, answer, score, first_error, near_miss, potentials):
    verdict = verdict_on(turns(*queries, answer=answer), EXPECTED)
    assert (verdict.outcome is PASS) == (score == 1)
    assert verdict.score == pytest.approx(score)
    assert verdict.details == {
        "first_error": first_error,
        "near_miss": near_miss,
        "potentials": pytest.approx(potentials),
    }
    right = len(potentials) if first_error is None else first_error
    rest = len(potentials) - right
    assert verdict.step_scores == (1.0,) * right + ((0.0,) + (None,) * (rest - 1)) * (rest > 0)


@settings(max_examples=50)
@given(st.lists(st.text("xyz", min_size=1, max_size=2), max_size=4), st.sampled_from(["42", "41"]))
def test_grades_of_any_trace(queries, answer):
    verdict = verdict_on(turns(*queries, answer=answer), EXPECTED)
    potentials = verdict.details["potentials"]
    assert potentials == sorted(potentials)
    assert all(0 <= value <= 1 for value in potentials)
    assert (verdict.outcome is PASS) == (verdict.score == 1) == (None not in verdict.step_scores and 0 not in verdict.step_scores)  # fmt: skip
    assert verdict.details["near_miss"] == (verdict.score == pytest.approx(2 / 3))


def test_without_an_answer_the_calls_are_the_steps():
    verdict = verdict_on(turns("x", answer="done"), EXPECTED, answer=None)
    assert (verdict.outcome, verdict.score) == (FAIL, 0.5)
    assert verdict.reason == "departs from the expected trace"
    assert verdict_on(turns("x", "y", answer="done"), EXPECTED, answer=None).outcome is PASS


def test_an_answer_that_cannot_be_judged():
    task = attrs.evolve(EXPECTED, answer=None)
    verdict = verdict_on(turns("x", "y"), task)
    assert (verdict.outcome, verdict.reason) == (INVALID, "exact: task has no reference text")
    verdict = verdict_on(turns("x"), task)
    assert (verdict.outcome, verdict.reason) == (FAIL, "departs from the expected trace")


def test_a_rule_beside_the_expected_trace_is_never_a_full_score():
    verdict = verdict_on(turns("x", "y"), EXPECTED, rules={"max_calls": 1})
    assert (verdict.outcome, verdict.reason) == (FAIL, "too many tool calls")
    assert verdict.score == pytest.approx(2 / 3)


def test_a_broken_trace_names_its_turn():
    verdict = verdict_on(
        (
            *turns("x")[:-1],
            Message("assistant", None, tool_calls=("?",)),
            Message("assistant", "42"),
        ),
        EXPECTED,
    )
    assert (verdict.reason, verdict.score) == ("malformed tool call", 0.0)
    assert verdict.details == {"first_error": 1}


@pytest.mark.parametrize(
    "expected", [[{"name": "serch"}], [{"name": "search", "arguments": {"query": 1}}]]
)
def test_an_expected_trace_that_cannot_be_met_is_invalid(expected):
    for rule in ("expected", "required"):
        assert verdict_on(turns("x"), make_task({rule: expected})).outcome is INVALID


def test_an_expected_trace_is_the_task_s():
    with pytest.raises(ConfigError, match="must leave 'expected' to the task"):
        StaticTraceVerifier(rules={"expected": [FIRST]})
