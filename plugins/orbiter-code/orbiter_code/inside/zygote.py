"""A fork server: an interpreter started fresh, confined before it knows anything, that forks one job per program.

The next job is forked while the last one runs, so that it lies ready. A fork takes a tenth of the time of a start, and inherits
the memory of the zygote: that is why no task, no test and no secret ever comes here. What arrives is one letter: ``j`` (a
job, please; the answer is its channel), ``e`` (end it; the answer is how it ended) or ``k`` (kill it; there is no answer).
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import struct
from collections.abc import Callable

from . import job, namespaces
from .confine import job_filter, limit, limit_job, shut_in
from .frames import frame
from .options import MAX_FILES, Options, warm_up
from .system import (
    FileRights,
    become,
    die_with_parent,
    drop_capabilities,
    gain_no_capabilities,
)

JOB, END, KILL = b"j", b"e", b"k"
ENDING = struct.Struct(">iQd")
"""Wait status, most resident memory in bytes, processor time in seconds."""

_CHANNEL = 3


class Zygote:
    """Forks jobs, one at a time, for whoever holds the other end of ``control``.

    Args:
        control: Where orders come from; when it closes, everything here ends.
        become_job: Confines a process that was just forked.
    """

    def __init__(self, control: socket.socket, become_job: Callable[[], None]) -> None:
        self.control, self._confine = control, become_job

    def serve(self) -> None:
        """Serve until the other end closes."""
        spare, running, killed = self._fork(), 0, 0
        while True:
            order = self.control.recv(1)
            if order == JOB and not running:
                running, channel = spare
                socket.send_fds(self.control, [JOB], [channel.fileno()])
                channel.close()
                if killed:  # now that nobody waits
                    os.waitpid(killed, 0)
                    killed = 0
                spare = self._fork()
            elif order == END and running:
                os.kill(running, signal.SIGKILL)  # not reaped yet, so the number is its own
                self.control.sendall(_ending(running))
                running = 0
            elif order == KILL and running:
                os.kill(running, signal.SIGKILL)
                running, killed = 0, running
            else:
                for process in filter(None, (running, spare[0])):
                    os.kill(process, signal.SIGKILL)
                return

    def _fork(self) -> tuple[int, socket.socket]:
        """Return a new job, confined and waiting for its program, and the far end of its channel."""
        ours, theirs = socket.socketpair()
        process = os.fork()
        if process == 0:
            try:
                self._become_job(theirs)
            finally:
                os._exit(120)
        theirs.close()
        return process, ours

    def _become_job(self, sock: socket.socket) -> None:
        self._confine()
        os.dup2(sock.fileno(), _CHANNEL)
        sock.detach()
        # Files shared with the zygote have flags that one job could set and the next one read.
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.closerange(_CHANNEL + 1, MAX_FILES)  # the orders, and the channels of other jobs
        job.serve(socket.socket(fileno=_CHANNEL))


def _ending(process: int) -> bytes:
    _, status, usage = os.wait4(process, 0)
    return ENDING.pack(status, usage.ru_maxrss << 10, usage.ru_utime + usage.ru_stime)


def main(control_fd: int, options: str) -> None:
    """Confine this process as the options say and serve; the first message is how that went."""
    control = socket.socket(fileno=control_fd)
    try:
        become_job = _prepare(Options(**json.loads(options)))
    except Exception as error:
        # An error of ours names the call.
        ours = isinstance(error, OSError) and error.filename is None and error.strerror
        _report(control, {"error": ours or f"{type(error).__name__}: {error}"})
        return
    gc.collect()
    gc.freeze()  # what is frozen is left alone by a collection in a job, so that its pages stay shared
    _report(control, {"uid": os.geteuid()})
    Zygote(control, become_job).serve()


def _report(control: socket.socket, report: dict[str, object]) -> None:
    control.sendall(frame(json.dumps(report).encode()))


def _prepare(options: Options) -> Callable[[], None]:
    """Confine the zygote, and return what confines a job."""
    rooted = os.geteuid() == 0
    # A user that a job becomes, or that is in a namespace of its own, has no other threads.
    alone = rooted or options.alone
    tasks = -1 if alone else os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)

    def limit_it() -> None:
        limit_job(cpu_s=options.cpu_s, others=0 if alone else _count(tasks))

    if options.namespaces:
        namespaces.enter(options.read, user=options.user)
    # Not before: what the process that forks shared with its parent, each fork would copy once more.
    warm_up(options)
    limit(memory=options.memory)
    if not options.confined:
        return limit_it
    syscalls = job_filter(writes=options.namespaces)

    def give_up_the_rest() -> None:
        die_with_parent()  # a change of user takes this back, so it comes after
        limit_it()
        syscalls.attach()

    if not options.namespaces:
        shut_in(options.read, user=options.user)
        return give_up_the_rest

    gain_no_capabilities()
    files = FileRights(namespaces.RIGHTS)

    def become_job() -> None:
        namespaces.own_file_system()  # which takes capabilities, so they go after
        if rooted:
            become(options.user, reads_as_root=False)
        drop_capabilities()
        files.attach()
        give_up_the_rest()

    return become_job


def _count(tasks: int) -> int:
    """Return how many threads the machine has, as /proc/loadavg says: ``0.52 0.58 0.59 2/613 8421``."""
    return int(os.pread(tasks, 100, 0).split()[3].split(b"/")[1])
