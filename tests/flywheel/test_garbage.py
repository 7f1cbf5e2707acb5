"""A run does not look for garbage among the objects of the loaded libraries, and leaves them as it found them."""

import gc

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


class Frozen:
    """How many objects were frozen at the end of each round."""

    def __init__(self):
        self.counts = []

    @hookimpl
    def orbiter_on_round(self, event):
        self.counts.append(gc.get_freeze_count())


@pytest.fixture
def counts(tmp_path):
    """Turn a small run, and return how many objects were frozen at the end of each of its rounds."""
    (tmp_path / "small.yaml").write_text(RECIPE)

    def run():
        frozen = Frozen()
        plugin_manager().register(frozen)
        try:
            Flywheel(load_recipe(tmp_path / "small.yaml", ()), runs_dir=tmp_path / "runs").run()
        finally:
            plugin_manager().unregister(frozen)
        return frozen.counts

    yield run
    gc.freeze()  # as all tests find it


def test_what_is_loaded_is_frozen_while_it_runs_and_thawed_after_it(counts):
    gc.unfreeze()
    assert gc.get_freeze_count() < MANY
    assert counts()[-1] > MANY  # before the first round, libraries may still be loaded
    assert gc.get_freeze_count() < MANY


def test_what_the_application_froze_stays_frozen_and_nothing_is_added(counts):
    gc.freeze()
    frozen = gc.get_freeze_count()
    assert frozen > MANY
    assert set(counts()) <= set(range(frozen - 1000, frozen + 1))
    assert gc.get_freeze_count() > frozen - 1000
