"""Sandboxes made of a fork server: on its own (T1), in namespaces (T2), or with nothing that holds it (T0)."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orbiter.errors import ConfigError, SandboxError
from orbiter.verify.sandbox import Ending, Limits, Probe, Sandbox
from orbiter_code.inside.zygote import END, ENDING, JOB
from orbiter_code.sandbox.probes import run_probes
from orbiter_code.sandbox.process import InsideProcess

ANSWER_S = 10.0
"""Longest time that the zygote may take to hand out a job or to end one, in seconds."""

WARM = (
    "array bisect cmath collections copy dataclasses datetime decimal enum fractions functools heapq itertools json math "
    "numbers operator queue random re statistics string textwrap time typing"
).split()
"""Modules that lie imported in every job; any other of the standard library is imported when a program asks for it."""

_FIRST_USER = 0x6F720000
"""Where root starts it, jobs run as a user of their own from here on: nobody else's."""


class ZygoteSandbox(Sandbox):
    """T1: no_new_privs, Landlock, a list of allowed system calls, limits, no capabilities. Linux 5.13 or later, no root needed.

    Args:
        limits: Of each job.
        packages: Installed packages that programs may import beside the standard library.
        interpreter: Path of the Python that runs the jobs; default: this one.
    """

    name, tier = "zygote", "T1"
    confined, namespaces = True, False

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        packages: Sequence[str] = (),
        interpreter: str | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.packages = tuple(packages)
        self.interpreter = interpreter
        self._folders = [str(_folder_of(package)) for package in self.packages]
        self._process: InsideProcess | None = None

    def options(self) -> dict[str, Any]:
        """Return what the processes inside are told."""
        return {
            "memory": self.limits.memory_mb << 20,
            "cpu_s": self.limits.cpu_s,
            "user": _FIRST_USER + (os.getpid() & 0xFFFF),
            "confined": self.confined,
            "namespaces": self.namespaces,
            "read": self._folders,
            "path": sorted({str(Path(folder).parent) for folder in self._folders}),
            "warm": [*WARM, *self.packages],
        }

    def referee_options(self) -> dict[str, Any]:
        """Return what the referee is told: it is held like a job, and has a job's memory and twice over."""
        return {**self.options(), "namespaces": False, "memory": 4 * self.limits.memory_mb << 20}

    def launcher(self) -> Sequence[str]:
        """Return the command that the zygote is started through."""
        return ()

    def start(self) -> socket.socket:
        """Return the channel of a fresh job."""
        fresh = self._process is None or not self._process.alive
        if fresh:
            self._process = InsideProcess(
                "zygote", self.options(), launcher=self.launcher(), interpreter=self.interpreter
            )
        try:
            return self._ask_for_job()
        except OSError as error:
            self.close()
            if fresh:
                raise SandboxError(f"sandbox {self.name!r} hands out no job: {error}") from None
        return self.start()  # it died since the last job

    def end(self) -> Ending:
        """Kill the job unless it ended by itself, and return how it ended."""
        process = self._process
        if process is None:
            raise SandboxError(f"sandbox {self.name!r} has no job to end")
        try:
            process.sock.settimeout(ANSWER_S)
            process.sock.sendall(END)
            data = b""
            while len(data) < ENDING.size:
                part = process.sock.recv(ENDING.size - len(data))
                if not part:
                    raise ConnectionError("it is gone")
                data += part
        except OSError as error:
            self.close()
            raise SandboxError(f"sandbox {self.name!r} broke: {error}") from None
        status, memory, cpu_s = ENDING.unpack(data)
        return Ending(status=os.waitstatus_to_exitcode(status), memory=memory, cpu_s=cpu_s)

    def probe(self) -> Sequence[Probe]:
        """Try a dozen attacks from inside."""
        return run_probes(self)

    def close(self) -> None:
        """End the zygote and its jobs."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _ask_for_job(self) -> socket.socket:
        assert self._process is not None  # noqa: S101  # the caller saw to it
        control = self._process.sock
        control.settimeout(ANSWER_S)
        control.sendall(JOB)
        letter, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if letter != JOB or len(descriptors) != 1:
            raise ConnectionError("it is gone")
        return socket.socket(fileno=descriptors[0])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None}


class NamespaceSandbox(ZygoteSandbox):
    """T2: T1, and namespaces of process ids, mounts, network, IPC and host name, a root that holds only the library, and a small
    /tmp in memory, new for each job. Needs root or user namespaces.
    """

    name, tier = "namespaces", "T2"
    namespaces = True


class NoSandbox(ZygoteSandbox):
    """T0: a fork with limits and nothing else. Whatever the program does, it does to this machine with your rights."""

    name, tier = "none", "T0"
    confined = False


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"packages must be installed top-level packages, got {package!r}",
            hint=f"pip install {package}",
        )
    origin = Path(spec.origin)
    return origin.parent if spec.submodule_search_locations else origin
