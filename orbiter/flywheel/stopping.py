"""Being told to end while a coroutine runs: first it clears up, then the program hears of it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


def run_until_told(runner: asyncio.Runner, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; where the program handles SIGTERM, that cancels it, as Ctrl-C does.

    An exception that the program's handler raised in the middle of the event loop would leave the coroutine no time to make durable what it
    has. So the handler is called when the coroutine has ended. A second SIGTERM disturbs nothing.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        return runner.run(coroutine)
    told: list[tuple[int, FrameType | None]] = []

    async def main() -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        def stop(number: int, frame: FrameType | None) -> None:
            if not told and task is not None:
                task.cancel()
                loop.call_soon_threadsafe(lambda: None)  # it may be waiting for the network
            told.append((number, frame))

        signal.signal(signal.SIGTERM, stop)
        try:
            return await coroutine
        finally:
            signal.signal(signal.SIGTERM, handler)

    try:
        return runner.run(main())
    finally:
        if told:
            handler(*told[0])
