import math

import attrs
import pytest
from orbiter_verl.backend import VerlBackend
from orbiter_verl.settings import Settings, check_config, read_settings

from orbiter.errors import ConfigError
from orbiter.train.config import LoraConfig, TrainConfig
from orbiter.train.verl import VeRLConfig

REFUSED = [
    ("ppo", {"kl_coeff": 1}, "unknown option 'kl_coeff'; did you mean 'kl_coef'?"),
    ("ppo", {"kl_coef": -1}, "kl_coef must be a number >= 0, got -1"),
    ("ppo", {"kl_coef": math.nan}, "kl_coef must be a number >= 0, got nan"),
    ("ppo", {"clip_range": 1}, "clip_range must be a number in (0, 1), got 1"),
    ("ppo", {"group_size": 0}, "group_size must be an integer >= 1, got 0"),
    ("grpo", {"group_size": 1}, "group_size must be an integer >= 2 with grpo, got 1"),
    ("ppo", {"kl_target": 0}, "kl_target must be a number > 0, got 0"),
    ("ppo", {"kl_target": 0.1, "kl_coef": 0}, "kl_coef must be > 0 for kl_target to steer it, got 0"),
    ("grpo", {"kl_target": 0.1}, "option 'kl_target' must be left out with grpo, which has no critic"),
    ("grpo", {"gae_lambda": 1.0}, "option 'gae_lambda' must be left out with grpo"),
    ("grpo", {"critic_learning_rate": 1.0}, "option 'critic_learning_rate' must be left out with grpo"),
    ("ppo", {"gae_lambda": 1.1}, "gae_lambda must be a number in [0, 1], got 1.1"),
    ("ppo", {"discount": 0}, "discount must be a number in (0, 1], got 0"),
    ("ppo", {"value_clip": 0}, "value_clip must be a number > 0, got 0"),
    ("ppo", {"temperature": 0}, "temperature must be a number > 0, got 0"),
    ("ppo", {"top_p": 0}, "top_p must be a number in (0, 1], got 0"),
    ("ppo", {"max_prompt_length": 1.5}, "max_prompt_length must be an integer >= 1, got 1.5"),
    ("ppo", {"max_response_length": True}, "max_response_length must be an integer >= 1, got True"),
    ("ppo", {"device": "gpu"}, "device must be one of auto, cpu, cuda, got 'gpu'"),
    ("ppo", {"rollout": "vlm"}, "rollout must be one of auto, transformers, vllm, sglang, got 'vlm'; did you mean 'vllm'?"),
    ("ppo", {"strategy": "megatro"}, "strategy must be one of fsdp2, fsdp, megatron, got 'megatro'; did you mean 'megatron'?"),
    ("ppo", {"device": "cpu", "rollout": "vllm"}, "rollout must be transformers on a CPU, got 'vllm'"),
    ("ppo", {"device": "cpu", "strategy": "megatron"}, "strategy must be fsdp2 on a CPU, got 'megatron'"),
    ("ppo", {"rollout": "transformers", "tensor_parallel": 2, "devices": 2}, "tensor_parallel must be 1 with the rollout transformers, got 2"),
    ("ppo", {"device": "cuda", "tensor_parallel": 3, "devices": 4}, "tensor_parallel must divide devices * nodes = 4, got 3"),
    ("ppo", {"device": "cuda", "nodes": 2}, "ray_address must be given with nodes=2, got None"),
    ("ppo", {"python": ""}, "python must be a text, got ''"),
    ("ppo", {"trust_remote_code": 1}, "trust_remote_code must be true or false, got 1"),
    ("ppo", {"overrides": "a=1"}, "overrides must be a list of texts like 'key=value', got 'a=1'"),
    ("ppo", {"overrides": [1]}, "overrides must be a list of texts like 'key=value', got [1]"),
    ("ppo", {"overrides": 1}, "overrides must be a list of texts like 'key=value', got 1"),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "options", "message"), REFUSED)
def test_options_that_cannot_work_are_refused(algorithm, options, message):
    with pytest.raises(ConfigError) as caught:
        read_settings(algorithm, options)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("algorithm", VerlBackend.algorithms)
def test_the_options_of_a_config_are_settings(algorithm):
    config = VeRLConfig(algorithm=algorithm, kl_coef=0.5, clip_range=0.1, group_size=3)
    settings = read_settings(algorithm, config.options())
    assert (settings.kl_coef, settings.clip_range, settings.group_size) == (0.5, 0.1, 3)


def test_the_defaults_are_those_of_the_config():
    ours = attrs.asdict(Settings())
    assert VeRLConfig().options() == {name: ours[name] for name in VeRLConfig().options()}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TrainConfig(lr_scheduler="linear"), "lr_scheduler must be constant or cosine with the backend 'verl', got 'linear'"),
        (TrainConfig(max_length=8), "max_length must be None with the backend 'verl', got 8"),
        (TrainConfig(lora=LoraConfig(dropout=0.1)), "lora.dropout must be 0 with the backend 'verl', got 0.1"),
        (TrainConfig(lora=LoraConfig(bits=4)), "lora.bits must be None with the backend 'verl', got 4"),
        (TrainConfig(report_to=("tensorbord",)), "report_to must be among tensorboard, wandb, mlflow, swanlab, trackio, got 'tensorbord'; did you mean"),
    ],
)  # fmt: skip
def test_hyperparameters_that_verl_lacks_are_refused(config, message):
    with pytest.raises(ConfigError) as caught:
        check_config(config, Settings())
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("schedule", [None, "constant", "cosine"])
def test_schedules_that_verl_has(schedule):
    check_config(TrainConfig(lr_scheduler=schedule, report_to=("tensorboard",)), Settings())


@pytest.mark.parametrize("config", [{"precision": "fp32"}, {"lora": LoraConfig()}])
def test_hyperparameters_that_megatron_lacks(config):
    with pytest.raises(ConfigError, match=f"{next(iter(config))} must be .* with megatron"):
        check_config(TrainConfig(**config), Settings(device="cuda", strategy="megatron"))
