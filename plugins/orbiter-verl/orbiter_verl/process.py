"""The driver's process, seen from the one that starts it: begun, watched, and ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import psutil

from orbiter.convert import unstructure
from orbiter.errors import (
    BackendError,
    ConfigError,
    MissingPluginError,
    OrbiterError,
    RecordError,
)
from orbiter_verl.driver import FOLDER, Order

MARK = "ORBITER_VERL_JOB"
"""Environment variable by which the processes of one job know each other."""

GRACE_S = 20.0
"""How long a driver that is told to stop has before it is killed."""

ERRORS: Mapping[str, type[OrbiterError]] = {
    cls.__name__: cls for cls in (BackendError, ConfigError, MissingPluginError, RecordError)
}


class WorkerTraceback(Exception):  # stands for an error of another process
    """What another process said when it failed; the cause of the error that is raised here."""

    def __str__(self) -> str:
        return "\n" + str(self.args[0])


def compose_elsewhere(order: Order) -> str:
    """Return the configuration that an order's interpreter composes, as YAML.

    Raises:
        ConfigError: It cannot be composed.
        MissingPluginError: The interpreter cannot be run, or lacks verl or this plugin.
    """
    done = _start(order, log=subprocess.DEVNULL, environment=os.environ)
    try:
        done.communicate()
    finally:
        done.kill()
        done.wait()
    _raise_failure(order, done.returncode)
    return (Path(order.folder) / "config.yaml").read_text(encoding="utf-8")


class Training:
    """A driver that trains, and the processes that it starts.

        with Training(order, log=path) as training:
            while training.is_running():
                ...
        training.check()

    However the block is left, nothing that it started is running afterwards.

    Args:
        order: What it is to do.
        log: File that gets all that verl and its workers print.
        metrics: File that verl writes its metrics to.
    """

    def __init__(self, order: Order, *, log: Path, metrics: Path) -> None:
        self._order, self._log, self._metrics = order, log, metrics
        self._mark = secrets.token_hex(8)
        self._temp = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Training:
        environment = {
            **os.environ,
            **(self._own_cluster() if self._order.request.settings.ray_address is None else {}),
            MARK: self._mark,
            "RAY_DEDUP_LOGS": "0",
            "VERL_FILE_LOGGER_PATH": str(self._metrics),
            # Beside the entry point, whose errors verl keeps to itself.
            "VERL_USE_EXTERNAL_MODULES": "orbiter_verl.runtime",
            "TENSORBOARD_DIR": str(Path(self._order.folder) / "tensorboard"),
            "TOKENIZERS_PARALLELISM": "false",
            "HYDRA_FULL_ERROR": "1",
        }
        with self._log.open("ab") as file:
            self._process = _start(self._order, log=file, environment=environment)
        return self

    def _own_cluster(self) -> dict[str, str]:
        """Return the environment of a cluster that is the job's alone: nobody else may give it work."""
        # Ray's sockets lie in the folder, and the path of a socket has 107 bytes at most.
        short = len(tempfile.gettempdir()) < 24
        self._temp = tempfile.mkdtemp(prefix="orbiter-ray-", dir=None if short else "/tmp")  # noqa: S108
        return {
            "RAY_TMPDIR": self._temp,
            FOLDER: self._temp,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            # A machine that is busy starts a worker slowly; Ray would give it a minute.
            "RAY_worker_register_timeout_seconds": "600",
            # Off, it has Ray listen on the loopback address, on Linux as well.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None  # noqa: S101
        try:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_S)
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
            self._sweep()
            if self._temp:
                shutil.rmtree(self._temp, ignore_errors=True)

    def is_running(self) -> bool:
        """Return whether the driver is at work."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Raise what the driver failed with, if it did."""
        assert self._process is not None  # noqa: S101
        _raise_failure(self._order, self._process.returncode, log=self._log)

    def _sweep(self) -> None:
        """Kill what carries this job's mark; the processes of a cluster end by themselves, most of the time."""
        deadline = time.monotonic() + 5
        while found := list(marked(self._mark)):
            if time.monotonic() > deadline - 3:  # two seconds to go by themselves
                for process in found:
                    with contextlib.suppress(psutil.Error):
                        process.kill()
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)


def marked(mark: str) -> Iterator[psutil.Process]:
    """Yield the living processes of a job."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            alive = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
            if alive and process.environ().get(MARK) == mark:
                yield process


def _start(order: Order, *, log: Any, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    python = order.request.settings.python
    Path(order.folder, "error.json").unlink(missing_ok=True)
    try:
        process = subprocess.Popen(  # noqa: S603  # the user's own interpreter
            # -P: what lies in the present folder under the name of a library is not that library.
            [python, "-P", "-m", "orbiter_verl.driver"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(
            f"python must be an interpreter with orbiter-verl, got {python!r}: {(error.strerror or str(error)).lower()}"
        ) from error
    assert process.stdin is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError):  # it could not start; its exit code says so
        process.stdin.write(orjson.dumps(unstructure(order)) + b"\n")
        process.stdin.flush()
    return process


def _raise_failure(order: Order, code: int, *, log: Path | None = None) -> None:
    if code == 0:
        return
    file = Path(order.folder, "error.json")
    if not file.exists():
        python = order.request.settings.python
        if log is None:
            raise MissingPluginError(
                f"interpreter {python!r} cannot run orbiter_verl: it ended with exit code {code}",
                hint=f"{python} -m pip install orbiter-verl",
            )
        raise BackendError(
            f"training with verl ended with exit code {code} and said no more",
            hint=f"its log is {log}",
        )
    failure = orjson.loads(file.read_bytes())
    where = None if log is None else f"the workers' tracebacks are in {file}, the log is {log}"
    kind = ERRORS.get(failure["kind"])
    if kind is RecordError:
        raise RecordError(failure["message"])
    message = failure["message"] if kind else f"training with verl failed: {failure['message']}"
    raise (kind or BackendError)(message, hint=failure["hint"] or where) from WorkerTraceback(
        failure["traceback"]
    )
