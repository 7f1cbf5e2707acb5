"""How many requests are open at once: as many as the server bears."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic

DECREASE = 0.7
"""What the limit is multiplied by where the server says that it is overloaded."""

ROUNDS = 16
"""How many rounds of answers it takes from nothing to the maximum."""


class Limit:
    """A bound that falls by a factor when the server is overloaded and rises by a constant for each round of answers (AIMD).

    What was sent before the limit fell says nothing of the lower one, so a burst of refusals lets it fall once. To be used
    from one event loop.

    Args:
        maximum: The bound to begin with, which is never exceeded.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum, self._size = maximum, float(maximum)
        self._step = max(1.0, maximum / ROUNDS)
        self._open = self._falls = 0
        self._held_until = 0.0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def size(self) -> int:
        """The bound now, from 1 to the maximum."""
        return int(self._size)

    async def acquire(self, *, within_s: float | None = None) -> int:
        """Wait until a request may be opened, and return what :meth:`overloaded` is to be told of it.

        Raises:
            TimeoutError: None may be for so many seconds.
        """
        if self._queue or not self._has_room():
            turn = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            try:
                async with asyncio.timeout(within_s):
                    await turn
            except (asyncio.CancelledError, TimeoutError):
                if turn.done() and not turn.cancelled():
                    self.release()
                raise
        else:
            self._open += 1
        return self._falls

    def release(self) -> None:
        """Let another request be opened."""
        self._open -= 1
        self._wake()

    def answered(self) -> None:
        """Take note of an answer: so many of them as are open raise the limit by one step."""
        if self._size < self._maximum:
            self._size = min(self._maximum, self._size + self._step / self._size)
            self._wake()

    def overloaded(self, opened: int, *, wait_s: float | None = None) -> None:
        """Take note of a refusal for want of capacity.

        Args:
            opened: What :meth:`acquire` returned for the request.
            wait_s: How long the server wants to be left alone: nothing is opened until then.
        """
        if opened == self._falls:
            self._falls += 1
            self._size = max(1.0, self._size * DECREASE)
        if wait_s:
            self._held_until = max(self._held_until, monotonic() + wait_s)
            asyncio.get_running_loop().call_later(wait_s, self._wake)

    def _has_room(self) -> bool:
        return self._open < int(self._size) and (
            not self._held_until or monotonic() >= self._held_until
        )

    def _wake(self) -> None:
        while self._queue and self._has_room():
            turn = self._queue.popleft()
            if not turn.done():
                self._open += 1
                turn.set_result(None)
