"""Options of every built-in verifier, as a recipe or a command line gives them."""

import inspect

import pytest

from orbiter.builtins import NAMES
from orbiter.errors import ConfigError
from orbiter.plugin import registry
from orbiter.verify.judges import JudgeModel, Reply

REQUIRED = {"pattern": ".*", "verifier": "exact", "max_length": 9, "rubric": "r", "principles": ["p"], "verifiers": ["exact"]}  # fmt: skip


class Silent(JudgeModel):
    model = "silent"

    def ask(self, questions):
        return [Reply(error="silent") for _ in questions]


def switches():
    for name in NAMES["verifier"]:
        for option, parameter in inspect.signature(
            registry().get("verifier", name)
        ).parameters.items():
            if parameter.annotation in (bool, "bool"):
                yield pytest.param(name, option, id=f"{name}-{option}")


@pytest.mark.parametrize(("name", "option"), list(switches()))
@pytest.mark.parametrize("value", ["maybe", "false", 1, None], ids=repr)
def test_a_switch_is_true_or_false(name, option, value):
    cls = registry().get("verifier", name)
    taken = inspect.signature(cls).parameters
    needed = {key: value for key, value in REQUIRED.items() if key in taken}
    if "model" in taken:
        needed["model"] = Silent()
    with pytest.raises(ConfigError, match=rf"\b{option} must be true or false, got "):
        registry().create("verifier", name, {**needed, option: value})


def test_there_are_switches():
    assert len(list(switches())) > 10
