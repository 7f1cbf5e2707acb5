"""Preferences as tokens: what carries loss, what is left out, and what is refused with file, line and field."""

import re
from pathlib import Path

import attrs
import orbiter_trl
import orjson
import pytest
from orbiter_trl import prm
from orbiter_trl.backend import TrlBackend
from orbiter_trl.chat import to_chat
from orbiter_trl.kto import UnaryBatch, unary_table
from orbiter_trl.preferences import PairBatch, Tokeniser, pad_id_of, read_pairs, read_unpaired
from orbiter_trl.rows import IGNORED, TokenRow
from transformers import AutoModelForCausalLM, AutoTokenizer

from orbiter.curate.pairs import UnpairedPreference
from orbiter.errors import BackendError, ConfigError, RecordError
from orbiter.records import Message, Pair, Trajectory
from orbiter.train.config import TrainConfig
from orbiter.train.rewards import RewardSpec

USER, GOOD, BAD = Message("user", "copy 1:"), Message("assistant", "1"), Message("assistant", "2")
EMPTY = Message("assistant", "")
PAIR = Pair((USER,), (GOOD,), (BAD,))
PAIRED = ["dpo", "simpo", "orpo", "reward"]


@pytest.fixture
def tokeniser(nano):
    def make(max_length=None):
        model = AutoModelForCausalLM.from_pretrained(nano)
        return Tokeniser(model, AutoTokenizer.from_pretrained(nano), max_length)

    return make


def test_loss_is_on_the_answers_and_their_ends(tokeniser):
    tokens = tokeniser()
    (row,) = tokens.pairs([PAIR])
    for side, text in (("chosen", "1"), ("rejected", "2")):
        ids, mask = row[f"{side}_ids"], row[f"{side}_mask"]
        learned = [token for token, bit in zip(ids, mask, strict=True) if bit]
        assert tokens.tokenizer.decode(learned) == f"{text}<|end|>"
        assert tokens.tokenizer.decode(ids[: mask.index(1)]).startswith("<|user|>copy 1:")
    assert "weight" not in row
    assert tokens.alarms == []


def test_loss_is_on_no_turn_of_the_prompt_and_on_no_tool(tokeniser):
    prompt = (USER, GOOD, Message("user", "copy 3:"))
    turns = (GOOD, Message("tool", "0"), BAD)
    tokens = tokeniser()
    (row,) = tokens.pairs([Pair(prompt, turns, (GOOD,))])
    learned = [token for token, bit in zip(row["chosen_ids"], row["chosen_mask"]) if bit]
    assert tokens.tokenizer.decode(learned) == "1<|end|>2<|end|>"


def test_an_empty_rejected_answer_teaches_not_to_end_at_once(tokeniser, write):
    tokens = tokeniser()
    (row,) = tokens.pairs(read_pairs(write([attrs.evolve(PAIR, rejected=(EMPTY,))])))
    assert sum(row["rejected_mask"]) == 1


def test_weights_are_handed_on_where_they_differ(tokeniser):
    rows = tokeniser().pairs([PAIR, attrs.evolve(PAIR, weight=0.5)])
    batch = PairBatch(0)([rows[0], rows[1]])
    assert batch["weight"].tolist() == [1.0, 0.5]


def test_what_is_cut_is_left_out_and_counted(tokeniser):
    long = Pair((Message("user", "copy 1 copy 1 copy 1:"),), (GOOD,), (BAD,))
    late = Pair((USER,), (Message("assistant", "11110"),), (Message("assistant", "11112"),))
    tokens = tokeniser(max_length=13)
    assert len(tokens.pairs([PAIR, long, late])) == 1
    assert tokens.alarms == [
        "4 of 6 rows are longer than max_length=13 and were cut",
        "2 of 6 rows carry no loss and were left out (loss mask all 0)",
        "1 of 3 pairs were left out: an answer carries no loss",
        "1 of 3 pairs were left out: both answers are the same once they are cut",
    ]
    with pytest.raises(
        BackendError, match="must hold a pair that can be trained on, got none: 2 of"
    ):
        tokeniser(max_length=13).pairs([long])


def test_a_reward_model_scores_no_answer_that_was_cut(tokeniser):
    late = Pair((USER,), (Message("assistant", "11110"),), (BAD,))
    tokens = tokeniser(max_length=13)
    assert len(tokens.pairs([PAIR, late], whole=True)) == 1
    assert tokens.alarms[-1] == "1 of 2 pairs were left out: an answer was cut"


def test_an_answer_without_an_end_is_an_alarm(tokeniser):
    tokens = tokeniser()
    tokens.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role[:1] + m.content }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'a' }}{% endif %}"
    )
    tokens.pairs([PAIR])
    assert any("are not trained to stop" in alarm for alarm in tokens.alarms)


def test_a_batch_has_chosen_before_rejected_and_is_padded_on_the_right():
    rows = [
        {"chosen_ids": [5, 6, 7], "chosen_mask": [0, 1, 1], "rejected_ids": [5, 8], "rejected_mask": [0, 1]},
        {"chosen_ids": [9, 6], "chosen_mask": [0, 1], "rejected_ids": [9, 8], "rejected_mask": [0, 1]},
    ]  # fmt: skip
    batch = {name: value.tolist() for name, value in PairBatch(1)(rows).items()}
    assert batch == {
        "input_ids": [[5, 6, 7], [9, 6, 1], [5, 8, 1], [9, 8, 1]],
        "attention_mask": [[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 1, 0]],
        "completion_mask": [[0, 1, 1], [0, 1, 0], [0, 1, 0], [0, 1, 0]],
    }
    apart = {name: value.tolist() for name, value in PairBatch(1, apart=True)(rows).items()}
    assert apart == {
        "chosen_input_ids": [[5, 6, 7], [9, 6, 1]],
        "chosen_attention_mask": [[1, 1, 1], [1, 1, 0]],
        "chosen_labels": [[-100, 6, 7], [-100, 6, -100]],
        "rejected_input_ids": [[5, 8], [9, 8]],
        "rejected_attention_mask": [[1, 1], [1, 1]],
        "rejected_labels": [[-100, 8], [-100, 8]],
    }


def test_mismatched_answers_stay_in_their_batch():
    rows = [(TokenRow([n, 10 + n], [-100, 10 + n]), True) for n in range(5)]
    table = unary_table(rows, batch_size=2, mismatch=True)
    # The last one is alone in its batch, and its own answer would be no mismatch.
    assert table["KL_ids"] == [[0, 11], [1, 10], [2, 13], [3, 12], [4, 13]]
    assert "KL_ids" not in unary_table(rows, batch_size=2, mismatch=False).column_names
    assert UnaryBatch(0)([table[0], table[1]])["KL_input_ids"].tolist() == [[0, 11], [1, 10]]


def test_a_tokenizer_without_padding_pads_with_its_end(nano):
    tokenizer = AutoTokenizer.from_pretrained(nano)
    tokenizer.pad_token = None
    assert pad_id_of(tokenizer) == tokenizer.eos_token_id


def test_pairs_of_weight_0_are_as_absent(any_job, pairs, write):
    more = [attrs.evolve(pair, weight=0.0) for pair in pairs(20)[12:]]
    alone = TrlBackend().train(any_job("dpo", name="alone"))
    both = TrlBackend().train(
        any_job("dpo", name="both", data=write([*more[:4], *pairs(12), *more[4:]], "more.jsonl"))
    )
    weights = "model.safetensors"
    assert (alone.checkpoint / weights).read_bytes() == (both.checkpoint / weights).read_bytes()


def test_weights_change_what_is_learned(any_job, pairs, write):
    weighty = [attrs.evolve(pair, weight=float(n % 2 or 0.1)) for n, pair in enumerate(pairs(12))]
    one = TrlBackend().train(any_job("dpo", name="one"))
    other = TrlBackend().train(any_job("dpo", name="other", data=write(weighty, "weighty.jsonl")))
    weights = "model.safetensors"
    assert (one.checkpoint / weights).read_bytes() != (other.checkpoint / weights).read_bytes()


@pytest.mark.parametrize(
    ("label", "message"),
    [(True, "got 2 desirable and 0 undesirable"), (False, "got 0 desirable and 2 undesirable")],
)
def test_one_label_alone_is_refused(write, label, message):
    path = write([UnpairedPreference((USER,), (GOOD,), label)] * 2)
    with pytest.raises(RecordError, match=message):
        read_unpaired(path)


def test_no_pairs_and_none_that_counts_are_refused(write):
    with pytest.raises(RecordError, match="must hold at least one Pair, got none"):
        read_pairs(write([]))
    with pytest.raises(RecordError, match="field 'weight' must be above 0 for a pair, got 1 of"):
        read_pairs(write([attrs.evolve(PAIR, weight=0.0)]))


def test_a_label_must_be_a_flag(write):
    path = write([UnpairedPreference((USER,), (GOOD,), True)])
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), "label": 1}) + b"\n")
    with pytest.raises(RecordError, match="line 1: field 'label' must be true or false, got 1"):
        read_unpaired(path)


@pytest.mark.parametrize("algorithm", [*PAIRED, "kto", "spin"])
def test_rewards_are_refused_by_what_samples_nothing(any_job, algorithm):
    rewards = (RewardSpec(name="r", fn=len),)
    with pytest.raises(ConfigError, match=rf"rewards must be empty for {algorithm}, got \['r'\]"):
        TrlBackend().check(any_job(algorithm, rewards=rewards))


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "online_dpo"])
def test_rewards_are_needed_by_what_samples(any_job, algorithm):
    with pytest.raises(ConfigError, match="rewards must be at least one RewardSpec, got none"):
        TrlBackend().check(any_job(algorithm, rewards=()))
    with pytest.raises(ConfigError, match=f"max_length must be None for {algorithm}, got 8"):
        TrlBackend().check(any_job(algorithm, config=TrainConfig(max_length=8)))


@pytest.mark.parametrize("algorithm", ["spin", "online_dpo"])
def test_evaluation_is_refused_where_there_is_none(any_job, algorithm, tmp_path):
    job = any_job(algorithm, config=TrainConfig(eval_every=1))
    with pytest.raises(ConfigError, match=f"eval_data must be None for {algorithm}"):
        TrlBackend().check(attrs.evolve(job, eval_data=job.data))


def test_kto_needs_two_answers_in_a_batch(any_job):
    with pytest.raises(ConfigError, match="batch_size must be >= 2 for kto, got 1"):
        TrlBackend().check(any_job("kto", config=TrainConfig(batch_size=1)))
    options = {"loss_type": "apo_zero_unpaired"}  # has no reference point
    TrlBackend().check(any_job("kto", config=TrainConfig(batch_size=1), options=options))


def test_a_loss_over_sorted_answers_takes_no_weights(any_job, pairs, write):
    data = write(pairs(3, weight=0.5))
    with pytest.raises(RecordError, match=r"field 'weight' must be 1 for the loss 'aot'"):
        TrlBackend().check(any_job("dpo", data=data, options={"loss_type": ["sigmoid", "aot"]}))
    TrlBackend().check(any_job("dpo", data=data))


def test_margins_must_be_there_to_be_used(any_job, pairs, write):
    data = write([*pairs(2, margin=0.5), PAIR])
    with pytest.raises(RecordError, match=r"line 3: field 'margin' must be a number"):
        TrlBackend().check(any_job("reward", data=data, options={"use_margin": True}))
    TrlBackend().check(any_job("reward", data=data))


def test_a_demonstration_of_several_turns_is_refused_by_spin(any_job, write):
    data = write([Trajectory((USER, GOOD, USER, BAD), "e", "t", 1.0)])
    with pytest.raises(RecordError, match=r"line 1: field 'messages' must hold a prompt and one"):
        TrlBackend().check(any_job("spin", data=data))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("ppo", "the backend 'verl'"), ("gspo", "'sequence'"), ("ipo", "loss_type 'ipo'")],
)
def test_what_is_elsewhere_is_said_to_be_there(any_job, name, hint):
    job = attrs.evolve(any_job("dpo"), algorithm=name)
    with pytest.raises(ConfigError, match=f"got {name!r}") as caught:
        TrlBackend().check(job)
    assert hint in caught.value.hint


def test_one_module_alone_imports_what_may_go_with_any_release():
    package = Path(orbiter_trl.__file__).parent
    imports = re.compile(
        r"^\s*(from|import) trl\.experimental|[\"']trl\.experimental", re.MULTILINE
    )
    named = {f.name for f in package.glob("*.py") if imports.search(f.read_text())}
    assert named == {"experimental.py"}


def test_a_trainer_that_trl_gave_up_is_named():
    from orbiter_trl.experimental import experimental

    (found,) = experimental("orpo", "ORPOTrainer")
    assert issubclass(found, object)
    for module, name in (("orpo", "NoTrainer"), ("no_such", "NoTrainer")):
        with pytest.raises(
            ConfigError, match=rf"needs NoTrainer of trl.experimental.{module}, .*TRL 1"
        ):
            experimental(module, name)


def test_a_step_is_labelled_where_it_is_scored(tokeniser):
    """On the last token of the conversation up to the step, also where a template writes something after a turn that carries no loss."""
    tokens = tokeniser()
    template = tokens.tokenizer.chat_template
    tokens.tokenizer.chat_template = template.replace(
        "{%- endgeneration -%}", "{%- endgeneration -%}{{- ' ' -}}"
    )
    table = prm.step_table(
        tokens.unpaired([UnpairedPreference((USER,), (GOOD,), True)], whole=True)
    )
    scored = tokens.tokenizer.apply_chat_template(
        to_chat((USER, GOOD)), tokenize=True, return_dict=True
    )["input_ids"]
    assert table["input_ids"] == [scored]
    assert table["labels"] == [[IGNORED] * (len(scored) - 1) + [1]]
