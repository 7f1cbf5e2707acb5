"""What may go wrong with a request."""

from __future__ import annotations

import email.utils
import time

from orbiter.errors import OrbiterError

MAX_RETRY_AFTER_S = 120.0
"""Longest wait that a server's Retry-After is granted, in seconds."""


class Fault(OrbiterError):
    """A try that failed, where another may succeed.

    Args:
        message: What happened.
        wait_s: How long the server said to wait, in seconds.
        overload: The server lacks capacity.
    """

    def __init__(
        self, message: str, *, wait_s: float | None = None, overload: bool = False
    ) -> None:
        super().__init__(message)
        self.wait_s, self.overload = wait_s, overload


class Refusal(OrbiterError):
    """A request that the server will not answer however often it is made."""


def retry_after(header: str | None) -> float | None:
    """Return the pause that a Retry-After header asks for, in seconds; None if it asks for none that can be read."""
    if header is None:
        return None
    if header.strip().isdecimal():
        wait_s = float(header.strip()[:12])
    else:
        try:
            wait_s = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)
