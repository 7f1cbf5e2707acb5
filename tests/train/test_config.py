import math

import pytest

from orbiter.convert import structure
from orbiter.errors import ConfigError, RecordError
from orbiter.train.config import LoraConfig, TrainConfig, TrainMetrics


def test_a_config_keeps_what_it_is_given():
    config = TrainConfig(
        epochs=10, batch_size=32, learning_rate=1e-4, warmup_steps=100, eval_every=500
    )
    shown = (
        config.epochs,
        config.batch_size,
        config.learning_rate,
        config.warmup_steps,
        config.eval_every,
    )
    assert shown == (10, 32, 1e-4, 100, 500)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be > 0, got 0"),
        ({"epochs": math.nan}, "epochs must be > 0, got nan"),
        ({"epochs": math.inf}, "epochs must be > 0, got inf"),
        ({"epochs": "3"}, "epochs must be > 0, got '3'"),
        ({"epochs": True}, "epochs must be > 0, got True"),
        ({"epochs": None}, "epochs must be > 0, got None"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"batch_size": 1.5}, "batch_size must be an integer >= 1, got 1.5"),
        ({"learning_rate": -1e-5}, "learning_rate must be >= 0, got -1e-05"),
        ({"warmup_steps": -1}, "warmup_steps must be an integer >= 0, got -1"),
        ({"adam_beta2": 1.0}, "adam_beta2 must be in [0, 1), got 1.0"),
        ({"max_steps": 0}, "max_steps must be an integer >= 1 or None, got 0"),
        ({"eval_every": 2.5}, "eval_every must be an integer >= 1 or None, got 2.5"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"precision": "fp8"}, "precision must be one of auto, fp32, bf16, got 'fp8'"),
        ({"precision": ["bf16"]}, "precision must be one of auto, fp32, bf16, got ['bf16']"),
    ],
)
def test_a_bad_value_is_named(options, message):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**options)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank must be an integer >= 1, got 0"),
        ({"alpha": 0}, "alpha must be > 0, got 0"),
        ({"dropout": 1.0}, "dropout must be in [0, 1), got 1.0"),
    ],
)
def test_bad_adapters_are_named(options, message):
    with pytest.raises(ConfigError) as caught:
        LoraConfig(**options)
    assert caught.value.message == message


def test_a_config_comes_from_plain_data():
    row = {"epochs": 0.5, "lora": {"rank": 4, "target_modules": ["q"]}, "report_to": ["wandb"]}
    expected = TrainConfig(
        epochs=0.5, lora=LoraConfig(rank=4, target_modules=("q",)), report_to=("wandb",)
    )
    assert structure(row, TrainConfig) == expected
    with pytest.raises(RecordError, match="'epoch' is unknown; did you mean 'epochs'"):
        structure({"epoch": 1}, TrainConfig)


def test_what_was_not_measured_is_none():
    metrics = TrainMetrics(loss=0.5)
    assert (metrics.accuracy, metrics.reward, metrics.steps, metrics.extra) == (None, None, 0, {})
