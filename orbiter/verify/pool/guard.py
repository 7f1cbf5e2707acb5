"""The guard of a worker: a script that starts the judging process and lets nothing of it live longer than it should.

    pool (a thread of it) -> guard -> judging process -> whatever a verifier starts

The guard imports nothing of orbiter and holds no data, so no hostile answer can hang it. It kills the judging process and all
that descends from it when the pool says so (SIGTERM), when the pool is gone (nobody can write to the pipe of requests any
more; or the kernel tells, PR_SET_PDEATHSIG), and when the judging process has ended. It reaps what it kills.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress

GRACE_S = 0.5
"""Seconds that an idle judging process has to leave by itself, and clear up, once there can be no more requests."""

PATIENCE_S = 2.0
"""Seconds that killed processes have to be gone."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def guard(requests: int, results: int, progress: int, parent: int) -> int:
    """Start the judging process and return its exit code, 128 + n for signal n, once nothing of it is left."""
    woken, wake = os.pipe()
    for fd in (woken, wake):
        os.set_blocking(fd, False)
    for fd in (requests, results, progress):
        os.set_inheritable(fd, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    received: set[int] = set()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda got, _: received.add(got))
    _tell_kernel(_PR_SET_CHILD_SUBREAPER, 1)
    _tell_kernel(_PR_SET_PDEATHSIG, signal.SIGTERM)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != parent:  # it was gone before the kernel could be told
        return 0
    judging = os.fork()
    if judging == 0:
        for fd in (woken, wake):
            os.close(fd)
        _judge(requests, results, progress)
    os.close(results)
    code = _wait(judging, requests, woken, received)
    _kill_all(judging)
    return code


def _judge(requests: int, results: int, progress: int) -> None:
    """Become the judging process; never returns."""
    guard_pid = os.getppid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.setpgid(0, 0)
    _tell_kernel(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard_pid:
        os._exit(1)
    import pickle

    with open(requests, "rb", buffering=0, closefd=False) as file:
        size = int.from_bytes(_exactly(file, 8), "big")
        setup = pickle.loads(_exactly(file, size))  # noqa: S301  # from our own parent
    sys.path[:] = setup["sys_path"]
    from orbiter.verify.pool.judging import serve

    serve(requests, results, progress, setup)
    import atexit

    atexit._run_exitfuncs()  # what a verifier wants to clear up; the rest is the system's
    os._exit(0)


def _exactly(file: object, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more: bytes = file.read(size - len(data))  # type: ignore[attr-defined]
        if not more:
            os._exit(0)
        data += more
    return data


def _wait(judging: int, requests: int, woken: int, received: set[int]) -> int:
    """Return the exit code of the judging process when it has ended, or 0 when it is to be killed."""
    poller = select.poll()
    poller.register(woken, select.POLLIN)
    poller.register(requests, 0)  # the judging process reads it; here only its end is of interest
    deadline: float | None = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        for fd, _ in poller.poll(None if left is None else 1000 * left):
            if fd == woken:
                os.read(woken, 512)
            else:
                poller.unregister(requests)
                deadline = time.monotonic() + GRACE_S
        if (code := _reap(judging)) is not None:
            return code
        if signal.SIGTERM in received or (deadline is not None and time.monotonic() >= deadline):
            return 0


def _reap(judging: int) -> int | None:
    """Take the exit codes of all that has ended, and return that of the judging process if it is among them."""
    found: int | None = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == judging:
            code = os.waitstatus_to_exitcode(status)
            found = code if code >= 0 else 128 - code


def _kill_all(judging: int) -> None:
    """Kill the group of the judging process and every descendant, also one that made a session of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(judging, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        # What loses its parent becomes a child of this process, the subreaper.
        for pid in _children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.001)
        except ChildProcessError:
            return


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # not Linux: the group has to do
        return []


def _tell_kernel(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    os._exit(guard(*map(int, sys.argv[1:5])))
