"""Traces that forge, dodge or stumble: none may pass; honest variants must. They are data, in traces.yaml."""

from pathlib import Path

import attrs
import pytest
import yaml

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


def test_there_are_enough_of_them():
    assert len(DATA["forged"]) >= 60
    assert len(DATA["honest"]) >= 12
