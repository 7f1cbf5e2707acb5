"""SIGTERM as a way to stop that leaves things in order, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """The process was told to end by SIGTERM."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise :class:`Terminated` where SIGTERM comes, once; what follows is clearing up, which a second one does not disturb."""
    on_main_thread = threading.current_thread() is threading.main_thread()
    if not on_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def stop_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code of what was stopped: 128 and the number of the signal, as a shell would say."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
