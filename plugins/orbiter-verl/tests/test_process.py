"""The driver's process: how it ends, and what it says."""

import os
import sys
import time

import pytest
from orbiter_verl.driver import FOLDER, Order, _remove_the_clusters_folder, describe
from orbiter_verl.keys import Request
from orbiter_verl.process import Training, compose_elsewhere, marked
from orbiter_verl.settings import read_settings

from orbiter.errors import BackendError, ConfigError
from orbiter.train.config import TrainConfig


class TestDescribing:
    def test_the_innermost_of_what_ray_wraps(self):
        class Wrapped(Exception):
            def __init__(self, cause):
                super().__init__("ray says")
                self.cause = cause

        said = describe(Wrapped(Wrapped(ValueError("the worker's own\nand more"))))
        assert said == {"kind": "", "message": "ValueError: the worker's own", "hint": None}

    def test_our_own_are_kept(self):
        said = describe(ConfigError("x must be y", hint="do z"))
        assert said == {"kind": "ConfigError", "message": "x must be y", "hint": "do z"}

    def test_an_empty_one(self):
        assert describe(ValueError())["message"] == "ValueError"


STUB = """
import os, sys, time
sys.stdin.readline()
{body}
"""


class TestProcess:
    """The driver's process, with programs in its place that do what a driver may do."""

    def training(self, make_job, tmp_path, body):
        stub = tmp_path / "python"
        (tmp_path / "stub.py").write_text(STUB.format(body=body))
        stub.write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path / 'stub.py'}\n")
        stub.chmod(0o755)
        settings = read_settings("grpo", {"device": "cpu", "python": str(stub)})
        request = Request(algorithm="grpo", model="m", config=TrainConfig(), settings=settings)
        order = Order(request=request, folder=str(tmp_path), train=True)
        return Training(order, log=tmp_path / "log.txt", metrics=tmp_path / "m.jsonl")

    def test_one_that_ends_in_silence(self, make_job, tmp_path):
        with self.training(make_job, tmp_path, "print('said'); sys.exit(7)") as training:
            while training.is_running():
                time.sleep(0.01)
        with pytest.raises(BackendError, match="ended with exit code 7 and said no more"):
            training.check()
        assert "said" in (tmp_path / "log.txt").read_text()

    def test_what_it_started_is_ended_though_it_ignores_being_told(
        self, make_job, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("orbiter_verl.process.GRACE_S", 0.2)
        body = (
            "import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "subprocess.Popen(['sleep', '1000'], start_new_session=True)\nprint('ready', flush=True)\ntime.sleep(1000)"
        )
        with self.training(make_job, tmp_path, body) as training:
            while "ready" not in (tmp_path / "log.txt").read_text():
                time.sleep(0.01)
            mark, folder = training._mark, training._temp
            assert len(list(marked(mark))) == 2
            assert os.path.isdir(folder)
        assert list(marked(mark)) == []
        assert not os.path.exists(folder)

    def test_each_cluster_has_a_token_of_its_own(self, make_job, tmp_path):
        body = "print({k: v for k, v in os.environ.items() if k.startswith('RAY')}, flush=True)"
        for _ in range(2):
            with self.training(make_job, tmp_path, body) as training:
                while training.is_running():
                    time.sleep(0.01)
        first, second = (eval(line) for line in (tmp_path / "log.txt").read_text().splitlines())
        assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
        assert first["RAY_AUTH_MODE"] == "token"
        assert first["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"  # the loopback address alone
        assert len(first["RAY_AUTH_TOKEN"]) == 64

    def test_what_was_said_elsewhere_is_raised_here(self, make_job, tmp_path):
        job = make_job(options={"overrides": ["algorithm.gama=1"]})
        settings = read_settings("grpo", job.options)
        request = Request(algorithm="grpo", model="m", config=TrainConfig(), settings=settings)
        with pytest.raises(ConfigError, match=r"did you mean 'algorithm\.gamma'"):
            compose_elsewhere(Order(request=request, folder=str(tmp_path)))

    def test_nothing_in_the_present_folder_is_taken_for_a_library(self, tmp_path, monkeypatch):
        (tmp_path / "omegaconf.py").write_text("raise ImportError('not the library')")
        monkeypatch.chdir(tmp_path)
        settings = read_settings("grpo", {})
        request = Request(algorithm="grpo", model="m", config=TrainConfig(), settings=settings)
        assert "adv_estimator" in compose_elsewhere(Order(request=request, folder=str(tmp_path)))

    def test_a_folder_of_somebody_elses_cluster_stays(self, tmp_path, monkeypatch):
        theirs, ours = tmp_path / "theirs", tmp_path / "ours"
        for folder in (theirs, ours):
            (folder / "session").mkdir(parents=True)
        monkeypatch.setenv("RAY_TMPDIR", str(theirs))
        monkeypatch.delenv(FOLDER, raising=False)
        _remove_the_clusters_folder()
        monkeypatch.setenv(FOLDER, str(ours))
        _remove_the_clusters_folder()
        assert [theirs.exists(), ours.exists()] == [True, False]
