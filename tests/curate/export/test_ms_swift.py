import json

import attrs
import pytest

from orbiter.curate.export.ms_swift import MsSwift
from orbiter.errors import RecordError
from orbiter.records import Message

ASKED = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "what is 1+1?"}]
TWO = {"role": "assistant", "content": "2"}


def row(record):
    return MsSwift().row(record, index=0)


def refusal(record):
    with pytest.raises(RecordError) as caught:
        row(record)
    return str(caught.value)


def test_supervised_row(plain):
    assert row(plain) == {"messages": [*ASKED, TWO]}


def test_preference_row(pair):
    assert row(pair) == {"messages": [*ASKED, TWO], "rejected_response": "3"}


def test_label_row(unpaired):
    messages = [*ASKED, {"role": "assistant", "content": "3"}]
    assert row(unpaired) == {"messages": messages, "label": False}


def test_prompt_row_passes_the_answer_on_as_solution(task):
    assert row(task) == {"messages": ASKED, "solution": "2"}
    assert row(attrs.evolve(task, answer=2))["solution"] == "2"


def test_tool_call_and_its_answer_are_messages_of_their_own(with_tool):
    made = row(with_tool)
    assert made["messages"] == [
        *ASKED,
        {"role": "tool_call", "content": '{"name":"add","arguments":{"a":1,"b":1}}'},
        {"role": "tool_response", "content": "2"},
        {"role": "assistant", "content": "it is 2"},
    ]
    assert json.loads(made["tools"]) == list(with_tool.tools)


def test_words_beside_parallel_calls_come_first(trajectory, with_tool):
    call = with_tool.messages[2].tool_calls[0]
    record = trajectory(
        Message("assistant", "let me see", tool_calls=(call, {**call, "id": "c2"})),
        Message("tool", "2", tool_call_id="c1"),
        Message("tool", "2", tool_call_id="c2"),
        "2",
    )
    roles = [message["role"] for message in row(record)["messages"]]
    assert roles == [
        "system",
        "user",
        "assistant",
        "tool_call",
        "tool_call",
        "tool_response",
        "tool_response",
        "assistant",
    ]


def test_loss_of_a_turn_is_passed_on_and_other_keys_refused(trajectory):
    quiet = Message("assistant", "2", extra={"loss": False})
    assert row(trajectory(quiet))["messages"][-1] == {**TWO, "loss": False}
    thinking = Message("assistant", "2", extra={"reasoning_content": "hm"})
    assert refusal(trajectory(thinking)) == (
        "field 'messages[2].reasoning_content' must be left out in this format, got 'hm'"
    )


def test_what_the_format_cannot_say_is_refused(trajectory, pair, with_tool):
    assert "must end with an assistant message" in refusal(trajectory())
    late = trajectory("2", Message("system", "new rule"), "3")
    assert "field 'messages[3].role' must be system only at the start" in refusal(late)
    named = trajectory("2", prompt=(Message("user", "hi", name="ann"),))
    assert "field 'messages[0].name' must be left out" in refusal(named)
    calls = attrs.evolve(pair, rejected=(with_tool.messages[2],))
    assert "field 'rejected' must be one message of text" in refusal(calls)
