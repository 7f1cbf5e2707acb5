"""What is said of a model that cannot be trained; the backends' own tests show it of models."""

import pytest

from orbiter.errors import ConfigError, MissingPluginError
from orbiter.train.model_checks import opening


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
