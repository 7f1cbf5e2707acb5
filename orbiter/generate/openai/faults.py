"""What may go wrong with a request, and how long to wait before it is made again."""

from __future__ import annotations

import email.utils
import random
import time

from orbiter.errors import OrbiterError

MAX_RETRY_AFTER_S = 120.0
"""Longest wait that a server's Retry-After is granted, in seconds."""

MAX_WAIT_S = 60.0
"""Longest wait otherwise."""


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


def pause_s(fault: Fault, tries: int, *, first_s: float) -> float:
    """Return how long to wait before the next try, in seconds.

    What the server said, and up to a tenth more; else "full jitter": a draw from [0, min(60, first_s * 2**(tries - 1))], by which
    requests that failed together come back apart.

    Args:
        fault: Why the last try failed.
        tries: How many tries failed, from 1.
        first_s: Longest wait after the first one.
    """
    if fault.wait_s is not None:
        return fault.wait_s * random.uniform(1.0, 1.1)
    return random.uniform(0.0, min(MAX_WAIT_S, first_s * 2.0 ** min(tries - 1, 30)))


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
