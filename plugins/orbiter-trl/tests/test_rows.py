from pathlib import Path

import attrs
import pytest
import trl
from datasets import Dataset
from orbiter_trl.chat import to_chat
from orbiter_trl.rows import IGNORED, TokenRow, tokenise
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from orbiter.errors import RecordError
from orbiter.generate.multi_turn import MultiTurn
from orbiter.generate.pipeline import SynthesisConfig
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.records import Message, Trajectory


def talk(*turns, tools=()):
    roles = {"u": "user", "a": "assistant", "s": "system", "t": "tool"}
    return Trajectory(
        tuple(Message(roles[t[0]], t[1:]) for t in turns), "copying", "1", 1.0, tools=tools
    )


@pytest.fixture
def tokenizer(nano):
    return AutoTokenizer.from_pretrained(nano)


ROWS = [talk("u12", "a12"), talk("s0", "u1", "a2", "u3", "a4"), talk("u1", "a", "t77", "a123")]


def tokenised(trajectories, tokenizer, max_length=None):
    return tokenise(trajectories, tokenizer, max_length=max_length, end_ids=(1,))


@pytest.mark.parametrize("max_length", [None, 9])
def test_rows_are_those_that_trl_prepares_from_conversations(nano, tokenizer, tmp_path, max_length):
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(nano),
        args=SFTConfig(
            output_dir=str(tmp_path),
            assistant_only_loss=True,
            max_length=max_length,
            use_cpu=True,
            bf16=False,
            report_to=[],
        ),
        train_dataset=Dataset.from_list([{"messages": to_chat(t.messages)} for t in ROWS]),
        processing_class=tokenizer,
    )
    theirs = [TokenRow(row["input_ids"], row["labels"]) for row in trainer.train_dataset]
    assert tokenised(ROWS, tokenizer, max_length).rows == theirs


def test_without_generation_markers_the_same_tokens_carry_loss(tokenizer):
    marked = tokenised(ROWS, tokenizer).rows
    plain = tokenizer.chat_template.replace("{%- generation -%}", "").replace(
        "{%- endgeneration -%}", ""
    )
    assert plain != tokenizer.chat_template
    tokenizer.chat_template = plain
    assert tokenised(ROWS, tokenizer).rows == marked


def test_a_known_template_without_markers_is_trained_with_trl_s_own_version_of_it(tokenizer):
    tokenizer.chat_template = (
        Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"
    ).read_text()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    (row,) = tokenised([talk("u1", "a2", "u3", "a44")], tokenizer).rows
    spoken = tokenizer.decode([t for t in row.labels if t != IGNORED])
    assert spoken.count("<|im_end|>") == 2
    assert spoken.replace("<|unk|>", "").endswith("44<|im_end|>")


@pytest.mark.parametrize("ends", [True, False])
def test_a_line_feed_after_the_end_token_is_no_missing_end(tokenizer, ends):
    """Qwen2.5's template writes one, and TRL's version of it has it carry loss."""
    tokenizer.chat_template = (
        Path(trl.__file__).parent / "chat_templates" / "qwen2_5.jinja"
    ).read_text()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.add_tokens(["\n"])
    end, feed = tokenizer.convert_tokens_to_ids(["<|im_end|>", "\n"])
    found = tokenise(
        [talk("u1", "a2")], tokenizer, max_length=None, end_ids=(end if ends else feed + 1,)
    )
    assert found.rows[0].labels[-2:] == [end, feed]
    assert found.unended_count == (not ends)


def test_a_turn_that_the_whole_renders_otherwise_carries_no_loss(tokenizer):
    tokenizer.chat_template = (
        "{%- for m in messages -%}{%- if m.role == 'assistant' -%}<|assistant|>"
        "{%- if loop.last -%}:{%- endif -%}{{ m.content }}<|end|>{%- else -%}<|user|>{{ m.content }}{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
    )
    (row,) = tokenised([talk("u1", "a2", "u3", "a4")], tokenizer).rows
    assert tokenizer.decode([t for t in row.labels if t != IGNORED]) == ":4<|end|>"


def test_rows_with_different_tools_keep_their_order_and_their_own_tools(tokenizer):
    tool = {"p": 1}
    found = tokenised(
        [talk("u1", "a1"), talk("u2", "a2", tools=(tool,)), talk("u3", "a3")], tokenizer
    )
    texts = [tokenizer.decode(row.ids, skip_special_tokens=True) for row in found.rows]
    assert [text[-2:] for text in texts] == ["11", "22", "33"]
    assert [len(text) > 2 for text in texts] == [False, True, False]


def test_what_is_cut_left_out_or_untrained_is_counted(tokenizer):
    found = tokenised(
        [talk("u12", "a12"), talk("u12345678", "a1"), talk("u1", "a234567")],
        tokenizer,
        max_length=9,
    )
    assert (found.truncated_count, found.dropped_count, len(found.rows)) == (2, 1, 2)
    assert found.lengths == [8, 13, 11]
    assert found.alarms(context=10, max_length=9) == [
        "2 of 3 rows are longer than max_length=9 and were cut",
        "1 of 3 rows carry no loss and were left out (loss mask all 0)",
    ]


def test_rows_beyond_the_context_are_an_alarm(tokenizer):
    found = tokenised([talk("u12", "a12"), talk("u12345678", "a1")], tokenizer)
    assert found.alarms(context=12, max_length=None) == [
        "1 of 2 rows are longer than the model's context of 12 tokens"
    ]
    assert found.alarms(context=13, max_length=None) == []


def test_good_rows_raise_no_alarm(tokenizer):
    assert tokenised(ROWS, tokenizer).alarms(context=64, max_length=None) == []


def test_a_missing_end_token_is_an_alarm(tokenizer):
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{- '<|end|>' -}}{%- endgeneration -%}", "{%- endgeneration -%}{{- '<|end|>' -}}"
    )
    assert tokenised(ROWS, tokenizer).alarms(context=None, max_length=None) == [
        "3 of 3 rows are not trained to stop: the last trained token is not an end token"
    ]


def test_a_mask_over_everything_is_an_alarm(tokenizer):
    tokenizer.chat_template = "{% for m in messages %}{% generation %}{{ m.content + '<|end|>' }}{% endgeneration %}{% endfor %}"
    assert tokenised(ROWS, tokenizer).alarms(context=None, max_length=None) == [
        "3 of 3 rows carry loss on every token, the prompt too (loss mask all 1)"
    ]


def test_unknown_characters_are_an_alarm(tokenizer):
    assert tokenised([talk("u12", "a12"), talk("u12", "aé")], tokenizer).alarms(
        context=None, max_length=None
    ) == ["1 of 2 rows hold characters that the tokenizer does not know"]


def test_a_row_without_an_answer_is_refused(tokenizer):
    with pytest.raises(RecordError) as caught:
        tokenised([talk("u1", "a1"), talk("u1")], tokenizer)
    assert str(caught.value) == "field 'messages' must hold an assistant turn (row 2, task '1')"


def test_arguments_of_tool_calls_become_objects():
    def call(arguments):
        return {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}

    message = Message(
        "assistant",
        None,
        tool_calls=(call('{"a": 1}'), call("not json"), call("[1]"), call({"b": 2})),
    )
    (row,) = to_chat([message])
    assert [c["function"]["arguments"] for c in row["tool_calls"]] == [
        {"a": 1},
        "not json",
        "[1]",
        {"b": 2},
    ]
    assert row["content"] is None


def test_turns_that_the_prompt_shows_carry_no_loss(tokenizer):
    whole = talk("u12", "a12", "u3", "a3")
    (shown,) = tokenised([attrs.evolve(whole, prompt_size=3)], tokenizer).rows
    (all_turns,) = tokenised([whole], tokenizer).rows
    (last_turn,) = tokenised([talk("u3", "a3")], tokenizer).rows
    assert shown.ids == all_turns.ids
    kept = [label for label in shown.labels if label != IGNORED]
    assert kept == [label for label in last_turn.labels if label != IGNORED]
    assert shown.labels[: len(shown.ids) // 2] == [IGNORED] * (len(shown.ids) // 2)
    with pytest.raises(RecordError, match="must hold an assistant turn"):
        tokenised([attrs.evolve(talk("u1", "a1", "u2"), prompt_size=3)], tokenizer)


async def test_a_conversation_with_a_simulated_user_carries_loss_on_the_policy_s_turns(tokenizer):
    said, asked = iter(["11", "12", "13"]), iter(["21", "22"])
    engine = MultiTurn(
        policy=ScriptedPolicy(answers=lambda _: next(said)),
        simulator=ScriptedPolicy(answers=lambda _: next(asked)),
        verifier="exact",
    )
    source = [{"question": "10", "answer": "13"}]
    rows = await engine.synthesise(source, SynthesisConfig(target_size=1))
    assert [m.text for m in rows[0].messages] == ["10", "11", "21", "12", "22", "13"]
    (row,) = tokenised(rows, tokenizer).rows
    spoken = tokenizer.decode([t for t in row.labels if t != IGNORED], skip_special_tokens=True)
    assert spoken.replace(" ", "") == "111213"
