"""Run a program as a script in a job: bytes in, bytes out, and not one more than the limit."""

from __future__ import annotations

import json
import select
import socket
import time

from orbiter.errors import OrbiterError
from orbiter_code.inside.frames import frame

TIMEOUT, TOO_LONG = "timeout", "output is too long"
"""Reasons for which a script is stopped."""


class StoppedError(OrbiterError):
    """The script was stopped; the message is the reason."""


def run_script(
    channel: socket.socket, program: str, stdin: bytes, *, deadline: float, max_bytes: int
) -> bytes:
    """Return what the program writes to its standard output until it closes it.

    Args:
        channel: Of a job that is ready.
        program: Its text.
        stdin: What it may read.
        deadline: Time of the monotonic clock, in seconds.
        max_bytes: Most bytes of output.

    Raises:
        StoppedError: The deadline passed, or there was too much output.
    """
    waiting = memoryview(frame(json.dumps({"mode": "script", "program": program}).encode()) + stdin)
    out = bytearray()
    channel.setblocking(False)
    poll = select.poll()
    poll.register(channel, select.POLLIN | select.POLLOUT)
    while True:
        left = deadline - time.monotonic()
        events = poll.poll(left * 1000) if left > 0 else []
        if not events:
            raise StoppedError(TIMEOUT)
        if waiting.nbytes and events[0][1] & select.POLLOUT:
            waiting = _send(channel, waiting)
            if not waiting.nbytes:
                poll.modify(channel, select.POLLIN)
        if events[0][1] & ~select.POLLOUT:
            part = _receive(channel, max_bytes + 1 - len(out))
            if part == b"":
                return bytes(out)
            out += part or b""
            if len(out) > max_bytes:
                raise StoppedError(TOO_LONG)


def _send(channel: socket.socket, waiting: memoryview) -> memoryview:
    """Return what is still to be sent; then, or where nobody reads any more, say that there is no more to come."""
    try:
        waiting = waiting[channel.send(waiting) :]
    except BlockingIOError:
        return waiting
    except OSError:
        return waiting[:0]
    if not waiting.nbytes:
        channel.shutdown(socket.SHUT_WR)
    return waiting


def _receive(channel: socket.socket, most: int) -> bytes | None:
    """Return some output, nothing at its end, or None if there is none yet."""
    try:
        return channel.recv(min(most, 65536))
    except BlockingIOError:
        return None
    except ConnectionError:  # it left without reading its input
        return b""


def same_text(got: bytes, expected: str) -> bool:
    """Return whether an output is the expected one but for white space at the ends of lines and of the whole."""
    return _lines(got.decode("utf-8", "replace")) == _lines(expected)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]
