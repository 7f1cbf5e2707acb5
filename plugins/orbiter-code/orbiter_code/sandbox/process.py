"""A process inside: an interpreter that is started fresh, with an empty environment, and serves over one socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from orbiter.errors import SandboxError
from orbiter_code.inside.frames import Channel

START_S = 20.0
"""Longest time that a process inside may take to start, in seconds."""

PACKAGE = Path(__file__).parents[1]
"""Folder of this package; what is inside of a sandbox is imported from here."""

_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from inside.start import start; start(sys.argv[2], int(sys.argv[3]), sys.argv[4])"
)
# Without site, user folders and the current folder. Strings hash alike in every run, so that one program gets one verdict.
_FLAGS = ("-B", "-P", "-s", "-S")
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
# Every symbol is looked up at the start, or else in every fork.
_ENVIRONMENT |= {"LD_BIND_NOW": "1"}
# A zygote must have no threads but its own when it forks.
_ENVIRONMENT |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class InsideProcess:
    """Starts ``inside.<module>`` and waits until it is confined.

    Args:
        module: ``zygote`` or ``referee``.
        options: The arguments of :class:`orbiter_code.inside.options.Options`.
        interpreter: Path of the Python to start.
        launcher: Command that it is started through.

    Raises:
        SandboxError: It does not start or cannot be confined; says why.
    """

    def __init__(
        self,
        module: str,
        options: Mapping[str, Any],
        *,
        interpreter: str,
        launcher: Sequence[str] = (),
    ) -> None:
        self.owner = os.getpid()
        self.sock, theirs = socket.socketpair()
        command = [
            *launcher,
            interpreter,
            *_FLAGS,
            "-c",
            _BOOT,
            str(PACKAGE),
            module,
            str(theirs.fileno()),
            json.dumps(options),
        ]
        try:
            with theirs:
                process = subprocess.Popen(  # noqa: S603  # the command is ours
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=_ENVIRONMENT,
                    cwd="/",
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except OSError as error:
            self.sock.close()
            raise SandboxError(f"sandbox cannot be started: {error}") from None
        self.kill = process.kill
        self.close = weakref.finalize(self, _end, process, self.sock, self.owner)
        assert process.stderr is not None  # noqa: S101  # as asked for
        with process.stderr as stderr:
            try:
                payload = Channel(self.sock).receive(deadline=time.monotonic() + START_S)
            except OSError as error:
                self.close()
                raise SandboxError(
                    f"sandbox process ended before it was ready: {_last_line(stderr) or error}",
                    hint=f"try: {' '.join(command[:2])} --version",
                ) from None
        report = json.loads(payload)
        if "error" in report:
            self.close()
            raise SandboxError(f"sandbox cannot be set up: {report['error']}")
        self.uid: int = report["uid"]

    @property
    def alive(self) -> bool:
        """Whether this is the process that started it, and it was not closed."""
        return self.close.alive and self.owner == os.getpid()


def _last_line(stderr: IO[bytes]) -> str:
    """Return the last that a process said, of what there is of it."""
    os.set_blocking(stderr.fileno(), False)
    lines = (stderr.read() or b"").decode("utf-8", "replace").split("\n")
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")


def _end(process: subprocess.Popen[bytes], sock: socket.socket, owner: int) -> None:
    """Close the socket, on which the process ends by itself; kill it if it does not."""
    sock.close()
    if owner != os.getpid():  # a fork of the owner: the process is not its child
        process.returncode = 0
        return
    try:
        process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
