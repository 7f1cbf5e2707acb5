import json

import attrs
import pytest

from orbiter.curate.export.trl import (
    TrlPreference,
    TrlPromptCompletion,
    TrlPromptOnly,
    TrlSft,
    TrlUnpaired,
)
from orbiter.errors import RecordError
from orbiter.records import Message, Verdict

SYSTEM, ASK = {"role": "system", "content": "be brief"}, {"role": "user", "content": "what is 1+1?"}
TWO, THREE = {"role": "assistant", "content": "2"}, {"role": "assistant", "content": "3"}


def test_sft_row(plain):
    assert TrlSft().row(plain, index=0) == {"messages": [SYSTEM, ASK, TWO]}


def test_sft_row_with_tools_decodes_arguments_and_encodes_schemas(with_tool):
    row = TrlSft().row(with_tool, index=0)
    assert row["messages"][2:] == [
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "add", "arguments": {"a": 1, "b": 1}},
                }
            ],
        },
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
        {"role": "assistant", "content": "it is 2"},
    ]
    assert json.loads(row["tools"]) == list(with_tool.tools)


def test_prompt_completion_row(plain):
    assert TrlPromptCompletion().row(plain, index=0) == {
        "prompt": [SYSTEM, ASK],
        "completion": [TWO],
    }


def test_preference_row(pair):
    assert TrlPreference().row(pair, index=0) == {
        "prompt": [SYSTEM, ASK],
        "chosen": [TWO],
        "rejected": [THREE],
        "weight": 1.0,
    }


def test_weight_of_a_pair_goes_with_it(pair):
    assert TrlPreference().row(attrs.evolve(pair, weight=2), index=0)["weight"] == 2.0


def test_unpaired_rows(unpaired, plain):
    assert TrlUnpaired().row(unpaired, index=0) == {
        "prompt": [SYSTEM, ASK],
        "completion": [THREE],
        "label": False,
    }
    assert TrlUnpaired().row(plain, index=0)["label"] is True
    failed = attrs.evolve(plain, verdict=Verdict.failed("wrong"))
    assert TrlUnpaired().row(failed, index=0)["label"] is False


def test_prompt_only_row_carries_what_a_reward_function_needs(task):
    assert TrlPromptOnly().row(task, index=0) == {
        "prompt": [SYSTEM, ASK],
        "answer": "2",
        "env": "sums",
        "task_id": "sums:0",
    }
    assert TrlPromptOnly().row(attrs.evolve(task, answer={"n": 2}), index=0)["answer"] == '{"n":2}'
    assert TrlPromptOnly().row(attrs.evolve(task, answer=None), index=0)["answer"] is None


def refusal(exporter, record):
    with pytest.raises(RecordError) as caught:
        exporter.row(record, index=0)
    return str(caught.value)


def test_label_needs_a_valid_verdict(trajectory):
    for verdict in (None, Verdict.invalid("timeout")):
        said = refusal(TrlUnpaired(), trajectory("2", verdict=verdict))
        assert said.startswith("field 'verdict' must be pass or fail, got ")


def test_several_turns_need_sft(with_tool):
    said = refusal(TrlPromptCompletion(), with_tool)
    assert said == "field 'messages[1].role' must be assistant in what the model learns, got 'tool'"


def test_tool_answer_in_a_chosen_completion_is_refused(pair):
    tool = Message("tool", "2", tool_call_id="c1")
    bad = attrs.evolve(pair, chosen=(*pair.chosen, tool, *pair.chosen))
    assert refusal(TrlPreference(), bad).startswith("field 'chosen[1].role' must be assistant")


def test_row_without_an_answer_is_refused(trajectory, pair):
    assert refusal(TrlSft(), trajectory()) == (
        "field 'messages' must end with an assistant message, got 'user'"
    )
    assert "field 'rejected' must end with" in refusal(
        TrlPreference(), attrs.evolve(pair, rejected=())
    )


def test_prompt_must_end_with_a_question(task):
    bad = attrs.evolve(task, messages=task.messages[:1])
    assert refusal(TrlPromptOnly(), bad) == (
        "field 'prompt' must end with a user or tool message, got 'system'"
    )


def test_empty_message_is_refused(trajectory):
    said = refusal(TrlSft(), trajectory(Message("assistant", None)))
    assert said == "field 'messages[2].content' must be text unless there are tool calls, got None"


@pytest.fixture(scope="module")
def tokenizer():
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")), unk_token="[UNK]"
    )
    tokenizer.chat_template = (
        "{% for t in tools or [] %}[tool {{ t.function.name }}]{% endfor %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content or '' }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}"
        "</{{ m.role }}>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    return tokenizer


def loaded(exporter, records, tmp_path):
    """What TRL sees: the file read by datasets, checked and templated by TRL."""
    datasets = pytest.importorskip("datasets")
    path = tmp_path / f"{exporter.name}.jsonl"
    exporter.write(records, path)
    datasets.disable_progress_bars()
    return datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_trl_reads_and_templates_every_format(
    tmp_path, tokenizer, trajectory, plain, with_tool, pair, unpaired, task
):
    data_utils = pytest.importorskip("trl.data_utils")

    def templated(row):
        assert data_utils.is_conversational(row)
        tools = row.get("tools")
        return data_utils.maybe_apply_chat_template(
            {k: v for k, v in row.items() if k != "tools"},
            tokenizer,
            tools=json.loads(tools) if tools else None,
        )

    asked = "<system>be brief</system><user>what is 1+1?</user>"
    sft = loaded(TrlSft(), [plain, with_tool], tmp_path)
    assert templated(sft[0]) == {"text": f"{asked}<assistant>2</assistant>"}
    assert templated(sft[1]) == {
        "text": f'[tool add]{asked}<assistant>add({{"a": 1, "b": 1}})</assistant>'
        "<tool>2</tool><assistant>it is 2</assistant>"
    }
    completion = loaded(TrlPromptCompletion(), [plain], tmp_path)
    assert templated(completion[0]) == {
        "prompt": f"{asked}<assistant>",
        "completion": "2</assistant>",
    }
    preference = loaded(TrlPreference(), [pair], tmp_path)
    assert templated(preference[0]) == {
        "prompt": f"{asked}<assistant>",
        "chosen": "2</assistant>",
        "rejected": "3</assistant>",
    }
    label = loaded(TrlUnpaired(), [unpaired], tmp_path)
    assert templated(label[0]) == {
        "prompt": f"{asked}<assistant>",
        "completion": "3</assistant>",
        "label": False,
    }
    prompt = loaded(TrlPromptOnly(), [task, attrs.evolve(task, answer=[1])], tmp_path)
    assert prompt["answer"][:] == ["2", "[1]"]
    assert templated(prompt[0])["prompt"] == f"{asked}<assistant>"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_arguments_of_different_tools_stay_apart(tmp_path, with_tool):
    """Arrow gives all structs of a column the same keys; a call must not gain another's arguments."""
    calls = with_tool.messages[2].tool_calls[0]
    other = {**calls, "function": {"name": "add", "arguments": '{"a": 1, "c": [2]}'}}
    second = attrs.evolve(
        with_tool,
        messages=(
            *with_tool.messages[:2],
            Message("assistant", tool_calls=(other,)),
            *with_tool.messages[3:],
        ),
    )
    rows = loaded(TrlSft(), [with_tool, second], tmp_path)["messages"]
    arguments = [row[2]["tool_calls"][0]["function"]["arguments"] for row in rows]
    assert arguments == [{"a": 1, "b": 1}, {"a": 1, "c": [2]}]
