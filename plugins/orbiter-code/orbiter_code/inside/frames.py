"""Messages over a stream socket: four bytes of length, then so many bytes; with a limit of length and a deadline."""

from __future__ import annotations

import math
import socket
import struct
import time

MAX_BYTES = 1 << 20
"""Longest message that a job may send, in bytes."""

_HEADER = struct.Struct(">I")
_PIECE = 65536
_SLACK_S = 0.05


class ChannelClosedError(OSError):
    """The other side is gone."""


class ChannelBrokenError(OSError):
    """The other side does not keep to the format or to the limit of length."""


class DeadlineError(TimeoutError):
    """The deadline has passed."""


def frame(payload: bytes) -> bytes:
    """Return a message as it is sent."""
    return _HEADER.pack(len(payload)) + payload


class Channel:
    """A socket on which both sides speak in messages.

    Args:
        sock: The connected socket.
        max_bytes: Longest message that is read.
    """

    def __init__(self, sock: socket.socket, *, max_bytes: int = MAX_BYTES) -> None:
        self.sock = sock
        self.max_bytes = max_bytes
        self._buffer = bytearray()
        self._timeout = math.inf

    def send(self, payload: bytes, *, deadline: float | None = None) -> None:
        """Send one message.

        Args:
            payload: The message.
            deadline: Time of the monotonic clock, in seconds; None: no deadline.

        Raises:
            ChannelClosedError: The other side is gone.
            DeadlineError: The deadline passed before the other side took the message.
        """
        self._until(deadline)
        try:
            self.sock.sendall(frame(payload))
        except TimeoutError:
            raise DeadlineError("the other side does not read") from None
        except OSError as error:
            raise ChannelClosedError(str(error)) from None

    def receive(self, *, deadline: float | None = None, ahead: bool = True) -> bytes:
        """Return the next message.

        Args:
            deadline: Time of the monotonic clock, in seconds; None: no deadline.
            ahead: Whether what follows the message may be read already; not where it is somebody else's to read.

        Raises:
            ChannelClosedError: The other side is gone.
            ChannelBrokenError: The message is longer than allowed.
            DeadlineError: The deadline passed before the message was complete.
        """
        self._fill(_HEADER.size, deadline, ahead)
        (size,) = _HEADER.unpack_from(self._buffer)
        if size > self.max_bytes:
            raise ChannelBrokenError(f"a message of {size} bytes is too long")
        end = _HEADER.size + size
        self._fill(end, deadline, ahead)
        out = bytes(self._buffer[_HEADER.size : end])
        del self._buffer[:end]
        return out

    def _fill(self, size: int, deadline: float | None, ahead: bool) -> None:
        """Read until so many bytes are there."""
        while len(self._buffer) < size:
            self._until(deadline)
            try:
                part = self.sock.recv(_PIECE if ahead else min(size - len(self._buffer), _PIECE))
            except TimeoutError:
                raise DeadlineError("the other side does not answer") from None
            except OSError as error:
                raise ChannelClosedError(str(error)) from None
            if not part:
                raise ChannelClosedError("the other side is gone")
            self._buffer += part

    def _until(self, deadline: float | None) -> None:
        """Let the socket wait until the deadline, or a little longer: setting it takes as long as a message does."""
        if deadline is None:
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlineError("the deadline has passed")
        if not left <= self._timeout <= left + _SLACK_S:
            self._timeout = left
            self.sock.settimeout(left)
