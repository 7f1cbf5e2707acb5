"""A run does not look for garbage among the objects of the loaded libraries, and leaves them as it found them."""

import gc
import weakref

import pytest

from orbiter import hookimpl
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.plugin import plugin_manager

RECIPE = """\
name: small
rounds: 1
environment: {name: sorting, length: 3}
policy: {name: scripted, environment: {name: sorting, length: 3}}
generate: {tasks: 2, samples: 1}
evaluate: {tasks: 2, audit: 0}
verify: {workers: 0}
"""
MANY = 10_000


class Observer:
    """What a function told at the end of each round."""

    def __init__(self, look):
        self.look, self.told = look, []

    @hookimpl
    def orbiter_on_round(self, event):
        self.told.append(self.look())


@pytest.fixture
def each_round(tmp_path):
    """Turn a small run, and return what a function tells at the end of each of its rounds."""
    (tmp_path / "small.yaml").write_text(RECIPE)

    def run(look):
        observer = Observer(look)
        plugin_manager().register(observer)
        try:
            Flywheel(load_recipe(tmp_path / "small.yaml", ()), runs_dir=tmp_path / "runs").run()
        finally:
            plugin_manager().unregister(observer)
        return observer.told

    yield run
    gc.freeze()  # as all tests find it


def test_what_is_loaded_is_frozen_while_it_runs_and_thawed_after_it(each_round):
    gc.unfreeze()
    assert gc.get_freeze_count() < MANY
    assert (
        each_round(gc.get_freeze_count)[-1] > MANY
    )  # before the first round, libraries may still be loaded
    assert gc.get_freeze_count() < MANY


def test_what_the_application_froze_stays_frozen_and_nothing_is_added(each_round):
    gc.freeze()
    frozen = gc.get_freeze_count()
    assert frozen > MANY
    assert set(each_round(gc.get_freeze_count)) <= set(range(frozen - 1000, frozen + 1))
    assert gc.get_freeze_count() > frozen - 1000


class Trainer:
    """Refers to itself, and so stays until the collector finds it."""

    def __init__(self):
        self.me = self


def test_what_was_dropped_before_the_run_is_not_held_while_it_runs(each_round):
    gc.unfreeze()
    gc.collect()
    gc.disable()  # the collector does not come by itself
    try:
        dropped = weakref.ref(Trainer())
        assert each_round(lambda: dropped() is None)[-1]
    finally:
        gc.enable()
