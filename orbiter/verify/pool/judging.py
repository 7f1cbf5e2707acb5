"""The judging process: one verifier, on the main thread, one pair after the other.

What comes in is pickled by our own parent. What goes out is JSON alone, a line per verdict, since a verifier is exposed to what
a model wrote: ``17 {"outcome":"pass","score":1.0}`` is the verdict on pair 17 of the present chunk.
"""

from __future__ import annotations

import mmap
import os
import pickle
import resource
import struct
from collections.abc import Mapping
from time import monotonic
from typing import Any

import orjson

from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.pool.transport import unpack_verifier, verdict_row
from orbiter.verify.verifier import OUT_OF_MEMORY, Verifier, judge

FRAME = struct.Struct("!QI")
"""What stands before a chunk: its size in bytes, and how many pairs it holds."""

PROGRESS = struct.Struct("@dd")
"""What the file of progress holds: since when the process is judging (monotonic seconds), and the number of the pair, or -1."""

FLUSH_S = 0.005
"""Verdicts wait no longer than this for company, unless the next one takes longer. Those that wait are lost with the process,
and judged again by the next one."""


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
        if not _judge_chunk(verifier, _read(requests, size), count, results, shown):
            return


def _ready_line(**fields: str) -> bytes:
    return orjson.dumps(fields) + b"\n"


def _judge_chunk(
    verifier: Verifier, chunk: bytes, count: int, results: int, shown: memoryview[float]
) -> bool:
    """Send the verdicts on a chunk, and return whether this process is fit for more."""
    try:
        pairs: list[tuple[Task, Trajectory]] = pickle.loads(chunk)  # noqa: S301  # from our own parent
    except Exception as error:
        row = verdict_row(Verdict.invalid(f"error: task cannot be read in a worker: {error}"))
        _write(results, b"".join(b"%d %s\n" % (i, row) for i in range(count)))
        return True
    lines: list[bytes] = []
    flushed, fit = monotonic(), True
    for number, (task, trajectory) in enumerate(pairs):
        now = monotonic()
        if lines and now - flushed > FLUSH_S:
            _write(results, b"".join(lines))
            lines, flushed = [], now
        shown[0], shown[1] = now, number
        try:
            verdict = judge(verifier, task, trajectory)
            fit = OUT_OF_MEMORY not in verdict.reason
        except BaseException as error:  # SystemExit and the like, which judge lets pass
            verdict, fit = Verdict.invalid(f"crash: verifier raised {type(error).__name__}"), False
        lines.append(b"%d %s\n" % (number, verdict_row(verdict)))
        if not fit:
            PROGRESS.pack_into(
                shown, 0, -1, now
            )  # whoever finds this process gone must blame no pair
            break
    _write(results, b"".join(lines))
    return fit


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
