"""What cannot work is refused while validating, in exact words: wrong rows, models, options, rewards and machines."""

import asyncio
import json
import shutil

import orjson
import pytest
from orbiter_trl.backend import TrlBackend
from transformers import AutoTokenizer

from orbiter.curate.pairs import UnpairedPreference
from orbiter.errors import OrbiterError
from orbiter.records import Message, Pair, Task, Trajectory
from orbiter.train.config import LoraConfig, TrainConfig
from orbiter.train.lifecycle import TrainerState
from orbiter.train.model_trainer import ModelTrainer
from orbiter.train.rewards import RewardSpec

USER, GOOD, BAD = Message("user", "copy 1:"), Message("assistant", "1"), Message("assistant", "2")
EMPTY = Message("assistant", "")
PAIR = Pair((USER,), (GOOD,), (BAD,))
TRAJECTORY = Trajectory((USER, GOOD), "e", "t", 1.0)
UNARY = UnpairedPreference((USER,), (GOOD,), True)
TASK = Task("e", "t", (USER,))
FIRST = {"sft": TRAJECTORY, "spin": TRAJECTORY, "kto": UNARY, "prm": UNARY}
ADAPTERS = LoraConfig(rank=2)


def rows(*given, **changes):
    """Return what makes a job on these rows; one is a record, an object of JSON, or a line as it stands."""

    def make(tools):
        lines = [
            row
            if isinstance(row, bytes)
            else orjson.dumps(row if isinstance(row, dict) else row.to_row())
            for row in given
        ]
        path = tools.folder / "rows.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return {"data": path, **changes}

    return make


def odd(record, **changes):
    """Return the row of a record with fields that a record could not have."""
    return {**record.to_row(), **changes}


def model(**changes):
    """Return what makes a job on a model whose config, files or tokenizer are otherwise."""

    def make(tools):
        folder = tools.folder / "model"
        shutil.copytree(tools.nano, folder, ignore=shutil.ignore_patterns("*.safetensors"))
        config = json.loads((folder / "config.json").read_text()) | changes.get("config", {})
        (folder / "config.json").write_text(json.dumps(config))
        if "tokenizer" in changes:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            for name, value in changes["tokenizer"].items():
                setattr(tokenizer, name, value)
            if tokenizer.chat_template is None:
                (folder / "chat_template.jinja").unlink()
            tokenizer.save_pretrained(folder)
        for name, content in changes.get("files", {}).items():
            if content is None:
                (folder / name).unlink()
            else:
                (folder / name).write_text(content)
        return {"model": str(folder), **changes.get("job", {})}

    return make


def job(**changes):
    return lambda _: changes


def options(**given):
    return job(options=given)


def template(text):
    return model(tokenizer={"chat_template": text})


BACKWARDS = template("{% for m in messages | reverse %}<{{ m.role }}>{{ m.content }}{% endfor %}")
SILENT = template("{% for m in messages if m.role == 'user' %}{{ m.content }}<|end|>{% endfor %}")
LONG = Message("user", "copy " + "1" * 80 + ":")
NO_ROW = "must hold a row that can be trained on, got none; of the last rows: "
NO_LOSS = NO_ROW + "1 of 1 rows carry no loss and were left out (loss mask all 0)"
NOT_EMPTY = "must hold an assistant turn that says something, got "

CASES = [
    # rows of another kind
    ("dpo", rows(PAIR, UNARY), "line 2: field 'chosen' is missing"),
    ("dpo", rows(PAIR, TRAJECTORY), "line 2: field 'prompt' is missing"),
    ("dpo", rows(TASK), "line 1: field 'prompt' is missing"),
    ("reward", rows(UNARY), "line 1: field 'chosen' is missing"),
    ("simpo", rows(UNARY), "line 1: field 'chosen' is missing"),
    ("orpo", rows(TRAJECTORY), "line 1: field 'prompt' is missing"),
    ("kto", rows(UNARY, PAIR), "line 2: field 'completion' is missing"),
    ("prm", rows(PAIR), "line 1: field 'completion' is missing"),
    ("sft", rows(PAIR), "line 1: field 'messages' is missing"),
    ("sft", rows(TASK), "line 1: field 'score' is missing"),
    ("spin", rows(PAIR), "line 1: field 'messages' is missing"),
    ("grpo", rows(TASK, PAIR), "line 2: field 'env' is missing"),
    ("dpo", rows(PAIR, b'{"prompt": ['), "line 2: "),
    # rows that say nothing, or the same
    *(
        (algorithm, rows(PAIR, Pair((USER,), chosen, (BAD,))), f"line 2: field 'chosen' {NOT_EMPTY}{got}")
        for algorithm, chosen, got in (
            ("dpo", (), "none"), ("dpo", (EMPTY,), "an empty one"), ("simpo", (EMPTY,), "an empty one"),
            ("orpo", (USER,), "none"), ("reward", (), "none"),
        )
    ),
    *(
        (algorithm, rows(PAIR, Pair((USER,), (GOOD,), (GOOD,))), "line 2: field 'rejected' must differ from chosen, got the same messages")
        for algorithm in ("dpo", "simpo", "orpo", "reward")
    ),
    ("dpo", rows(Pair((USER,), (GOOD,), ())), "line 1: field 'rejected' must hold an assistant turn, got none"),
    ("dpo", rows(Pair((), (GOOD,), (BAD,))), "line 1: field 'prompt' must hold a message, got none"),
    ("kto", rows(UnpairedPreference((), (GOOD,), True)), "line 1: field 'prompt' must hold a message, got none"),
    ("kto", rows(UnpairedPreference((USER,), (EMPTY,), True)), f"line 1: field 'completion' {NOT_EMPTY}an empty one"),
    ("kto", rows(UnpairedPreference((USER,), (), False)), "line 1: field 'completion' must hold an assistant turn, got none"),
    ("prm", rows(UNARY, UnpairedPreference((USER,), (GOOD, USER), False)), "line 2: field 'completion' must end with the step, an assistant turn, got user"),
    ("spin", rows(Trajectory((USER, GOOD, USER, BAD), "e", "t", 1.0)), "line 1: field 'messages' must hold a prompt and one assistant turn after it for spin"),
    ("sft", rows(Trajectory((USER,), "e", "t", 1.0)), "must hold an assistant turn (row 1, task 't')"),
    ("grpo", rows(Task("e", "t", ())), "line 1: field 'messages' must hold a message, got none"),
    # files without rows that count
    *((algorithm, rows(), "must hold at least one ") for algorithm in ("dpo", "reward", "kto", "prm", "spin", "grpo", "rloo", "online_dpo")),
    ("sft", rows(), "must hold at least one Trajectory, got none"),
    ("dpo", rows(odd(PAIR, weight=0.0)), "field 'weight' must be above 0 for a pair, got 1 of weight 0"),
    ("kto", rows(UNARY, UNARY), "must hold both labels, got 2 desirable and 0 undesirable answers"),
    ("prm", rows(odd(UNARY, label=False)), "must hold both labels, got 0 desirable and 1 undesirable answers"),
    # numbers
    ("dpo", rows(PAIR, odd(PAIR, weight=-1.0)), "line 2: field 'weight' must be a number >= 0, got -1.0"),
    ("dpo", rows(orjson.dumps(PAIR.to_row())[:-1] + b', "weight": NaN}'), "line 1: "),
    ("dpo", rows(odd(PAIR, weight="much")), "line 1: field 'weight' must be a number, got 'much'"),
    ("kto", rows(odd(UNARY, label=1)), "line 1: field 'label' must be true or false, got 1"),
    ("kto", rows({k: v for k, v in UNARY.to_row().items() if k != "label"}), "line 1: field 'label' is missing"),
    ("reward", rows(PAIR, options={"use_margin": True}), "line 1: field 'margin' must be a number, since use_margin is on, got null"),
    ("dpo", rows(odd(PAIR, weight=0.5), options={"loss_type": "aot"}), "field 'weight' must be 1 for the loss 'aot'"),
    # what is left once it is cut, and templates
    *((algorithm, rows(FIRST.get(algorithm, PAIR), *([odd(UNARY, label=False)] if algorithm == "kto" else []), config=TrainConfig(max_length=6)), NO_ROW + "") for algorithm in ("sft", "dpo", "simpo", "orpo", "spin", "kto", "reward")),
    ("sft", BACKWARDS, NO_ROW),
    ("dpo", BACKWARDS, NO_ROW),
    ("kto", BACKWARDS, NO_ROW),
    ("sft", SILENT, NO_ROW),
    ("reward", SILENT, NO_ROW),
    ("sft", template("{{ raise_exception('no') }}"), "field 'messages' must be rendered by the chat template, which refused it: no"),
    ("rloo", template("{{ raise_exception('no') }}"), "field 'messages' must be rendered by the chat template, which refused it: no"),
    *((algorithm, rows(TASK, Task("e", "u", (LONG,))), "line 2: field 'messages' must leave room for an answer in the model's context of 64 tokens, got a prompt of 89") for algorithm in ("grpo", "rloo", "online_dpo")),
    ("grpo", rows(Task("e", "t", (USER,), tools=({"function": {"name": "g"}},))), "line 1: field 'tools' must name tools of the job's toolbox (it has none), got 'g'"),
    # models and tokenizers
    ("sft", model(tokenizer={"chat_template": None}), "must have a chat template, got none"),
    ("dpo", model(tokenizer={"eos_token": None, "pad_token": None}), "must name an end token (eos_token), got none"),
    ("dpo", model(config={"vocab_size": 10}), "must fit the vocabulary of the model, which has 10 tokens, got 23"),
    ("grpo", model(files={"adapter_config.json": '{"base_model_name_or_path": "another/base"}'}), "model must be whole, got"),
    ("sft", model(files={"config.json": None}), "model must be a hub id or a folder with a config.json, got"),
    ("sft", model(files={"config.json": "{"}), "cannot be loaded"),
    ("sft", model(config={"hidden_size": "x"}), "cannot be loaded: StrictDataclassFieldValidationError: Validation error"),
    ("sft", model(files={"tokenizer.json": None, "tokenizer_config.json": None}), "cannot be loaded"),
    ("sft", job(model="nobody/has-this"), "model 'nobody/has-this' cannot be loaded"),
    ("dpo", model(), "must hold its weights, and there is no model.safetensors"),
    ("grpo", model(files={"model.safetensors": "{}"}), "must hold its weights, and model.safetensors cannot be read: "),
    ("sft", model(files={"model.safetensors.index.json": "[]"}), "must hold its weights, and model.safetensors.index.json cannot be read"),
    ("rloo", model(files={"model.safetensors.index.json": '{"weight_map": {"lm_head.weight": "model-1.safetensors"}}'}), "must hold its weights, and model-1.safetensors cannot be read: "),
    *((algorithm, model(config={"architectures": ["LlamaForSequenceClassification"]}), f"model must be one that answers for {algorithm}, got") for algorithm in ("dpo", "grpo", "sft")),
    ("kto", model(config={"architectures": ["LlamaForTokenClassification"]}), "which scores (LlamaForTokenClassification)"),
    # references and adapters
    *((algorithm, job(config=TrainConfig(batch_size=4, lora=LoraConfig(target_modules=("q_prj",)))), "target_modules of lora must name layers of ") for algorithm in ("dpo", "reward", "grpo")),
    ("sft", job(config=TrainConfig(lora=LoraConfig(target_modules="q"))), "target_modules of lora must name layers of "),
    ("dpo", job(options={"sync_ref_model": True}, config=TrainConfig(lora=ADAPTERS)), "sync_ref_model must be left out with lora"),
    ("kto", options(sync_ref_model=True, precompute_ref_log_probs=True), "sync_ref_model must be left out with precompute_ref_log_probs"),
    ("grpo", options(sync_ref_model=True), "beta must be above 0 with sync_ref_model, got 0.0"),
    ("rloo", options(sync_ref_model=True, beta=0.0), "beta must be above 0 with sync_ref_model, got 0.0"),
    ("dpo", job(config=TrainConfig(lora=LoraConfig(target_modules=("lm_head",)))), "target_modules of lora must leave out lm_head for dpo"),
    ("sft", job(config=TrainConfig(lora=LoraConfig(bits=4))), "lora.bits must be None on a machine without a CUDA device, got 4"),
    ("grpo", options(use_vllm=True), "use_vllm must be left out on a machine without a CUDA device"),
    ("rloo", options(vllm_mode="server"), "option 'vllm_mode' must be left out without use_vllm, got 'server'"),
    # groups and batches
    ("grpo", options(num_generations=1), "options or config must fit GRPOConfig: GRPO requires at least 2 generations per prompt"),
    ("rloo", options(num_generations=1), "options or config must fit RLOOConfig: RLOO requires at least 2 generations per prompt"),
    ("grpo", options(num_generations=3), "options or config must fit GRPOConfig: generation_batch_size (4) must be divisible"),
    *(
        (algorithm, job(config=TrainConfig(batch_size=52)), "data must hold at least the 13 tasks of one batch of 52 answers, got 12")
        for algorithm in ("grpo", "rloo")
    ),
    ("rloo", job(options={"num_iterations": 3}, config=TrainConfig(batch_size=4, save_every=4)), "save_every must be a multiple of 3, since so many steps share their answers, got 4"),
    ("grpo", job(options={"steps_per_generation": 4}, config=TrainConfig(batch_size=4, gradient_accumulation=2, save_every=1)), "save_every must be a multiple of 2, since"),
    ("kto", job(config=TrainConfig(batch_size=1)), "batch_size must be >= 2 for kto, got 1"),
    ("sft", options(packing=True), "max_length must be set for packing, got None"),
    ("sft", job(config=TrainConfig(eval_every=1)), "eval_every needs eval_data, got eval_every=1"),
    # rewards
    ("grpo", job(rewards=()), "rewards must be at least one RewardSpec, got none"),
    ("online_dpo", job(rewards=(len,)), "a reward must be a RewardSpec, got"),
    ("rloo", job(rewards=(RewardSpec(name="r", fn=len),) * 2), "names of rewards must differ, got 'r' 2 times"),
    ("dpo", job(rewards=(RewardSpec(name="r", fn=len),)), "rewards must be empty for dpo, got ['r']"),
    ("grpo", job(config=TrainConfig(max_length=8)), "max_length must be None for grpo, got 8"),
    # numbers
    *((algorithm, options(temperature=0.0), "temperature must be a number > 0, got 0.0") for algorithm in ("grpo", "rloo", "online_dpo")),
    ("grpo", options(top_p=2.0), "top_p must be a number in (0, 1], got 2.0"),
    ("grpo", options(epsilon=-0.2), "epsilon must be a number in [0, 1], got -0.2"),
    ("grpo", options(beta=-1.0), "beta must be a number >= 0, got -1.0"),
    ("grpo", options(max_completion_length=0), "max_completion_length must be an integer >= 1, got 0"),
    ("grpo", options(num_generations="4"), "num_generations must be an integer >= 1, got '4'"),
    ("rloo", options(beta=None), "beta must be a number >= 0, got None"),
    ("online_dpo", options(beta=[0.1, 0.0]), "beta must be a number > 0, got 0.0"),
    ("online_dpo", options(max_new_tokens=0), "max_new_tokens must be an integer >= 1, got 0"),
    ("kto", options(desirable_weight=-1.0), "desirable_weight must be a number >= 0, got -1.0"),
    ("dpo", options(loss_type=["sigmoid", "sft"], loss_weights=[1.0, -1.0]), "loss_weights must be a number >= 0, got -1.0"),
    ("reward", options(center_rewards_coefficient=-0.1), "center_rewards_coefficient must be a number >= 0, got -0.1"),
    # options of the losses
    ("sft", options(assistant_only_loss=True), "option 'assistant_only_loss' must be left out, since it would change nothing here"),
    ("sft", options(completion_only_loss=False), "option 'completion_only_loss' must be left out"),
    ("sft", options(dataset_text_field="text"), "option 'dataset_text_field' must be left out"),
    ("grpo", options(reward_weights=[1.0]), "option 'reward_weights' must be left out"),
    ("dpo", options(model_init_kwargs={}), "option 'model_init_kwargs' must be left to the backend"),
    ("dpo", options(loss_type="sigmod"), "loss_type must be one of sigmoid, hinge, ipo"),
    ("dpo", options(loss_type=["sigmoid", "stf"]), "loss_type must be one of sigmoid, hinge, ipo"),
    ("dpo", options(loss_type="sft"), "loss_type must name a preference loss beside 'sft'"),
    ("dpo", options(loss_type="exo_pair"), "label_smoothing must be > 0 for the loss 'exo_pair', got 0.0"),
    ("dpo", options(loss_type="robust", label_smoothing=0.5), "label_smoothing must be a number in [0, 0.5), got 0.5"),
    ("dpo", options(loss_weights=[1.0, 2.0]), "options or config must fit DPOConfig: `loss_weights` must have the same length"),
    ("dpo", options(truncation_mode="keep_end"), "option 'truncation_mode' must be left out, since it would change nothing here"),
    ("dpo", options(padding_free=True), "option 'padding_free' must be left out"),
    ("dpo", options(beta=0), "beta must be a number > 0, got 0"),
    ("dpo", options(label_smoothing="much"), "label_smoothing must be"),
    ("dpo", options(loss_type=3), "loss_type must be one of sigmoid, hinge, ipo"),
    ("dpo", options(bete=0.1), "unknown option 'bete'; did you mean 'beta'?"),
    ("simpo", options(loss_type="sinpo"), "loss_type must be one of simpo, sigmoid, hinge, ipo, got 'sinpo'; did you mean 'simpo'?"),
    ("simpo", options(max_completion_length=3), "option 'max_completion_length' must be left out"),
    ("simpo", options(simpo_gamma=-1.0), "simpo_gamma must be a number >= 0, got -1.0"),
    ("orpo", options(loss_type="orpo"), "unknown option 'loss_type'"),
    ("orpo", options(beta=-1.0), "beta must be a number >= 0, got -1.0"),
    ("reward", options(chat_template_path="x"), "option 'chat_template_path' must be left out"),
    ("reward", options(use_margins=True), "unknown option 'use_margins'; did you mean 'use_margin'?"),
    ("prm", options(center_rewards_coefficient=0.1), "option 'center_rewards_coefficient' must be left out"),
    ("kto", options(loss_type="kot"), "loss_type must be one of kto, apo_zero_unpaired, got 'kot'"),
    ("kto", options(label_ratio=1.0, desirable_weight=2.0), "label_ratio must be left out beside desirable_weight, got 1.0"),
    ("kto", options(label_ratio=0), "label_ratio must be a number > 0, got 0"),
    ("kto", options(beta=-1.0), "beta must be a number > 0, got -1.0"),
    ("kto", options(train_sampling_strategy="random"), "option 'train_sampling_strategy' must be left out"),
    ("spin", options(temperature=-1.0), "temperature must be a number >= 0, got -1.0"),
    ("spin", options(generation_batch_size=0), "generation_batch_size must be"),
    ("spin", options(max_completion_length=0), "max_completion_length must be"),
    ("spin", options(loss_type="sinpo"), "loss_type must be one of sigmoid"),
    ("spin", options(temprature=1.0), "unknown option 'temprature'; did you mean 'temperature'?"),
    ("grpo", options(loss_type="drgrpo"), "loss_type must be one of grpo, dr_grpo, dapo, bnpo, cispo, sapo, luspo, vespo, got 'drgrpo'"),
    ("grpo", options(loss_type="luspo"), "importance_sampling_level must be 'sequence' for the loss 'luspo', got 'token'"),
    ("grpo", options(loss_type="vespo", importance_sampling_level="sequence"), "importance_sampling_level must be 'token' for the loss 'vespo'"),
    ("grpo", options(importance_sampling_level="sentence"), "importance_sampling_level must be one of token, sequence, got 'sentence'"),
    ("online_dpo", options(loss_type="hinge"), "loss_type must be one of sigmoid, ipo, got 'hinge'"),
    ("online_dpo", options(reward_weights=[1.0]), "option 'reward_weights' must be left out"),
]  # fmt: skip


class Tools:
    """What a case may make its job of."""

    def __init__(self, folder, nano):
        self.folder, self.nano = folder, nano


@pytest.mark.parametrize(
    ("algorithm", "make", "message"),
    CASES,
    ids=[f"{n}-{algorithm}" for n, (algorithm, *_) in enumerate(CASES)],
)
def test_what_cannot_work_is_refused_while_validating(
    any_job, nano, tmp_path, algorithm, make, message
):
    asked = any_job(algorithm, **make(Tools(tmp_path, nano)))
    trainer = ModelTrainer(
        asked.model,
        data=asked.data,
        algorithm=algorithm,
        backend=TrlBackend(),
        config=asked.config,
        rewards=asked.rewards,
        options=asked.options,
        output_dir=asked.output_dir,
    )
    with pytest.raises(OrbiterError) as caught:
        asyncio.run(trainer.validate())
    first = str(caught.value).splitlines()[0]
    assert message in first
    assert caught.value.exit_code in (2, 3)
    assert trainer.state is TrainerState.ERROR
    assert not asked.output_dir.exists()


def test_the_cases_are_many_and_differ():
    assert len(CASES) >= 100
    assert {algorithm for algorithm, *_ in CASES} == set(TrlBackend.algorithms)
