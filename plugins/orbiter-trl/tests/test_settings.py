"""What a job asks for and cannot have is named before it costs a step: settings, options, trackers, files."""

import re

import pytest
from orbiter_trl.backend import TrlBackend

from orbiter.errors import BackendError, ConfigError, MissingPluginError
from orbiter.train.config import LoraConfig, TrainConfig
from orbiter.train.rewards import RewardSpec


def test_a_tracker_that_is_installed_gets_its_own_folder(job):
    one = job(config=TrainConfig(max_steps=1, log_every=1, report_to=("tensorboard",)))
    TrlBackend().train(one)
    assert [
        f.name.startswith("events.out") for f in (one.output_dir / "tensorboard").iterdir()
    ] == [True]


def test_a_tracker_that_is_not_installed_is_named_with_its_install_line(job, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPluginError) as caught:
        TrlBackend().check(job(config=TrainConfig(report_to=("wandb",))))
    assert str(caught.value) == "tracker 'wandb' is not installed\n  pip install wandb"


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (TrainConfig(report_to=("wand",)), {}, "got 'wand'; did you mean 'wandb'?"),
        (TrainConfig(lr_scheduler="cosin"), {}, "did you mean 'cosine'?"),
        (TrainConfig(), {"packin": True}, "unknown option 'packin'; did you mean 'packing'?"),
    ],
)
def test_settings_are_refused_before_there_is_a_job(config, options, message):
    TrlBackend().check_settings("sft", TrainConfig(report_to=("tensorboard",)), {"packing": True})
    with pytest.raises(ConfigError, match=re.escape(message)):
        TrlBackend().check_settings("sft", config, options)


def test_a_tracker_that_nobody_has_logged_in_to_is_named(job, monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb")
    for name, value in (("HOME", tmp_path), ("NETRC", tmp_path / "none"), ("WANDB_MODE", "online")):
        monkeypatch.setenv(name, str(value))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    with pytest.raises(
        BackendError, match=r"^tracker 'wandb' raised UsageError: No API key"
    ) as caught:
        TrlBackend().train(job(config=TrainConfig(max_steps=1, report_to=("wandb",))))
    assert isinstance(caught.value.__cause__, wandb.errors.UsageError)


def constant(output: str) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "grop"}, f"algorithm of the backend 'trl' must be one of {', '.join(TrlBackend.algorithms)}, got 'grop'; did you mean 'grpo'?"),
        ({"options": {"paking": True}}, "unknown option 'paking'; did you mean 'packing'?"),
        ({"options": {"learning_rate": 1}}, "option 'learning_rate' must be left to the config, got 1"),
        ({"options": {"save_only_model": True}}, "option 'save_only_model' must be left to the backend, got True"),
        ({"options": {"packing": True}}, "max_length must be set for packing, got None"),
        ({"options": {"optim": "adamm"}}, "options or config must fit SFTConfig: adamm is not a valid OptimizerNames"),
        ({"config": TrainConfig(report_to=("wandbb",))}, "report_to must be among tensorboard, wandb, trackio, mlflow, got 'wandbb'; did you mean 'wandb'?"),
        ({"config": TrainConfig(eval_every=1)}, "eval_every needs eval_data, got eval_every=1"),
        ({"rewards": (RewardSpec(name="r", fn=constant),)}, "rewards must be empty for sft, got ['r']"),
        ({"algorithm": "grpo"}, "rewards must be at least one RewardSpec, got none"),
        (
            {"algorithm": "grpo", "rewards": (RewardSpec(name="r", fn=constant),), "config": TrainConfig(max_length=8)},
            "max_length must be None for grpo, got 8",
        ),
    ],
)  # fmt: skip
def test_a_job_that_cannot_work_is_refused_by_check(job, changes, message):
    with pytest.raises(ConfigError) as caught:
        TrlBackend().check(job(**changes))
    assert str(caught.value).splitlines()[0].startswith(message)


def test_an_unknown_schedule_is_refused(job):
    with pytest.raises(
        ConfigError, match="lr_scheduler must be one of linear, cosine, constant, got 'cosin'"
    ):
        TrlBackend().check(job(config=TrainConfig(lr_scheduler="cosin")))


def test_what_trl_or_peft_refuses_is_a_backend_error(job):
    lora = LoraConfig(target_modules=("input_layernorm",))
    with pytest.raises(
        BackendError, match=r"TRL refused the job: Target module LlamaRMSNorm.* is not supported"
    ):
        TrlBackend().train(job(config=TrainConfig(lora=lora)))


def test_missing_files_are_refused_by_check(job, tmp_path):
    with pytest.raises(ConfigError, match=r"data must be a JSONL file, got"):
        TrlBackend().check(job(data=tmp_path / "none.jsonl"))
    with pytest.raises(
        ConfigError, match=r"model must be a hub id or a folder with a config.json, got"
    ):
        TrlBackend().check(job(model=str(tmp_path)))
