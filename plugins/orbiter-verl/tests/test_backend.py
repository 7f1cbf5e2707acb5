"""What the backend refuses before it starts anything, and what it asks another interpreter."""

import os
import sys
import time

import attrs
import orjson
import pytest
import yaml
from orbiter_verl.attempt import attempts, kl_coef_after, new_attempt, newest_checkpoint
from orbiter_verl.backend import VerlBackend, keep_metrics
from orbiter_verl.doctor import examine
from orbiter_verl.driver import Order, describe, preflight
from orbiter_verl.keys import Files, Request
from orbiter_verl.process import MARK, Training, WorkerTraceback, compose_elsewhere, marked
from orbiter_verl.settings import read_settings

from orbiter.cli import main
from orbiter.errors import BackendError, ConfigError, OrbiterError, RecordError
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
    def request(self, nano, write, tasks, **options):
        settings = {"device": "cpu", "rollout": "transformers", "max_prompt_length": 16} | options
        path = str(write(tasks(4)))
        files = Files(train="", eval=None, tasks={"train": path}, checkpoints="", resume_from=None, samples="", rewards="", rewards_digest="")  # fmt: skip
        return Request(
            algorithm="grpo",
            model=str(nano),
            config=TrainConfig(),
            settings=read_settings("grpo", settings),
            files=files,
        )

    def test_prompts_that_fit(self, nano, write, tasks):
        assert preflight(self.request(nano, write, tasks, max_response_length=8)) == []

    def test_a_prompt_that_is_too_long_is_named(self, nano, write, tasks):
        with pytest.raises(
            ConfigError,
            match=r"tasks\.jsonl line 1: prompt must be at most max_prompt_length=5 tokens, got \d+",
        ):
            preflight(self.request(nano, write, tasks, max_prompt_length=5))

    def test_a_context_that_is_too_short_is_an_alarm(self, nano, write, tasks):
        alarms = preflight(self.request(nano, write, tasks, max_response_length=500))
        assert alarms == [
            "max_prompt_length and max_response_length together are 516 tokens, and the model's context is 128"
        ]

    def test_a_model_that_cannot_be_loaded(self, nano, write, tasks, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        request = attrs.evolve(self.request(nano, write, tasks), model=str(tmp_path))
        with pytest.raises(BackendError, match="cannot be loaded"):
            preflight(request)

    def test_a_tokenizer_without_a_template(self, nano, write, tasks, tmp_path):
        import shutil

        shutil.copytree(nano, tmp_path / "bare")
        (tmp_path / "bare/chat_template.jinja").unlink()
        request = attrs.evolve(self.request(nano, write, tasks), model=str(tmp_path / "bare"))
        with pytest.raises(BackendError, match="must have a chat template, got none"):
            preflight(request)


def test_a_model_that_cannot_be_loaded_fails_in_the_driver_with_its_traceback(make_job, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"model_type": "llama"}')
    job = make_job(model=str(tmp_path / "model"))
    with pytest.raises(BackendError, match="model '.*' cannot be loaded") as caught:
        VerlBackend().train(job)
    assert isinstance(caught.value.__cause__, WorkerTraceback)
    assert "in preflight" in str(caught.value.__cause__)
    assert "attempt-1/error.json" in caught.value.hint
    assert not (job.output_dir / "checkpoint").exists()
    assert not (job.output_dir / "verl/attempt-1/rewards.pkl").exists()


class TestDescribing:
    def test_the_innermost_of_what_ray_wraps(self):
        class Wrapped(Exception):
            def __init__(self, cause):
                super().__init__("ray says")
                self.cause = cause

        said = describe(Wrapped(Wrapped(ValueError("the worker's own\nand more"))))
        assert said == {"kind": "", "message": "ValueError: the worker's own", "hint": None}

    def test_our_own_are_kept(self):
        said = describe(ConfigError("x must be y", hint="do z"))
        assert said == {"kind": "ConfigError", "message": "x must be y", "hint": "do z"}

    def test_an_empty_one(self):
        assert describe(ValueError())["message"] == "ValueError"


STUB = """
import os, sys, time
sys.stdin.readline()
{body}
"""


class TestProcess:
    """The driver's process, with programs in its place that do what a driver may do."""

    def training(self, make_job, tmp_path, body):
        stub = tmp_path / "python"
        (tmp_path / "stub.py").write_text(STUB.format(body=body))
        stub.write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path / 'stub.py'}\n")
        stub.chmod(0o755)
        settings = read_settings("grpo", {"device": "cpu", "python": str(stub)})
        request = Request(algorithm="grpo", model="m", config=TrainConfig(), settings=settings)
        order = Order(request=request, folder=str(tmp_path), train=True)
        return Training(order, log=tmp_path / "log.txt", metrics=tmp_path / "m.jsonl")

    def test_one_that_ends_in_silence(self, make_job, tmp_path):
        with self.training(make_job, tmp_path, "print('said'); sys.exit(7)") as training:
            while training.is_running():
                time.sleep(0.01)
        with pytest.raises(BackendError, match="ended with exit code 7 and said no more"):
            training.check()
        assert "said" in (tmp_path / "log.txt").read_text()

    def test_what_it_started_is_ended_though_it_ignores_being_told(
        self, make_job, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("orbiter_verl.process.GRACE_S", 0.2)
        body = (
            "import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "subprocess.Popen(['sleep', '1000'], start_new_session=True)\nprint('ready', flush=True)\ntime.sleep(1000)"
        )
        with self.training(make_job, tmp_path, body) as training:
            while "ready" not in (tmp_path / "log.txt").read_text():
                time.sleep(0.01)
            mark, folder = training._mark, training._temp
            assert len(list(marked(mark))) == 2
            assert os.path.isdir(folder)
        assert list(marked(mark)) == []
        assert not os.path.exists(folder)

    def test_each_cluster_has_a_token_of_its_own_and_no_other_address(
        self, make_job, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("RAY_ADDRESS", "elsewhere:1")
        body = (
            "print({k: v for k, v in os.environ.items() if k.startswith('RAY') or k == '%s'}, flush=True)"
            % MARK
        )
        for _ in range(2):
            with self.training(make_job, tmp_path, body) as training:
                while training.is_running():
                    time.sleep(0.01)
        first, second = (eval(line) for line in (tmp_path / "log.txt").read_text().splitlines())
        assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
        assert first["RAY_AUTH_MODE"] == "token"
        assert len(first["RAY_AUTH_TOKEN"]) == 64

    def test_what_was_said_elsewhere_is_raised_here(self, make_job, tmp_path):
        job = make_job(options={"overrides": ["algorithm.gama=1"]})
        settings = read_settings("grpo", job.options)
        request = Request(algorithm="grpo", model="m", config=TrainConfig(), settings=settings)
        with pytest.raises(ConfigError, match=r"did you mean 'algorithm\.gamma'"):
            compose_elsewhere(Order(request=request, folder=str(tmp_path)))


class TestAttempts:
    def test_they_are_numbered(self, tmp_path):
        assert attempts(tmp_path) == []
        made = [new_attempt(tmp_path, start) for start in (0, 0, 4)]
        (tmp_path / "attempt-x").mkdir()
        assert attempts(tmp_path) == made
        assert [(a.number, a.start) for a in made] == [(1, 0), (2, 0), (3, 4)]

    @pytest.mark.parametrize("text", [None, "", "x"])
    def test_a_checkpoint_counts_once_verl_says_so(self, tmp_path, text):
        (tmp_path / "global_step_3").mkdir()
        if text is not None:
            (tmp_path / "latest_checkpointed_iteration.txt").write_text(text)
        assert newest_checkpoint(tmp_path) == (0, None)
        (tmp_path / "latest_checkpointed_iteration.txt").write_text("3")
        assert newest_checkpoint(tmp_path) == (3, tmp_path / "global_step_3")
        (tmp_path / "latest_checkpointed_iteration.txt").write_text("4")
        assert newest_checkpoint(tmp_path) == (0, None)

    def test_rows_after_the_checkpoint_are_cut(self, tmp_path):
        path = tmp_path / "metrics.jsonl"
        assert keep_metrics(path, 3) == []
        path.write_bytes(b'{"step":1}\n{"step":3}\n{"step":4}\n{"st')
        assert keep_metrics(path, 3) == [{"step": 1}, {"step": 3}]
        assert path.read_bytes() == b'{"step":1}\n{"step":3}\n'

    def test_the_controller_goes_on_where_it_stood(self, tmp_path):
        settings = read_settings(
            "ppo", {"kl_target": 0.1, "kl_horizon": 100, "kl_coef": 0.5, "group_size": 2}
        )
        request = Request(
            algorithm="ppo", model="m", config=TrainConfig(batch_size=5), settings=settings
        )
        assert kl_coef_after(tmp_path, 2, request) == 0.5
        rows = [
            {
                "step": n,
                "data": {"actor/reward_kl_penalty": 0.2, "actor/reward_kl_penalty_coeff": n / 10},
            }
            for n in (1, 2, 3)
        ]
        attempt = new_attempt(tmp_path, 0)
        (attempt.path / "metrics.jsonl").write_bytes(
            b"".join(orjson.dumps(row) + b"\n" for row in rows)
        )
        # 20 % above its target at most: 0.2 * (1 + 0.2 * 10 answers / 100).
        assert kl_coef_after(tmp_path, 2, request) == pytest.approx(0.204)


class TestDoctor:
    def test_every_finding_says_what_it_is_about(self):
        found = {finding.what: finding for finding in examine()}
        assert found["verl"].good and found["ray"].good
        assert {"GPU", "flash-attn", "vllm", "sglang", "memory", "/dev/shm"} <= set(found)

    def test_what_is_missing_has_a_hint(self, monkeypatch):
        monkeypatch.setattr("orbiter_verl.doctor._version", lambda name: None)
        for finding in examine():
            if finding.good is False:
                assert finding.hint.startswith("pip install") or finding.what in (
                    "memory",
                    "/dev/shm",
                )

    def test_another_version_is_a_remark(self, monkeypatch):
        monkeypatch.setattr("orbiter_verl.doctor.TESTED", {"verl": "0.0.1"})
        verl = next(finding for finding in examine() if finding.what == "verl")
        assert (verl.good, "tested with 0.0.1" in verl.hint) == (None, True)

    def test_the_environment(self, monkeypatch):
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        found = {finding.what: finding for finding in examine()}
        assert "ray_address" in found["RAY_ADDRESS"].hint
        assert "hides every GPU" in found["CUDA_VISIBLE_DEVICES"].said

    def test_little_memory(self, monkeypatch):
        monkeypatch.setattr("orbiter_verl.doctor.MEMORY_GB", 10**6)
        memory = next(finding for finding in examine() if finding.what == "memory")
        assert memory.good is False
        assert "end other programs" in memory.hint
