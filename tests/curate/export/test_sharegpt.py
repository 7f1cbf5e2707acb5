import json

import attrs
import pytest

from orbiter import jsonl
from orbiter.curate.export.sharegpt import TAGS, LlamaFactory, ShareGpt
from orbiter.errors import ConfigError, RecordError
from orbiter.records import Message

HUMAN = {"from": "human", "value": "what is 1+1?"}
TWO, THREE = {"from": "gpt", "value": "2"}, {"from": "gpt", "value": "3"}


def row(record):
    return ShareGpt().row(record, index=0)


def refusal(record):
    with pytest.raises(RecordError) as caught:
        row(record)
    return str(caught.value)


def test_supervised_row(plain):
    assert row(plain) == {"conversations": [HUMAN, TWO], "system": "be brief", "tools": ""}


def test_preference_row(pair):
    assert row(pair) == {
        "conversations": [HUMAN],
        "system": "be brief",
        "tools": "",
        "chosen": TWO,
        "rejected": THREE,
    }


def test_label_row(unpaired):
    assert row(unpaired) == {
        "conversations": [HUMAN, THREE],
        "system": "be brief",
        "tools": "",
        "kto_tag": False,
    }


def test_tool_call_is_json(with_tool):
    made = row(with_tool)
    assert made["conversations"] == [
        HUMAN,
        {"from": "function_call", "value": '{"name":"add","arguments":{"a":1,"b":1}}'},
        {"from": "observation", "value": "2"},
        {"from": "gpt", "value": "it is 2"},
    ]
    assert json.loads(made["tools"]) == list(with_tool.tools)


def test_several_calls_are_a_json_list(trajectory, with_tool):
    call = with_tool.messages[2].tool_calls[0]
    last = row(trajectory(Message("assistant", tool_calls=(call, call))))["conversations"][-1]
    assert json.loads(last["value"]) == [{"name": "add", "arguments": {"a": 1, "b": 1}}] * 2


def test_what_the_format_cannot_say_is_refused(trajectory, with_tool, pair):
    call = with_tool.messages[2].tool_calls[0]
    answers = [Message("tool", "2", tool_call_id=i) for i in ("c1", "c2")]
    cases = {
        "field 'messages' must end with an assistant message, got 'user'": trajectory(),
        "field 'messages[3].role' must alternate between user or tool and assistant, got 'assistant'\n"
        "  several answers in a row, as to parallel tool calls, have no form in ShareGPT": trajectory(
            "2", "3"
        ),
        "field 'messages[4].role' must alternate between user or tool and assistant, got 'tool'\n"
        "  several answers in a row, as to parallel tool calls, have no form in ShareGPT": trajectory(
            Message("assistant", tool_calls=(call, {**call, "id": "c2"})), *answers, "2"
        ),
        "field 'messages[2].content' must be empty beside tool calls, got 'hm'": trajectory(
            Message("assistant", "hm", tool_calls=(call,))
        ),
        "field 'messages[3].role' must be system only at the start, got 'system'": trajectory(
            "2", Message("system", "new"), "3"
        ),
        "field 'messages[2].thinking' must be left out in this format, got 'hm'": trajectory(
            Message("assistant", "2", extra={"thinking": "hm"})
        ),
        "field 'chosen' must be one assistant message, got []": attrs.evolve(pair, chosen=()),
    }
    assert [refusal(record) for record in cases.values()] == list(cases)
    unanswerable = attrs.evolve(pair, prompt=(*pair.prompt, Message("assistant", "hm")))
    assert "field 'prompt' must end with a user or tool message" in refusal(unanswerable)


def read_back(folder, name):
    """Turn a dataset back into messages as LLaMA-Factory's documentation says to read it."""
    entry = json.loads((folder / "dataset_info.json").read_text())[name]
    columns, tags = entry["columns"], entry["tags"]
    roles = {
        tags["user_tag"]: "user",
        tags["assistant_tag"]: "assistant",
        tags["observation_tag"]: "tool",
        tags["function_tag"]: "assistant",
    }
    for _, made in jsonl.read_objects(folder / entry["file_name"]):
        assert set(columns.values()) == set(made)
        turns = made[columns["messages"]]
        for i, turn in enumerate(turns):
            odd = (tags["user_tag"], tags["observation_tag"])
            assert (turn[tags["role_tag"]] in odd) == (i % 2 == 0)
        assert len(turns) % 2 == (1 if entry.get("ranking") else 0)
        system = made[columns["system"]]
        messages = [("system", system)] if system else []
        messages += [(roles[t[tags["role_tag"]]], t[tags["content_tag"]]) for t in turns]
        yield messages, made


def test_llama_factory_reads_back_what_was_written(tmp_path, plain, with_tool):
    report = LlamaFactory().write([plain, with_tool], tmp_path / "mine.jsonl")
    assert report.files == (tmp_path / "mine.jsonl", tmp_path / "dataset_info.json")
    first, second = (messages for messages, _ in read_back(tmp_path, "mine"))
    assert first == [(m.role, m.content) for m in plain.messages]
    assert [role for role, _ in second] == [m.role for m in with_tool.messages]


def test_dataset_info_keeps_other_entries_and_replaces_its_own(tmp_path, pair, unpaired):
    info = tmp_path / "dataset_info.json"
    info.write_text('{"theirs": {"hf_hub_url": "x"}}')
    LlamaFactory(dataset_name="pairs").write([pair], tmp_path / "a.jsonl")
    LlamaFactory().write([unpaired], tmp_path / "labels.jsonl")
    entries = json.loads(info.read_text())
    assert list(entries) == ["theirs", "pairs", "labels"]
    columns = {"messages": "conversations", "system": "system", "tools": "tools"}
    assert entries["pairs"] == {
        "file_name": "a.jsonl",
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {**columns, "chosen": "chosen", "rejected": "rejected"},
        "tags": TAGS,
    }
    assert entries["labels"]["columns"] == {**columns, "kto_tag": "kto_tag"}
    LlamaFactory(dataset_name="pairs").write([pair], tmp_path / "b.jsonl")
    assert json.loads(info.read_text())["pairs"]["file_name"] == "b.jsonl"
    assert [made["chosen"] for _, made in read_back(tmp_path, "pairs")] == [TWO]


@pytest.mark.parametrize("text", ["{torn", "[]"])
def test_broken_dataset_info_is_not_overwritten(tmp_path, plain, text):
    (tmp_path / "dataset_info.json").write_text(text)
    with pytest.raises(ConfigError, match=r"dataset_info\.json must"):
        LlamaFactory().write([plain], tmp_path / "mine.jsonl")
    assert (tmp_path / "dataset_info.json").read_text() == text
    assert not (tmp_path / "mine.jsonl").exists()
