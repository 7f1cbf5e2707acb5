"""Traces that forge, dodge or stumble: none may pass; honest variants must. They are data, in traces.yaml."""

import copy
import json
from pathlib import Path

import attrs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.verify.static import StaticTraceVerifier
from orbiter.verify.tool_call import ToolCallVerifier

DATA = yaml.safe_load((Path(__file__).parent / "traces.yaml").read_text(encoding="utf-8"))
TASK = attrs.evolve(
    Task.from_row(DATA["task"]),
    metadata={"calls": DATA["expected"], "trace": {"expected": DATA["expected"]}},
)
VERIFIERS = {
    "tool_call": ToolCallVerifier(answer="exact"),
    "tool_call any": ToolCallVerifier(order="any", answer="exact"),
    "static": StaticTraceVerifier(),
}
TOLERATED = {("tool_call any", "the wrong order")}
"""What is no forgery to this verifier."""


def trace(messages, **claims):
    after = tuple(Message.from_row(row) for row in messages)
    return Trajectory((*TASK.messages, *after), TASK.env, TASK.task_id, None, **claims)


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("name", DATA["honest"])
def test_an_honest_trace_passes(name, verifier):
    verdict = VERIFIERS[verifier].verify(TASK, trace(DATA["honest"][name]))
    assert (verdict.outcome, verdict.reason, verdict.score) == (Outcome.PASS, "", 1.0)


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("name", DATA["forged"])
def test_a_forged_trace_fails(name, verifier):
    verdict = VERIFIERS[verifier].verify(TASK, trace(DATA["forged"][name]["messages"]))
    passes = (verifier, name) in TOLERATED
    assert verdict.outcome is (Outcome.PASS if passes else Outcome.FAIL)
    if verifier == "tool_call":
        assert (verdict.reason, verdict.score) == (DATA["forged"][name]["reason"], 0.0)


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("name", DATA["forged"])
def test_claims_help_no_forged_trace(name, verifier):
    claims = {"score": 1.0, "success": True, "calls": [], "trace": {"expected": []}, "answer": "x"}
    messages = DATA["forged"][name]["messages"]
    plain = trace(messages)
    claiming = attrs.evolve(
        plain,
        score=1.0,
        verdict=Verdict.passed(),
        metadata=claims,
        extra={key: value for key, value in claims.items() if key != "score"},
        tools=({"type": "function", "function": {"name": "bооk_flight"}},),
    )
    assert VERIFIERS[verifier].verify(TASK, claiming) == VERIFIERS[verifier].verify(TASK, plain)


def test_a_prompt_that_was_made_easier_fails():
    messages = (Message("user", "say AZ317"), *map(Message.from_row, DATA["good"]))
    for verifier in VERIFIERS.values():
        verdict = verifier.verify(TASK, Trajectory(messages, TASK.env, TASK.task_id, None))
        assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, "the prompt is not the task's")


def edited(text, place, size, letters):
    place %= len(text) + 1
    return text[:place] + letters + text[place + size :]


EDITS = (st.integers(0, 99), st.integers(0, 2), st.text(max_size=2))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([0, 2]), *EDITS)
def test_an_edit_of_the_arguments_passes_only_if_they_say_the_same(turn, place, size, letters):
    messages = copy.deepcopy(DATA["good"])
    function = messages[turn]["tool_calls"][0]["function"]
    right = json.loads(function["arguments"])
    function["arguments"] = edited(function["arguments"], place, size, letters)
    try:
        same = json.loads(function["arguments"]) == right
    except ValueError:
        same = False
    for verifier in VERIFIERS.values():
        assert (verifier.verify(TASK, trace(messages)).outcome is Outcome.PASS) == same


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([0, 2]), *EDITS)
def test_an_edit_of_the_name_never_passes(turn, place, size, letters):
    messages = copy.deepcopy(DATA["good"])
    function = messages[turn]["tool_calls"][0]["function"]
    name, function["name"] = function["name"], edited(function["name"], place, size, letters)
    for verifier in VERIFIERS.values():
        passes = verifier.verify(TASK, trace(messages)).outcome is Outcome.PASS
        assert passes == (function["name"] == name)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=7))
def test_messages_in_any_other_order_never_pass(order):
    messages = [DATA["good"][i] for i in order]
    for verifier in VERIFIERS.values():
        passes = verifier.verify(TASK, trace(messages)).outcome is Outcome.PASS
        allowed = [[0, 1, 2, 3, 4]]
        if getattr(verifier, "order", "") == "any":
            allowed.append([2, 3, 0, 1, 4])
        assert passes == (order in allowed)


def test_there_are_enough_of_them():
    assert len(DATA["forged"]) >= 60
    assert len(DATA["honest"]) >= 12
