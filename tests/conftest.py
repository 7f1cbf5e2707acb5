"""The real command line, in this process."""

import pytest
from attrs import frozen

from orbiter.cli import main

RECIPE = """\
name: small
seed: 3
rounds: 1
environment: {name: sorting, length: 4}
policy:
  name: scripted
  accuracy: 0.5
  environment: {name: sorting, length: 4}
generate: {tasks: 4, samples: 2}
evaluate: {tasks: 2, audit: 0}
verify: {workers: 0}
"""

LEARNING = """
import json
from orbiter.records import Trajectory
from orbiter.train.backend import Backend, TrainResult
from orbiter.train.config import TrainMetrics

class Learning(Backend):
    '''Writes the accuracy that the scripted policy answers with from then on.'''
    name = "learning"
    algorithms = {"sft": Trajectory}
    def check(self, job):
        pass
    def train(self, job):
        checkpoint = job.output_dir / "checkpoint"
        checkpoint.mkdir(parents=True)
        (checkpoint / "scripted.json").write_text(json.dumps({"accuracy": 1.0}))
        return TrainResult(checkpoint=checkpoint, metrics=TrainMetrics(loss=0.5, steps=1))
"""


@frozen
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def finished_small(tmp_path_factory):
    """Return the folder of a finished run of ``small.yaml``; it must not be changed."""
    folder = tmp_path_factory.mktemp("finished-small")
    (folder / "small.yaml").write_text(RECIPE)
    arguments = ("run", folder / "small.yaml", "--no-report", "--runs", folder / "runs")
    assert main([str(a) for a in arguments]) == 0
    return folder / "runs" / "small"


@pytest.fixture
def orbiter(capsys, tmp_path, monkeypatch):
    """Return a function that runs one command in an empty folder that holds a good recipe, ``small.yaml``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(RECIPE)

    def run(*arguments):
        capsys.readouterr()
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def learning():
    """Return the source of a file with a backend ``Learning``, with which a scripted policy learns to be right."""
    return LEARNING
