import math

import pytest

from orbiter.errors import ConfigError, MissingPluginError
from orbiter.plugin import plugin_manager
from orbiter.train.config import TrainConfig
from orbiter.train.lifecycle import TrainerState
from orbiter.train.rewards import RewardSpec
from orbiter.train.verl import DEFAULT_MODEL, VeRLAlgorithm, VeRLConfig, VeRLTrainer

REWARD = RewardSpec(name="r", fn=len)


def test_algorithms_are_their_values():
    assert [a.value for a in VeRLAlgorithm] == ["ppo", "grpo"]
    assert VeRLConfig(algorithm="ppo") == VeRLConfig(algorithm=VeRLAlgorithm.PPO)
    assert VeRLConfig(algorithm="ppo").algorithm is VeRLAlgorithm.PPO


def test_the_settings_of_verl_are_options():
    config = VeRLConfig(algorithm="ppo", kl_coef=0.1, clip_range=0.3, group_size=1, epochs=3)
    assert config.options() == {"kl_coef": 0.1, "clip_range": 0.3, "group_size": 1}
    assert config.epochs == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"algorithm": "gppo"},
            "algorithm must be one of ppo, grpo, got 'gppo'; did you mean 'ppo'?",
        ),
        ({"algorithm": 3}, "algorithm must be one of ppo, grpo, got 3"),
        ({"kl_coef": -0.1}, "kl_coef must be >= 0, got -0.1"),
        ({"kl_coef": math.nan}, "kl_coef must be >= 0, got nan"),
        ({"kl_coef": math.inf}, "kl_coef must be >= 0, got inf"),
        ({"kl_coef": "0.1"}, "kl_coef must be >= 0, got '0.1'"),
        ({"clip_range": 0}, "clip_range must be in (0, 1), got 0"),
        ({"clip_range": 1.0}, "clip_range must be in (0, 1), got 1.0"),
        ({"group_size": 1}, "group_size must be an integer >= 2 with grpo, got 1"),
        (
            {"algorithm": "ppo", "group_size": 0},
            "group_size must be an integer >= 1 with ppo, got 0",
        ),
        ({"epochs": 0}, "epochs must be > 0, got 0"),
    ],
)
def test_the_config_is_checked(options, message):
    with pytest.raises(ConfigError) as caught:
        VeRLConfig(**options)
    assert caught.value.message == message


def test_the_trainer_keeps_what_it_is_given(tmp_path):
    trainer = VeRLTrainer(
        rewards=[REWARD], dataset=["d"], options={"kl_coef": 0.5, "y": 1}, output_dir=tmp_path
    )
    assert (trainer.agent, trainer.dataset, trainer.rewards) == (DEFAULT_MODEL, ["d"], (REWARD,))
    assert (trainer.backend, trainer.algorithm, trainer.config) == ("verl", "grpo", VeRLConfig())
    assert trainer.options == {"kl_coef": 0.5, "clip_range": 0.2, "group_size": 8, "y": 1}
    assert trainer.state is TrainerState.CREATED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rewards": []}, "rewards must be at least one RewardSpec, got none"),
        ({"rewards": [len]}, "a reward must be a RewardSpec, got <built-in function len>"),
        ({"config": TrainConfig()}, "config must be a VeRLConfig, got TrainConfig(epochs=1"),
    ],
)
def test_the_trainer_is_checked(options, message):
    with pytest.raises(ConfigError) as caught:
        VeRLTrainer(**{"rewards": [REWARD], **options})
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("start", ["train", "run", "validate"])
async def test_a_missing_plugin_is_reported_while_validating(monkeypatch, start):
    monkeypatch.setenv("ORBITER_PLUGINS", "")
    plugin_manager.cache_clear()
    trainer = VeRLTrainer(rewards=[REWARD])
    try:
        with pytest.raises(MissingPluginError, match="needs the plugin orbiter-verl") as caught:
            await getattr(trainer, start)()
    finally:
        plugin_manager.cache_clear()
    assert caught.value.hint == "pip install orbiter-verl"
    assert (trainer.state, trainer.error) == (TrainerState.ERROR, caught.value)
