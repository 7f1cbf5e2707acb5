"""An event loop in a thread of its own, for synchronous code that may stand inside another loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from orbiter.errors import OrbiterError

T = TypeVar("T")


class EventLoopThread:
    """Runs coroutines for callers that cannot await.

    The thread starts with the first call and is a daemon: it never keeps a process alive. A copy through pickle starts its own.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return EventLoopThread, ()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what ``coroutine`` returns; if the caller is interrupted, it is cancelled.

        Raises:
            OrbiterError: This process was forked from one that had called before; the thread is not in it.
        """
        with self._lock:
            if self._loop is None:
                self._start()
            elif self._process != os.getpid():
                coroutine.close()
                raise OrbiterError(
                    "judge model was used before this process was forked",
                    hint="start processes afresh (spawn), or make the model in the process that asks it",
                )
        assert self._loop is not None  # noqa: S101  # started above
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run what ``last`` makes and end the thread, if there is one in this process."""
        in_it = threading.current_thread() is self._thread
        if self._loop is None or self._thread is None or self._process != os.getpid() or in_it:
            return
        self.run(last())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    def _start(self) -> None:
        self._loop, self._process = asyncio.new_event_loop(), os.getpid()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="orbiter-judge", daemon=True
        )
        self._thread.start()
