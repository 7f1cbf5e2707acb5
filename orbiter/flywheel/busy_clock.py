"""How long something was under way, however many pieces of it overlapped."""

from __future__ import annotations

from threading import Lock
from time import perf_counter


class BusyClock:
    """Wall time during which at least one of several overlapping pieces of work was under way, in whatever threads."""

    def __init__(self) -> None:
        self._under_way, self._since, self._total_s = 0, 0.0, 0.0
        self._lock = Lock()

    @property
    def total_s(self) -> float:
        """Seconds so far."""
        return self._total_s + (perf_counter() - self._since if self._under_way else 0.0)

    def __enter__(self) -> None:
        with self._lock:
            if self._under_way == 0:
                self._since = perf_counter()
            self._under_way += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._under_way -= 1
            if self._under_way == 0:
                self._total_s += perf_counter() - self._since
