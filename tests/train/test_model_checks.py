"""What is said of a model that cannot be trained; the backends' own tests show it of models."""

import pytest

from orbiter.errors import ConfigError, MissingPluginError
from orbiter.train.model_checks import check_model_weights, opening


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("is no\n  JSON"), "model 'm' cannot be loaded: is no JSON"),
        (ValueError("no such type"), "model 'm' cannot be loaded: no such type"),
        (KeyError("added_tokens"), "model 'm' cannot be loaded: KeyError: 'added_tokens'"),
    ],
)
def test_whatever_a_library_raises_is_one_line(error, said):
    with pytest.raises(ConfigError) as caught, opening("m"):
        raise error
    assert caught.value.message == said
    assert caught.value.__cause__ is error


def test_an_error_of_our_own_stays_what_it_is():
    with pytest.raises(MissingPluginError), opening("m"):
        raise MissingPluginError("needs more")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "there is no model.safetensors"),
        ({"model.safetensors": b"torn"}, "model.safetensors cannot be read"),
        ({"model.safetensors.index.json": b'{"weight_map": {"a": "one.safetensors"}}'}, "one.safetensors cannot be read"),
        ({"model.safetensors.index.json": b"[]"}, "model.safetensors.index.json cannot be read"),
    ],
    ids=["none", "torn", "a shard is missing", "no index"],
)  # fmt: skip
def test_weights_that_are_not_there_are_named(tmp_path, files, problem):
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=f"must hold its weights, and {problem}"):
        check_model_weights(str(tmp_path))


def test_weights_of_a_hub_id_are_not_looked_at():
    check_model_weights("someone/a-model")
