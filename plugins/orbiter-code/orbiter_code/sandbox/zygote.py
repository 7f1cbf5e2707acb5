"""Sandboxes made of a fork server: on its own (T1), in namespaces (T2), or with nothing that holds it (T0)."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from orbiter.errors import SandboxError
from orbiter.verify.sandbox import UNSANDBOXED, Ending, Limits, Probe, Sandbox
from orbiter_code.inside.zygote import END, ENDING, JOB, KILL
from orbiter_code.sandbox.options import folders_of, inside_options
from orbiter_code.sandbox.probes import run_probes
from orbiter_code.sandbox.process import InsideProcess

ANSWER_S = 10.0
"""Longest time that the zygote may take to hand out a job or to end one, in seconds."""


class ZygoteSandbox(Sandbox):
    """T1: no_new_privs, Landlock, a list of allowed system calls, limits, no capabilities. Linux 5.13 or later, no root needed.

    Args:
        limits: Of each job.
        packages: Installed packages that programs may import beside the standard library.
        interpreter: Path of the Python that runs the jobs; default: this one.

    Raises:
        ConfigError: A package is not installed.
    """

    name, tier = "zygote", "T1"
    confined, namespaces, alone = True, False, False

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        packages: Sequence[str] = (),
        interpreter: str | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.packages = tuple(packages)
        for package in self.packages:
            folders_of(package)  # a wrong name is told at once
        self.interpreter = interpreter
        self._process: InsideProcess | None = None

    @property
    def executable(self) -> str:
        """Path of the interpreter that is started."""
        return self.interpreter or sys.executable

    def launcher(self) -> Sequence[str]:
        """Return the command that the zygote is started through."""
        return ()

    def start(self) -> socket.socket:
        """Return the channel of a fresh job."""
        fresh = self._process is None or not self._process.alive
        if fresh:
            options = inside_options(
                self.limits,
                self.packages,
                confined=self.confined,
                namespaces=self.namespaces,
                alone=self.alone,
            )
            self._process = InsideProcess(
                "zygote", options, interpreter=self.executable, launcher=self.launcher()
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
        status, memory, cpu_s = ENDING.unpack(self._order(END, ENDING.size))
        return Ending(status=os.waitstatus_to_exitcode(status), memory=memory, cpu_s=cpu_s)

    def kill(self) -> None:
        """Kill the job."""
        self._order(KILL, 0)

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

    def _order(self, letter: bytes, size: int) -> bytes:
        """Return so many bytes that the zygote answers to an order about its job."""
        if self._process is None:
            raise SandboxError(f"sandbox {self.name!r} has no job to end")
        data = b""
        try:
            self._process.sock.sendall(letter)
            while len(data) < size:
                part = self._process.sock.recv(size - len(data))
                if not part:
                    raise ConnectionError("it is gone")
                data += part
        except OSError as error:
            self.close()
            raise SandboxError(f"sandbox {self.name!r} broke: {error}") from None
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None}


class NamespaceSandbox(ZygoteSandbox):
    """T2: T1, and namespaces of process ids, mounts, network, IPC and host name, a root that holds only the library, and a small
    /tmp in memory, new for each job. Needs root or user namespaces.
    """

    name, tier = "namespaces", "T2"
    namespaces, alone = True, True


class NoSandbox(ZygoteSandbox):
    """T0: a fork with limits and nothing else. Whatever the program does, it does to this machine with your rights."""

    name, tier = "none", UNSANDBOXED
    confined = False
