"""A worker, seen from the thread of the pool that owns it: sends chunks, takes verdicts, and knows when to give it up."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

from orbiter.errors import ConfigError, OrbiterError, RecordError
from orbiter.records import Verdict
from orbiter.verify.pool.judging import FRAME, PROGRESS
from orbiter.verify.pool.transport import MAX_VERDICT_BYTES, read_verdict

GUARD = Path(__file__).with_name("guard.py")
START_S = 120.0
"""Seconds that a worker has to start: it may have to load large libraries on a busy machine."""

STEP_S = 30.0
"""Seconds that a worker has, beside the time of its verdicts, to read a chunk."""

REAP_S = 3.0
"""Seconds that a guard has to clear up before it is told again."""

_NOISE_BYTES = 2_000
_IDLE = PROGRESS.pack(0, 0, -1)
_NONE = range(0)


class WorkerLost(Exception):
    """The worker is gone, or is to be killed.

    Args:
        reason: Why, as it stands in a verdict.
        items: Which pairs of the chunk it was judging.
    """

    def __init__(self, reason: str, items: range = _NONE) -> None:
        super().__init__(reason)
        self.reason, self.items = reason, items


class Worker:
    """One guard and its judging process, started fresh from an executable and not from a fork of this process.

    Args:
        setup: What :func:`orbiter.verify.pool.transport.pack_verifier` gave.
        name: Name of the verifier.
        version: Its version.
        timeout_s: Seconds that one verdict may take.
        env: Environment variables.
    """

    def __init__(
        self, setup: bytes, *, name: str, version: str, timeout_s: float, env: Mapping[str, str]
    ) -> None:
        self.name, self.version, self._timeout_s = name, version, timeout_s
        self._setup: bytes | None = setup
        self._rest, self._noise_tail = b"", b""
        try:
            with ExitStack() as ours, ExitStack() as theirs:
                self._open(env, ours, theirs)
                ours.pop_all()
        except OSError as error:
            raise OrbiterError(
                f"worker of verifier {name!r} cannot be started: {error}",
                hint="fewer workers need fewer files and processes",
            ) from None

    def _open(self, env: Mapping[str, str], ours: ExitStack, theirs: ExitStack) -> None:
        """Start the guard, with files of which some are left to it and some are kept."""
        self._progress = ours.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # it is
        self._progress.write(_IDLE)
        self._progress.flush()
        requests, self._requests = _pipe(theirs, ours)
        self._results, results = _pipe(ours, theirs)
        self._noise, noise = _pipe(ours, theirs)
        os.set_blocking(self._requests, False)
        passed = (requests, results, self._progress.fileno())
        numbers = map(str, (*passed, os.getpid()))
        self._process = subprocess.Popen(  # noqa: S603  # our own script
            [sys.executable, "-P", str(GUARD), *numbers],
            stdin=subprocess.DEVNULL,
            stdout=noise,
            stderr=noise,
            pass_fds=passed,
            env=env,
            start_new_session=True,  # Ctrl-C is for the pool's owner, who decides
        )

    def start(self) -> None:
        """Send the verifier and wait until it is made.

        Raises:
            ConfigError: The verifier cannot be made in a worker.
            OrbiterError: The worker did not start.
        """
        setup, self._setup = self._setup or b"", None
        try:
            line = next(self._lines(len(setup).to_bytes(8, "big") + setup, until=_in(START_S)))
            said = json.loads(line)
        except (WorkerLost, ValueError) as error:
            words = self._noise_tail.decode(errors="replace").strip().splitlines()
            raise OrbiterError(
                f"worker of verifier {self.name!r} did not start: {error}"
                + (f"; it said: {words[-1][:300]}" if words else ""),
                hint="give it more memory (memory_mb), or judge in this process with 0 workers to see more",
            ) from None
        if "error" in said:
            raise ConfigError(
                f"verifier {self.name!r} cannot be made in a worker: {said['error']}",
                hint="it must be importable there as it is here",
            )
        if (said.get("name"), said.get("version")) != (self.name, self.version):
            raise ConfigError(
                f"verifier {self.name!r} must have the same name and version in a worker, "
                f"got {said.get('name')!r} {said.get('version')!r}, here version {self.version!r}",
                hint="its file has changed since it was loaded here: start again",
            )

    def judge(self, chunk: bytes, count: int) -> Iterator[Verdict]:
        """Yield the verdicts on a chunk, a pickled list of ``count`` pairs of task and trajectory, in its order.

        Raises:
            WorkerLost: The worker hangs, or is gone, or does not keep to the protocol; the verdicts so far hold.
        """
        os.pwrite(self._progress.fileno(), _IDLE, 0)
        lines = self._lines(FRAME.pack(len(chunk), count) + chunk, until=self._deadline(count))
        for number in range(count):
            yield self._read(next(lines), number)

    def _read(self, line: bytes, number: int) -> Verdict:
        head, _, row = line.partition(b" ")
        try:
            if head != b"%d" % number:
                raise RecordError(f"got {line[:80]!r}")
            return read_verdict(row, verifier=self.name, version=self.version)
        except RecordError as error:
            # Our own code writes these lines. Whoever wrote this one, no more is believed.
            items = self._at()[0]
            raise WorkerLost(f"crash: the worker sent no verdict: {error}"[:300], items) from None

    def _deadline(self, count: int) -> Callable[[], float]:
        """Return a function that says until when the worker has time, by what it is doing at that moment."""
        sent = monotonic()

        def until() -> float:
            items, since = self._at()
            if not items:
                return sent + STEP_S
            now = monotonic()
            return min((since if since <= now else now) + self._timeout_s, whole)

        # Whatever the worker says of the time, all pairs together get no more than their share.
        whole = sent + STEP_S + count * self._timeout_s
        return until

    def _at(self) -> tuple[range, float]:
        """Return which pairs the worker is judging, and since when."""
        said = os.pread(self._progress.fileno(), PROGRESS.size, 0)
        since, count, first = PROGRESS.unpack(said if len(said) == PROGRESS.size else _IDLE)
        known = 0 <= first < 2**32 and 0 <= count < 2**32
        return (range(int(first), int(first + count)) if known else _NONE), since

    def _lines(self, message: bytes, *, until: Callable[[], float]) -> Iterator[bytes]:
        """Send a message and yield the lines that come back, for ever."""
        left = memoryview(message)
        poller = select.poll()
        for fd in (self._results, self._noise):
            poller.register(fd, select.POLLIN)
        poller.register(self._requests, select.POLLOUT)
        while True:
            # Nobody tells when it turns to the next pair, so no wait is longer than what one may take.
            wait_s = min(until() - monotonic(), self._timeout_s)
            events = poller.poll(max(0.0, 1000 * wait_s + 1))
            # What has arrived is taken first: this thread may be the one that was late.
            if all(fd == self._noise for fd, _ in events) and monotonic() >= until():
                items = self._at()[0]
                late = (
                    f"no verdict within {self._timeout_s:g} s" if items else "the worker is stuck"
                )
                raise WorkerLost(f"timeout: {late}", items)
            for fd, _ in events:
                if fd == self._requests:
                    left = self._send(left)
                    if not left:
                        poller.unregister(fd)
                elif fd == self._noise:
                    if not self._listen():
                        poller.unregister(fd)
                else:
                    yield from self._receive()

    def _send(self, left: memoryview) -> memoryview:
        try:
            return left[os.write(self._requests, left) :]
        except BlockingIOError:
            return left
        except BrokenPipeError:  # its results end too, and say more
            return left[:0]

    def _receive(self) -> list[bytes]:
        data = os.read(self._results, 1 << 20)
        if not data:
            raise self._ended()
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > 2 * MAX_VERDICT_BYTES:
            raise WorkerLost("crash: the worker sent a line without end", self._at()[0])
        return lines

    def _listen(self) -> bool:
        """Keep the last words of what the worker prints, and return whether it can still print."""
        data = os.read(self._noise, 1 << 16)
        self._noise_tail = (self._noise_tail + data)[-_NOISE_BYTES:]
        return bool(data)

    def _ended(self) -> WorkerLost:
        """Return why the worker is gone."""
        self._reap()
        code = self._process.returncode
        number = code - 128 if code > 128 else -code
        if number > 0:
            try:
                how = f"was killed by {signal.Signals(number).name}"
            except ValueError:
                how = f"was killed by signal {number}"
        else:
            how = f"left with exit code {code}"
        return WorkerLost(f"crash: the worker {how}", self._at()[0])

    @property
    def last_words(self) -> str:
        """The end of what the verifier printed."""
        return self._noise_tail.decode(errors="replace").strip()

    def kill(self) -> None:
        """Have the worker and all that it started killed; its thread then finds it gone. May be called from any thread."""
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)  # a verifier may have stopped its guard

    def close(self, *, kill: bool = False) -> None:
        """End the worker: an idle one leaves by itself, unless it is to be killed."""
        if kill:
            self.kill()
        else:
            self._send(memoryview(FRAME.pack(0, 0)))
        os.close(self._requests)
        self._reap(told=kill)
        os.close(self._results)
        os.close(self._noise)
        self._progress.close()

    def _reap(self, *, told: bool = False) -> None:
        """Wait until the guard is gone, and the last that could print; one that takes too long is told, unless it was, and then killed."""
        for more in (self._process.kill,) if told else (self.kill, self._process.kill):
            if self._falls_silent(REAP_S):
                break
            more()  # the kernel kills the judging process with its guard
        self._process.wait()

    def _falls_silent(self, seconds: float) -> bool:
        """Return whether nobody can print any more, within some seconds."""
        poller, deadline = select.poll(), monotonic() + seconds
        poller.register(self._noise, select.POLLIN)
        while (left_s := deadline - monotonic()) > 0:
            if poller.poll(1000 * left_s) and not self._listen():
                return True
        return False


def _pipe(reads: ExitStack, writes: ExitStack) -> tuple[int, int]:
    """Return the two ends of a pipe, each of which is closed with a stack."""
    ends = os.pipe()
    for end, stack in zip(ends, (reads, writes)):
        stack.callback(os.close, end)
    return ends


def _in(seconds: float) -> Callable[[], float]:
    deadline = monotonic() + seconds
    return lambda: deadline
