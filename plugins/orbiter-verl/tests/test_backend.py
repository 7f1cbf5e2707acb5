"""What the backend refuses before it starts anything, and what it asks another interpreter."""

import json
import shutil
import sys

import pytest
import yaml
from orbiter_verl.backend import VerlBackend
from orbiter_verl.keys import Request
from orbiter_verl.preflight import preflight
from orbiter_verl.process import WorkerTraceback
from orbiter_verl.settings import read_settings

from orbiter.cli import main
from orbiter.errors import ConfigError, OrbiterError, RecordError
from orbiter.plugin import registry
from orbiter.records import Message, Task
from orbiter.testing.backend import UNKNOWN
from orbiter.train import RewardSpec, VeRLConfig, VeRLTrainer
from orbiter.train.config import TrainConfig

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def test_it_has_a_name():
    assert isinstance(registry().create("backend", "verl"), VerlBackend)
    assert set(VerlBackend.algorithms.values()) == {Task}


def test_a_job_that_works(make_job):
    for algorithm in VerlBackend.algorithms:
        job = make_job(algorithm)
        VerlBackend().check(job)
        assert not job.output_dir.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algorithm": "sft"}, "algorithm of the backend 'verl' must be one of ppo, grpo, got 'sft'"),
        ({"rewards": ()}, "rewards must be at least one RewardSpec, got none"),
        ({"options": {UNKNOWN: 1}}, f"unknown option '{UNKNOWN}'"),
        ({"options": {"overrides": ["data.imag_key=1"]}}, "unknown setting of verl 'data.imag_key'; did you mean 'data.image_key'?"),
        ({"options": {"overrides": ["trainer.nnodes=2"]}}, "override 'trainer.nnodes' must be left to the backend"),
        ({"options": {"rollout": "sglang", "device": "cuda"}}, "rollout 'sglang' is not installed"),
        ({"options": {"python": "/no/such/python"}}, "python must be an interpreter with orbiter-verl, got '/no/such/python': no such file"),
        ({"options": {"python": "/bin/false"}}, "interpreter '/bin/false' cannot run orbiter_verl: it ended with exit code 1"),
        ({"config": {"lr_scheduler": "linear"}}, "lr_scheduler must be constant or cosine"),
        ({"config": {"batch_size": 9}}, "data must hold at least the 9 tasks of one step, got 8"),
        ({"config": {"batch_size": 4, "gradient_accumulation": 3}}, "data must hold at least the 12 tasks of one step, got 8"),
        ({"config": {"eval_every": 2}}, "eval_every needs eval_data, got eval_every=2"),
        ({"algorithm": "ppo", "options": {"kl_target": 0.1, "kl_horizon": 1}}, "kl_horizon must be > 1, a fifth of the answers of a step, got 1"),
    ],
)  # fmt: skip
def test_a_job_that_cannot_work_is_refused(make_job, change, message):
    job = make_job(**change)
    with pytest.raises(OrbiterError) as caught:
        VerlBackend().check(job)
    assert caught.value.message.startswith(message)
    assert not job.output_dir.exists()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task("e", "e:1", (Message("user", "q"),), tools=(TOOL,)), "line 2: field 'tools' must be empty: verl reads tools from its tool config"),
        (Task("e", "e:1", (Message("user", "q"), Message("assistant", "a"))), "line 2: field 'messages' must end with a user message"),
    ],
)  # fmt: skip
def test_a_row_that_verl_cannot_be_given_is_named(make_job, tasks, task, message):
    job = make_job(rows=[tasks(1)[0], task, *tasks(8)[1:]])
    with pytest.raises(RecordError) as caught:
        VerlBackend().check(job)
    assert message in str(caught.value)
    assert str(job.data) in str(caught.value)


def test_files_that_are_no_tasks(make_job, tmp_path):
    for name, text, message in (
        ("none.jsonl", None, "data must be a JSONL file"),
        ("empty.jsonl", "", "data must hold at least one task"),
        ("torn.jsonl", '{"messages": [', "line 1"),
    ):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(OrbiterError, match=message):
            VerlBackend().check(make_job(data=path))


def test_a_folder_that_is_no_model(make_job, tmp_path):
    with pytest.raises(
        ConfigError, match=r"model must be a hub id or a folder with a config\.json"
    ):
        VerlBackend().check(make_job(model=str(tmp_path)))


async def test_the_trainer_refuses_in_validating(nano, tasks, tmp_path):
    trainer = VeRLTrainer(
        VeRLConfig(batch_size=4), rewards=[RewardSpec(name="l", fn=len)], model=nano, dataset=tasks(8), output_dir=tmp_path / "out",
        options={"overrides": ["algorithm.gama=1"]},
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"did you mean 'algorithm\.gamma'"):
        await trainer.validate()
    assert trainer.state.value == "error"


async def test_the_trainer_validates(nano, tasks, tmp_path):
    trainer = VeRLTrainer(VeRLConfig(batch_size=4), rewards=[RewardSpec(name="l", fn=len)], model=nano, dataset=tasks(8), output_dir=tmp_path / "out")  # fmt: skip
    await trainer.validate()
    assert trainer.state.value == "validated"


class TestPrinting:
    def test_the_configuration_can_be_printed_without_data_or_model(self, capsys):
        assert main(["train", "--backend", "verl", "--print-config", "--algorithm", "ppo", "learning_rate=1e-7", "options.kl_target=0.1"]) == 0  # fmt: skip
        config = yaml.safe_load(capsys.readouterr().out)
        assert config["algorithm"]["kl_ctrl"]["target_kl"] == 0.1
        assert config["actor_rollout_ref"]["actor"]["optim"]["lr"] == 1e-7
        assert config["critic"]["optim"]["lr"] == 1e-7

    def test_it_is_what_a_training_gets(self, make_job):
        job = make_job()
        printed = yaml.safe_load(VerlBackend().native_config(job))
        assert printed["actor_rollout_ref"]["model"]["path"] == job.model
        assert printed["data"]["train_batch_size"] == 4

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--print-config", "options.overrides=[a.b=1]"], "unknown setting of verl 'a.b'"),
            (
                ["--print-config", "learning_rat=1"],
                "field 'learning_rat' is unknown; did you mean 'learning_rate'?",
            ),
            (["--algorithm", "pppo", "--print-config"], "got 'pppo'; did you mean 'ppo'?"),
            ([], "--model must be given to train, got none"),
            (["--model", "m"], "--data must be given to train, got none"),
            (
                ["--print-config", "options=3"],
                "options must be given one by one, as options.name=value",
            ),
        ],
    )
    def test_what_is_wrong_is_one_line(self, capsys, arguments, said):
        assert main(["train", "--backend", "verl", *arguments]) == 2
        assert said in capsys.readouterr().err.splitlines()[0]


class TestPreflight:
    """What the driver sees of model and prompts, here in the tests' own process."""

    def look(self, nano, write, tasks, *, model=None, **options):
        settings = {"device": "cpu", "rollout": "transformers", "max_prompt_length": 16} | options
        request = Request(
            algorithm="grpo",
            model=str(model or nano),
            config=TrainConfig(),
            settings=read_settings("grpo", settings),
        )
        return preflight(request, [str(write(tasks(4)))])

    @pytest.fixture
    def other(self, nano, tmp_path):
        """Make a model that differs from the small one."""

        def make(*, config=None, tokenizer=None, without=(), **files):
            folder = tmp_path / "other"
            shutil.copytree(nano, folder)
            for name, changes in (
                ("config.json", config),
                ("tokenizer_config.json", tokenizer),
            ):
                if changes:
                    known = json.loads((folder / name).read_text())
                    (folder / name).write_text(json.dumps(known | changes))
            for name in without:
                (folder / name).unlink()
            for name, text in files.items():
                (folder / name.replace("__", ".")).write_text(text)
            return folder

        return make

    def test_prompts_that_fit(self, nano, write, tasks):
        assert self.look(nano, write, tasks, max_response_length=8) == []

    def test_a_prompt_that_is_too_long_is_named(self, nano, write, tasks):
        with pytest.raises(
            ConfigError,
            match=r"tasks\.jsonl line 1: prompt must be at most max_prompt_length=5 tokens, got \d+",
        ):
            self.look(nano, write, tasks, max_prompt_length=5)

    def test_a_context_that_is_too_short_is_an_alarm(self, nano, write, tasks):
        alarms = self.look(nano, write, tasks, max_response_length=500)
        assert alarms == [
            "max_prompt_length and max_response_length together are 516 tokens, and the model's context is 128"
        ]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"config__json": "{}"}, "cannot be loaded"),
            ({"config": {"hidden_size": "x"}}, "cannot be loaded: StrictDataclassFieldValidationError: Validation error"),
            ({"config__json": "[]"}, "cannot be loaded: TypeError: "),
            ({"without": ["chat_template.jinja"]}, "must have a chat template, got none"),
            ({"tokenizer": {"eos_token": None}}, "must name an end token (eos_token), got none"),
            ({"config": {"vocab_size": 5}}, "must fit the vocabulary of the model, which has 5 tokens, got "),
            ({"config": {"architectures": ["LlamaForSequenceClassification"]}}, "which scores (LlamaForSequenceClassification)"),
            ({"without": ["model.safetensors"]}, "must hold its weights, and there is no model.safetensors"),
            ({"model__safetensors": "torn"}, "must hold its weights, and model.safetensors cannot be read: "),
        ],
    )  # fmt: skip
    def test_a_model_that_cannot_be_trained(self, nano, write, tasks, other, changes, message):
        with pytest.raises(ConfigError) as caught:
            self.look(nano, write, tasks, model=other(**changes))
        assert message in caught.value.message

    def test_a_prompt_that_the_template_refuses_is_named(self, nano, write, tasks, other):
        model = other(chat_template__jinja="{{ raise_exception('no such role') }}")
        with pytest.raises(
            RecordError,
            match=r"tasks\.jsonl line 1: field 'messages' must be rendered by the chat template, which refused it: no such role",
        ):
            self.look(nano, write, tasks, model=model)


def test_a_model_that_cannot_be_loaded_is_refused(make_job, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"model_type": "llama"}')
    job = make_job(model=str(tmp_path / "model"))
    with pytest.raises(ConfigError, match=r"model '.*' cannot be loaded"):
        VerlBackend().check(job)
    assert not job.output_dir.exists()


def test_another_interpreter_looks_at_the_prompts_itself(make_job, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    job = make_job(options={"python": str(python), "max_prompt_length": 4})
    with pytest.raises(
        ConfigError, match="line 1: prompt must be at most max_prompt_length=4"
    ) as caught:
        VerlBackend().check(job)
    assert isinstance(caught.value.__cause__, WorkerTraceback)
    assert "in preflight" in str(caught.value.__cause__)
