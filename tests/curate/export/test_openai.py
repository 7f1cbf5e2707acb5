import json

import attrs
import pytest

from orbiter import jsonl
from orbiter.curate.export.openai import OpenAI
from orbiter.errors import OrbiterWarning, RecordError
from orbiter.records import Message

ASKED = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "what is 1+1?"}]
TWO, THREE = {"role": "assistant", "content": "2"}, {"role": "assistant", "content": "3"}


def row(record):
    return OpenAI().row(record, index=0)


def refusal(record):
    with pytest.raises(RecordError) as caught:
        row(record)
    return str(caught.value)


def test_supervised_row(plain):
    assert row(plain) == {"messages": [*ASKED, TWO]}


def test_preference_row(pair):
    assert row(pair) == {
        "input": {"messages": ASKED},
        "preferred_output": [TWO],
        "non_preferred_output": [THREE],
    }


def test_tool_calls_and_schemas(with_tool):
    made = row(with_tool)
    assert made["tools"] == list(with_tool.tools)
    assert made["messages"][2]["tool_calls"] == [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "add", "arguments": '{"a":1,"b":1}'},
        }
    ]
    assert made["messages"][3] == {"role": "tool", "content": "2", "tool_call_id": "c1"}


def test_arguments_are_text_whatever_they_were(with_tool):
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    messages = list(with_tool.messages)
    messages[2] = Message("assistant", tool_calls=(call,))
    made = row(attrs.evolve(with_tool, messages=tuple(messages)))
    assert json.loads(made["messages"][2]["tool_calls"][0]["function"]["arguments"]) == {"a": 1}


def test_tools_of_a_pair_are_input(pair, with_tool):
    made = row(attrs.evolve(pair, extra={"tools": list(with_tool.tools)}))
    assert made["input"]["tools"] == list(with_tool.tools)


def test_weight_name_and_image(trajectory):
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    prompt = (Message("user", [{"type": "text", "text": "see"}, image], name="ann"),)
    muted = Message("assistant", "2", extra={"weight": 0})
    assert row(trajectory(muted, prompt=prompt))["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "see"}, image], "name": "ann"},
        {**TWO, "weight": 0},
    ]


def test_small_file_is_written_with_a_warning(tmp_path, plain):
    with pytest.warns(OrbiterWarning, match="has 9 rows; OpenAI needs at least 10"):
        OpenAI().write([plain] * 9, tmp_path / "small.jsonl")
    report = OpenAI().write([plain] * 10, tmp_path / "enough.jsonl")
    assert [made for _, made in jsonl.read_objects(report.files[0])] == [row(plain)] * 10


def replaced(record, place, message):
    messages = list(record.messages)
    messages[place] = message
    return attrs.evolve(record, messages=tuple(messages))


def test_what_the_service_refuses_is_refused(trajectory, with_tool, pair):
    call = with_tool.messages[2].tool_calls[0]
    cases = {
        "field 'messages' must end with an assistant message, got 'user'": trajectory(),
        "field 'messages[0].role' must be one of system, user, assistant, tool, got 'developer'": (
            trajectory("2", prompt=(Message("developer", "x"),))
        ),
        "field 'messages[3].tool_call_id' must name an open call, got 'c9'": replaced(
            with_tool, 3, Message("tool", "2", tool_call_id="c9")
        ),
        "field 'messages[3]' must be the answer to a tool call, got 'user'": replaced(
            with_tool, 3, Message("user", "well?")
        ),
        "field 'messages[2].tool_calls[1].id' must be given and differ, got 'c1'": replaced(
            with_tool, 2, Message("assistant", tool_calls=(call, call))
        ),
        "field 'messages[2].tool_calls[0].function.name' must be in tools, got 'add'": attrs.evolve(
            with_tool, tools=()
        ),
        "field 'messages[2].weight' must be 0 or 1, got 0.5": trajectory(
            Message("assistant", "2", extra={"weight": 0.5})
        ),
        "field 'messages[2].thinking' must be left out in this format, got 'hm'": trajectory(
            Message("assistant", "2", extra={"thinking": "hm"})
        ),
        "field 'messages[2].content' must be text, got None": trajectory(Message("assistant")),
        "field 'chosen' must be one assistant message, got ['assistant', 'assistant']": attrs.evolve(
            pair, chosen=pair.chosen * 2
        ),
        "field 'prompt' must hold at least one message, got None": attrs.evolve(pair, prompt=()),
        "field 'tools[0].function.name' must be 1-64 of a-z A-Z 0-9 _ -, got 'a b'": trajectory(
            "2", tools=({"type": "function", "function": {"name": "a b"}},)
        ),
    }
    assert [refusal(record) for record in cases.values()] == list(cases)
