"""The judging process: one verifier, on the main thread, one pair after the other.

What comes in is pickled by our own parent. What goes out is JSON alone, a line per verdict, since a verifier is exposed to what
a model wrote: ``17 {"outcome":"pass","score":1.0}`` is the verdict on pair 17 of the present chunk.
"""

from __future__ import annotations

import mmap
import os
import pickle
import resource
import signal
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import orjson

from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.pool.transport import unpack_verifier, verdict_row
from orbiter.verify.verifier import OUT_OF_MEMORY, Verifier, judge_batch, verdict_of_error

FRAME = struct.Struct("!QI")
"""What stands before a chunk: its size in bytes, and how many pairs it holds; none means that the process may leave."""

PROGRESS = struct.Struct("@ddd")
"""What the file of progress holds: since when the process is judging (monotonic seconds), how many pairs at once, and the number of
the first, or -1."""

FLUSH_S = 0.005
"""Verdicts wait no longer than this for company, unless the next one takes longer. Those that wait are lost with the process,
and judged again by the next one."""

_SIMPLE = str | int | float | None


def serve(requests: int, results: int, progress: int, setup: Mapping[str, Any]) -> None:
    """Judge chunks until there are no more, or until the process should be replaced.

    Args:
        requests: Where chunks come from.
        results: Where verdicts go.
        progress: A file that says which pair is being judged.
        setup: What :func:`orbiter.verify.pool.transport.pack_verifier` gave.
    """
    if setup["memory_mb"] is not None:
        limit = setup["memory_mb"] << 20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        verifier = unpack_verifier(setup)
    except BaseException as error:
        _write(results, _ready_line(error=f"{type(error).__name__}: {error}"))
        return
    _write(results, _ready_line(name=verifier.name, version=verifier.version))
    # Single numbers, each stored at once: whoever reads between the two finds the earlier pair with the later time.
    shown = memoryview(mmap.mmap(progress, PROGRESS.size)).cast("d")
    while header := _read(requests, FRAME.size):
        size, count = FRAME.unpack(header)
        if not count or not _judge_chunk(verifier, _read(requests, size), count, results, shown):
            return


def _ready_line(**fields: str) -> bytes:
    return orjson.dumps(fields) + b"\n"


def _judge_chunk(
    verifier: Verifier, chunk: bytes, count: int, results: int, shown: memoryview[float]
) -> bool:
    """Send the verdicts on a chunk, and return whether this process is fit for more."""
    try:
        pairs = own_tasks(pickle.loads(chunk))  # noqa: S301  # from our own parent
    except Exception as error:
        if count > 1:  # they will be sent one by one
            return False
        row = verdict_row(Verdict.invalid(f"error: task cannot be read in a worker: {error}"))
        _write(results, b"0 %s\n" % row)
        return True
    process, pipe = os.getpid(), os.fstat(results)
    lines: list[bytes] = []
    flushed, fit, size = monotonic(), True, max(1, verifier.batch_size)
    for number in range(0, count, size):
        now = monotonic()
        if lines and now - flushed > FLUSH_S:
            _write(results, b"".join(lines))
            lines, flushed = [], now
        group = pairs[number : number + size]
        shown[0], shown[1], shown[2] = now, len(group), number
        try:
            verdicts = judge_batch(verifier, group)
            fit = not any(OUT_OF_MEMORY in verdict.reason for verdict in verdicts)
        except KeyboardInterrupt as error:  # nobody can press a key here: the verifier raised it
            verdicts = [verdict_of_error(error)] * len(group)
        # What a verifier left behind would strike another pair: a fork that came back from it as well, other files
        # in the place of ours, an alarm.
        if os.getpid() != process:
            os._exit(0)
        if not os.path.samestat(os.fstat(results), pipe):
            raise OSError("the verifier closed files that are not its own")
        signal.setitimer(signal.ITIMER_REAL, 0)
        lines += [b"%d %s\n" % (i, verdict_row(v)) for i, v in enumerate(verdicts, number)]
        if not fit:
            break
    _write(results, b"".join(lines))
    return fit


def own_tasks(pairs: Sequence[tuple[Task, Trajectory]]) -> list[tuple[Task, Trajectory]]:
    """Return the pairs, none of which shares a task or prompt that can be changed with another: a verifier that changes it must not turn
    the verdicts on other answers to it.
    """
    times = Counter(id(task) for task, _ in pairs)
    packed: dict[int, bytes] = {}
    own = []
    for task, trajectory in pairs:
        if any(m.tool_calls or m.extra or isinstance(m.content, list) for m in task.messages):
            # The trajectory begins with the same messages.
            own.append(pickle.loads(pickle.dumps((task, trajectory), pickle.HIGHEST_PROTOCOL)))  # noqa: S301  # written here
            continue
        changeable = (
            task.metadata or task.tools or task.extra or not isinstance(task.answer, _SIMPLE)
        )
        if times[id(task)] == 1 or not changeable:
            own.append((task, trajectory))
            continue
        if id(task) not in packed:
            packed[id(task)] = pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
        own.append((pickle.loads(packed[id(task)]), trajectory))  # noqa: S301  # written above
    return own


def _read(fd: int, size: int) -> bytes:
    """Return exactly ``size`` bytes, or none when there can be no more."""
    parts, missing = [], size
    while missing:
        data = os.read(fd, min(missing, 1 << 20))
        if not data:
            return b""
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
