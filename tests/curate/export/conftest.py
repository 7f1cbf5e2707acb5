import pytest

from orbiter.curate import UnpairedPreference
from orbiter.records import Message, Pair, Task, Trajectory, Verdict

SYSTEM, ASK = Message("system", "be brief"), Message("user", "what is 1+1?")
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "add two numbers",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}


def call(call_id="c1", arguments='{"a": 1, "b": 1}', name="add"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.fixture
def trajectory():
    """Build a trajectory: a system message, a question, then the given turns (text is the assistant's)."""

    def build(*turns, tools=(), verdict=None, prompt=(SYSTEM, ASK), **more):
        turns = tuple(Message("assistant", t) if isinstance(t, str) else t for t in turns)
        score = verdict.score if verdict else None
        return Trajectory(
            (*prompt, *turns), "sums", "sums:0", score, verdict=verdict, tools=tools, **more
        )

    return build


@pytest.fixture
def plain(trajectory):
    return trajectory("2", verdict=Verdict.passed())


@pytest.fixture
def with_tool(trajectory):
    """One tool call, its answer, and a last word."""
    return trajectory(
        Message("assistant", tool_calls=(call(),)),
        Message("tool", "2", tool_call_id="c1"),
        "it is 2",
        tools=(TOOL,),
    )


@pytest.fixture
def pair():
    return Pair(
        (SYSTEM, ASK), (Message("assistant", "2"),), (Message("assistant", "3"),), "sums", "sums:0"
    )


@pytest.fixture
def unpaired():
    return UnpairedPreference((SYSTEM, ASK), (Message("assistant", "3"),), False, "sums", "sums:0")


@pytest.fixture
def task():
    return Task("sums", "sums:0", (SYSTEM, ASK), answer="2")
