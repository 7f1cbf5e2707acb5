"""What Ray starts in the place of a worker: a script that asks the nursery for one, and imports next to nothing.

Without a nursery it becomes a worker the way of Ray.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

ADDRESS = "ORBITER_VERL_NURSERY"
"""Environment variable with the nursery's socket."""

LENGTH = struct.Struct("!Q")

DONE = b"."
"""What the nursery says when there is a worker."""


def ask(address: str, arguments: Sequence[str]) -> None:
    """Ask the nursery for a worker with this process's environment, folder and streams, and wait until there is one.

    Raises:
        OSError: There is no nursery, or it ended without one. Ray itself would wait for minutes.
    """
    wanted = {"arguments": list(arguments), "environ": dict(os.environ), "folder": os.getcwd()}
    body = json.dumps(wanted).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address)
        socket.send_fds(connection, [LENGTH.pack(len(body))], [0, 1, 2])
        connection.sendall(body)
        if connection.recv(1) != DONE:
            raise ConnectionAbortedError("the nursery ended")


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return what was asked for, and the three streams."""
    head, streams, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
    with connection.makefile("rb") as file:
        return json.loads(file.read(LENGTH.unpack(head)[0])), streams


def worker_file(arguments: Sequence[str]) -> str:
    """Return Ray's own ``default_worker.py`` among a worker's arguments; flags of the interpreter may stand before it."""
    return next(argument for argument in arguments if not argument.startswith("-"))


def begin_rays_way(arguments: Sequence[str]) -> NoReturn:
    """Become what Ray would have started."""
    script = os.path.join(os.path.dirname(worker_file(arguments)), "setup_worker.py")
    os.execv(sys.executable, [sys.executable, script, *arguments])  # noqa: S606  # no shell


if __name__ == "__main__":
    try:
        ask(os.environ[ADDRESS], sys.argv[1:])
    except OSError:
        begin_rays_way(sys.argv[1:])
