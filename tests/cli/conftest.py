import shutil

import pytest

from orbiter.cli import main


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Return a folder of runs with one finished run, ``small``, made by the command line; it must not be changed."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.yaml").write_text(
        "name: small\nseed: 3\nrounds: 2\nenvironment: {name: sorting, length: 4}\n"
        "policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 4}}\n"
        "generate: {tasks: 6, samples: 3}\ncurate: {max_per_task: 1}\n"
        "evaluate: {tasks: 4, audit: 10}\n"
    )
    recipe, runs = str(folder / "small.yaml"), str(folder / "runs")
    assert main(["run", recipe, "--runs", runs, "--plain"]) == 0
    return folder / "runs"


@pytest.fixture
def copy(finished, tmp_path):
    """Return the folder of a copy of the finished run, which may be changed; its folder of runs is ``runs``."""
    return shutil.copytree(finished / "small", tmp_path / "runs" / "small")
