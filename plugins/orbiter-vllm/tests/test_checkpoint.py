import json
import shutil

import pytest
from orbiter_vllm.checkpoint import check_weights
from transformers import AutoModelForCausalLM

from orbiter.errors import ConfigError


@pytest.fixture
def changed(model, tmp_path):
    """Make a copy of the model with other values in its config.json."""

    def make(**values):
        copy = tmp_path / "changed"
        shutil.copytree(model, copy, dirs_exist_ok=True)
        config = json.loads((model / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(config | values))
        return copy

    return make


def test_weights_of_other_sizes_than_the_config_says_are_refused(model, changed, tmp_path):
    check_weights(str(model))
    copy = changed(intermediate_size=96)
    with pytest.raises(ConfigError, match=r"gives .* \[64, 96\], and the weights have \[64, 128\]"):
        check_weights(str(copy))
    sharded = tmp_path / "sharded"
    AutoModelForCausalLM.from_pretrained(model).save_pretrained(sharded, max_shard_size=20_000)
    assert not (sharded / "model.safetensors").exists()
    check_weights(str(sharded))
    shutil.copy(copy / "config.json", sharded)
    with pytest.raises(ConfigError, match=r"gives .* \[64, 96\], and the weights have \[64, 128\]"):
        check_weights(str(sharded))


def test_weights_that_cannot_be_read_are_refused(changed):
    copy = changed()
    (copy / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ConfigError, match=r"model\.safetensors cannot be read"):
        check_weights(str(copy))


@pytest.mark.parametrize(
    "values",
    [{"model_type": "unheard-of"}, {"quantization_config": {"quant_method": "fp8"}, "hidden_size": 8}],
)  # fmt: skip
def test_what_transformers_cannot_tell_is_left_to_vllm(changed, values):
    check_weights(str(changed(**values)))
    check_weights("some/hub-id")
