"""Messages over a stream socket: four bytes of length, then so many bytes; with a limit of length and a deadline."""

from __future__ import annotations

import socket
import struct
import time

MAX_BYTES = 1 << 20
"""Longest message that a job may send, in bytes."""

_HEADER = struct.Struct(">I")


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

    def receive(self, *, deadline: float | None = None) -> bytes:
        """Return the next message.

        Args:
            deadline: Time of the monotonic clock, in seconds; None: no deadline.

        Raises:
            ChannelClosedError: The other side is gone.
            ChannelBrokenError: The message is longer than allowed.
            DeadlineError: The deadline passed before the message was complete.
        """
        (size,) = _HEADER.unpack(self._take(_HEADER.size, deadline))
        if size > self.max_bytes:
            raise ChannelBrokenError(f"a message of {size} bytes is too long")
        return self._take(size, deadline)

    def _take(self, size: int, deadline: float | None) -> bytes:
        while len(self._buffer) < size:
            self._until(deadline)
            try:
                # No more than this message: what follows may be somebody else's to read.
                part = self.sock.recv(min(size - len(self._buffer), 65536))
            except TimeoutError:
                raise DeadlineError("the other side does not answer") from None
            except OSError as error:
                raise ChannelClosedError(str(error)) from None
            if not part:
                raise ChannelClosedError("the other side is gone")
            self._buffer += part
        out = bytes(self._buffer[:size])
        del self._buffer[:size]
        return out

    def _until(self, deadline: float | None) -> None:
        if deadline is None:
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlineError("the deadline has passed")
        self.sock.settimeout(left)
