"""How often, how long and after what pauses one request is made again."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from time import monotonic

import stamina

from orbiter.errors import OrbiterError
from orbiter.generate.openai.faults import Fault

MAX_WAIT_S = 60.0
"""Longest wait that no server asked for, in seconds."""

LATE = "no request was opened in time"
"""Why a request that waited for others was given up."""


class Patience:
    """What one request has tried so far, and whether another try is due; the backoff hook that stamina is given.

    Args:
        retries: How often the request may be made again.
        first_wait_s: Longest pause before the first retry, in seconds.
        deadline_s: Time limit of all tries and pauses together, from now on; None is none.
    """

    def __init__(self, retries: int, *, first_wait_s: float, deadline_s: float | None) -> None:
        self._retries, self._first_wait_s, self._deadline_s = retries, first_wait_s, deadline_s
        self._ends = None if deadline_s is None else monotonic() + deadline_s
        self._tries = 0

    def __call__(self, error: Exception) -> bool | float:
        """Return the pause before the next try in seconds, or False if there is to be none."""
        if not isinstance(error, Fault):
            return False
        self._tries += 1
        wait_s = pause_s(error, self._tries, first_s=self._first_wait_s)
        return wait_s if self._ends is None or monotonic() + wait_s < self._ends else False

    async def go_on(self, ask: Callable[[], Awaitable[None]], *, after: Fault) -> None:
        """Ask again after a first fault, until it succeeds or the patience is at its end.

        The first try is not made here, since stamina costs as much as the request itself.

        Raises:
            Fault: The last one.
        """
        first: Fault | None = after
        async for attempt in stamina.retry_context(
            on=self, attempts=self._retries + 1, timeout=None
        ):
            with attempt:
                if first is not None:
                    known, first = first, None
                    raise known
                await ask()

    def left_s(self) -> float | None:
        """Return how long the request may still take, in seconds; None if nothing bounds it.

        Raises:
            Fault: No time is left.
        """
        if self._ends is None:
            return None
        left_s = self._ends - monotonic()
        if left_s <= 0:
            raise Fault(LATE)
        return left_s

    def why(self, error: OrbiterError) -> str:
        """Return why the request was given up, after its last error."""
        if isinstance(error, Fault) and self._tries <= self._retries:
            return f"deadline of {self._deadline_s:g} s: {error.message}"
        return error.message


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
