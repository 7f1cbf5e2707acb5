"""A small run of two rounds, and what it leaves."""

import shutil
from pathlib import Path

import pytest

from orbiter.flywheel import Flywheel, busy_clock, load_recipe
from orbiter.generate.scripted import ScriptedPolicy

SMALL = """\
name: small
seed: 3
rounds: 2
environment: {name: sorting, length: 5}
policy:
  name: scripted
  accuracy: 0.5
  environment: {name: sorting, length: 5}
generate: {tasks: 30, samples: 4}
curate: {max_per_task: 1, pairs: true}
evaluate: {tasks: 20, audit: 20}
verify: {workers: 0}
"""


FINISHED = """\
name: small
seed: 3
rounds: 2
environment: {name: sorting, length: 5}
policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 5}}
generate: {tasks: 30, samples: 4}
evaluate: {tasks: 20, audit: 40}
verify: {workers: 0}
"""


STAGED = """\
name: graph
seed: 3
model: {id: some-model}
environment: {name: sorting, length: 5}
policy: {name: scripted, accuracy: 0.4, environment: {name: sorting, length: 5}}
teach: {backend: "mine.py:Copying", demonstrations: 6}
generate: {tasks: 10, samples: 4}
train: {backend: "mine.py:Copying"}
evaluate: {tasks: 6, audit: 0}
verify: {workers: 0}
"""


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """Return the folder of a finished run, which must not be changed; its recipe lies two folders above."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "recipe.yaml").write_text(FINISHED)
    recipe = load_recipe(folder / "recipe.yaml")
    return Flywheel(recipe, runs_dir=folder / "runs", base_dir=folder).run().path


@pytest.fixture
def small_recipe():
    """Return the text of the small recipe."""
    return SMALL


@pytest.fixture
def wheel(request, tmp_path):
    """Make a flywheel of the module's RECIPE, or of the small one; ``folder`` keeps several runs of it apart.

    The module's PARTS, if it has some, are ``mine.py`` beside the recipe, and ``stage_parts.py`` stands there under its own name.
    """
    file = tmp_path / "recipe.yaml"
    shutil.copy(Path(__file__).with_name("stage_parts.py"), tmp_path)
    if parts := getattr(request.module, "PARTS", None):
        (tmp_path / "mine.py").write_text(parts)

    recipe = getattr(request.module, "RECIPE", SMALL)

    def make(*overrides, text=recipe, folder="runs"):
        file.write_text(text)
        return Flywheel(load_recipe(file, overrides), runs_dir=tmp_path / folder, base_dir=tmp_path)

    return make


@pytest.fixture
def staged(tmp_path):
    """Make a flywheel of a recipe with stages; ``stage_parts.py`` is ``mine.py`` beside it."""
    parts = Path(__file__).with_name("stage_parts.py").read_text()
    (tmp_path / "mine.py").write_text(parts)
    file = tmp_path / "recipe.yaml"

    def make(stages, *overrides, folder="runs"):
        file.write_text(STAGED + "stages:\n" + stages)
        return Flywheel(load_recipe(file, overrides), runs_dir=tmp_path / folder, base_dir=tmp_path)

    return make


@pytest.fixture
def asked(monkeypatch):
    """The requests that scripted policies are given, as they come."""
    requests, complete = [], ScriptedPolicy.complete

    async def noted(self, given, sampling):
        requests.extend(given)
        return await complete(self, given, sampling)

    monkeypatch.setattr(ScriptedPolicy, "complete", noted)
    return requests


@pytest.fixture
def data_of():
    """Return a function that gives the bytes of the files of data in a run's folder."""
    return lambda run: {p.name: p.read_bytes() for p in sorted((run / "data").iterdir())}


@pytest.fixture
def clock(monkeypatch):
    """Wall time that the test sets."""
    now = [100.0]
    monkeypatch.setattr(busy_clock, "perf_counter", lambda: now[0])
    return now
