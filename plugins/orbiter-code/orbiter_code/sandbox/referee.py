"""The referee, seen from outside: give it a plan and the channel of a job, and wait no longer than the deadline."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from orbiter_code.inside.frames import Channel
from orbiter_code.inside.hacks import UNREAD
from orbiter_code.inside.job import MAX_PROGRAM
from orbiter_code.inside.referee import ANSWERED, JUDGE, LOOK
from orbiter_code.sandbox.process import InsideProcess

GRACE_S = 0.15
"""How long after the deadline of the program the referee may still speak, in seconds."""

LOOK_S = 0.1
"""Least time that is given to look for signs of a hack, in seconds; where the program left more of its own, that."""


class Referee:
    """Runs the tests of one task after the other in a process of its own.

    Args:
        options: The arguments of :class:`orbiter_code.inside.options.Options`.
        interpreter: Path of the Python to start.
    """

    def __init__(self, options: Mapping[str, Any], *, interpreter: str) -> None:
        self._options, self._interpreter = dict(options), interpreter
        self._process: InsideProcess | None = None

    def judge(self, plan: Mapping[str, Any], job: socket.socket) -> dict[str, Any]:
        """Return ``outcome``, ``reason``, ``test``, ``message``, and ``flags`` where the program passes.

        Args:
            plan: ``program`` and ``timeout_s``, the fields of the suite, and the ``order`` of its tests.
            job: Channel of a job that is ready.

        Raises:
            SandboxError: The referee cannot be started.
        """
        text = json.dumps(plan).encode()
        if len(text) > MAX_PROGRAM:
            return _result("invalid", "task: its tests are too long")
        control = self._control()
        deadline = time.monotonic() + plan["timeout_s"] + GRACE_S
        answered = False
        try:
            socket.send_fds(control.sock, [JUDGE], [job.fileno()])
            control.send(text, deadline=deadline)
            while (message := control.receive(deadline=deadline)) == ANSWERED:
                answered = True
            verdict: dict[str, Any] = json.loads(message)
            if verdict["outcome"] == "pass":
                verdict["flags"] = self._flags(control, deadline)
            return verdict
        except OSError:  # it was too slow, or is gone; a new one is started for the next plan
            self.close(kill=True)
        if answered:
            return _result("fail", "tests do not end on the program's results")
        return _result("invalid", "task: its tests do not end")

    def flags(self, plan: Mapping[str, Any], *, deadline: float) -> list[str]:
        """Return the signs that a script is made for its tests.

        Args:
            plan: As for :meth:`judge`.
            deadline: When the time of the script is over, on the monotonic clock.

        Raises:
            SandboxError: The referee cannot be started.
        """
        control = self._control()
        deadline = max(deadline, time.monotonic() + LOOK_S)
        try:
            control.sock.settimeout(LOOK_S)
            control.sock.sendall(LOOK)
            control.send(json.dumps(plan).encode(), deadline=deadline)
        except OSError:
            self.close(kill=True)
            return [UNREAD]
        return self._flags(control, deadline)

    def _flags(self, control: Channel, deadline: float) -> list[str]:
        """Return what the referee finds by then; a program that takes longer, or the referee with it, was not inspected."""
        try:
            deadline = max(deadline, time.monotonic() + LOOK_S)
            found: list[str] = json.loads(control.receive(deadline=deadline))
            return found
        except OSError:
            self.close(kill=True)
            return [UNREAD]

    def _control(self) -> Channel:
        if self._process is None or not self._process.alive:
            self._process = InsideProcess("referee", self._options, interpreter=self._interpreter)
        return Channel(self._process.sock)

    def close(self, *, kill: bool = False) -> None:
        """End the process; with ``kill`` at once."""
        if self._process is not None:
            if kill and self._process.alive:
                self._process.kill()
            self._process.close()
            self._process = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None}


def _result(outcome: str, reason: str) -> dict[str, Any]:
    return {"outcome": outcome, "reason": reason, "test": None, "message": ""}
