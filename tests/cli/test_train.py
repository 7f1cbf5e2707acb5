"""``orbiter train``: one job, checked once."""

from typing import ClassVar

import pytest

from orbiter import hookimpl
from orbiter.cli import main
from orbiter.errors import ConfigError
from orbiter.plugin import plugin_manager
from orbiter.records import Trajectory
from orbiter.train.backend import Backend, TrainResult
from orbiter.train.config import TrainMetrics


class HandingOn(Backend):
    """Counts the bytes of its data in the check, and hands the count on as its steps."""

    name = "handing"
    algorithms: ClassVar = {"sft": Trajectory}
    calls: ClassVar[list[str]] = []

    def check(self, job):
        self.prepare(job)

    def prepare(self, job):
        self.calls.append("check")
        if job.options:
            raise ConfigError(f"options must be none, got {sorted(job.options)}")
        size = len(job.data.read_bytes())

        def run():
            self.calls.append("run")
            if job.config.learning_rate > 1:
                raise ZeroDivisionError("no such rate")
            job.on_metrics(size, {"loss": 0.5})
            return TrainResult(
                checkpoint=job.output_dir / "checkpoint",
                metrics=TrainMetrics(steps=size),
                alarms=("a short one",),
            )

        return run

    def train(self, job):
        return self.prepare(job)()


@pytest.fixture
def train(monkeypatch, tmp_path):
    class Plugin:
        @hookimpl
        def orbiter_register(self, registry):
            registry.add("backend", "handing", HandingOn)

    monkeypatch.setenv("ORBITER_PLUGINS", "")
    plugin_manager.cache_clear()
    plugin_manager().register(Plugin())
    HandingOn.calls.clear()
    data = tmp_path / "rows.jsonl"
    data.write_bytes(b"12345")

    def run(*more):
        options = ("--backend", "handing", "--model", "m", "--output", str(tmp_path / "out"))
        return main(["train", *options, *more, "--data", str(data)])

    yield run
    plugin_manager.cache_clear()


def test_a_job_is_checked_once_and_trained(train, capsys, tmp_path):
    assert train("epochs=2") == 0
    assert HandingOn.calls == ["check", "run"]
    assert capsys.readouterr().out.splitlines() == [
        "step      5  loss 0.5000",
        "alarm: a short one",
        f"5 steps in 0.0 s: {tmp_path / 'out/checkpoint'}",
    ]


def test_a_job_that_cannot_work_is_not_trained(train, capsys):
    assert train("options.x=1") == 2
    assert HandingOn.calls == ["check"]
    assert "options must be none, got ['x']" in capsys.readouterr().err


def test_a_backend_that_raises_is_named_in_one_line(train, capsys):
    assert train("learning_rate=2") == 1
    shown = capsys.readouterr().err
    assert "backend 'handing' raised in train: ZeroDivisionError: no such rate" in shown
    assert "Traceback" not in shown
