import pytest

from orbiter.errors import ConfigError, UnknownNameError
from orbiter.tasks.component import make_component
from orbiter.tasks.environment import Environment
from orbiter.tasks.sorting import Sorting
from orbiter.verify.verifier import Verifier


def test_an_instance_is_returned_as_it_is():
    environment = Sorting()
    assert make_component("environment", environment, Environment) is environment


def test_a_name_is_looked_up():
    assert isinstance(make_component("environment", "sorting", Environment), Sorting)


def test_options_stand_beside_the_name():
    spec = {"name": "sorting", "length": 3}
    assert make_component("environment", spec, Environment).length == 3


@pytest.mark.parametrize("given", [None, 3, {}, {"length": 3}, ["sorting"], {"name": 7}])
def test_anything_else_is_refused(given):
    with pytest.raises(ConfigError, match="environment must be a Environment, a name, or"):
        make_component("environment", given, Environment)


def test_a_component_of_the_wrong_class_is_refused():
    with pytest.raises(ConfigError, match="environment 'sorting' must be a Verifier, got"):
        make_component("environment", "sorting", Verifier)


def test_unknown_name():
    with pytest.raises(
        UnknownNameError, match="unknown environment 'sortin'; did you mean 'sorting'"
    ):
        make_component("environment", "sortin", Environment)
