"""Groups: lines that wait for company, and reach the disk together or not at all."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Concatenate, ParamSpec, TypeVar

from orbiter.convert import unstructure
from orbiter.errors import ConfigError, LedgerError
from orbiter.ledger.history import FILES, History
from orbiter.ledger.lines import encode

P = ParamSpec("P")
T = TypeVar("T")
W = TypeVar("W", bound="GroupWriter")


def one_at_a_time(
    method: Callable[Concatenate[W, P], T],
) -> Callable[Concatenate[W, P], T]:
    """Return a method that one thread at a time may run."""

    @functools.wraps(method)
    def locked(self: W, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._writing:
            return method(self, *args, **kwargs)

    return locked


class Row:
    """A line on its way to the disk, and what to note once it is there."""

    __slots__ = ("line", "note")

    def __init__(self, line: bytes, note: Callable[[int], None]) -> None:
        self.line, self.note = line, note


class GroupWriter(History):
    """A history to which lines are added, by the process that opened it: a group, or several that waited, is one write.

    Args:
        path: The folder of the run.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._pid = os.getpid()
        self._commit_rows, self._commit_s = 1, 0.0
        self._waiting: dict[str, dict[Hashable, Row]] = {name: {} for name in FILES}
        self._waiting_since = 0.0
        self._writing = threading.RLock()

    @one_at_a_time
    def flush(self) -> None:
        """Write the rows that wait.

        Raises:
            LedgerError: The disk refused. The rows that waited are not recorded: their attempts are pending again.
        """
        waiting = self._waiting
        if not any(waiting.values()):
            return
        self._check_writable()
        self._waiting = {name: {} for name in FILES}
        for name in FILES:
            self._commit(name, list(waiting[name].values()))

    def _settle(self) -> None:
        self.flush()

    def _take(
        self,
        name: str,
        rows: dict[Hashable, Row],
        *,
        identity: Hashable,
        line: bytes,
        recorded: int,
        note: Callable[[int], None],
    ) -> None:
        """Put a line into a group, unless it is recorded already."""
        before: bytes | None
        if recorded:
            before = self._journals[name].line(recorded)
        else:
            other = rows.get(identity) or self._waiting[name].get(identity)
            before = other.line if other is not None else None
        if before is None:
            rows[identity] = Row(line, note)
        elif before != line:
            what = identity[0] if isinstance(identity, tuple) else identity
            raise LedgerError(
                f"{name}.jsonl holds another row already of {what}",
                hint=f"every one is recorded once; the row there begins {before[:120]!r}",
            )

    def _add(self, name: str, rows: dict[Hashable, Row]) -> None:
        self._check_writable()
        if not any(self._waiting.values()):
            self._waiting_since = monotonic()
        self._waiting[name].update(rows)
        count = sum(len(waiting) for waiting in self._waiting.values())
        waited = monotonic() - self._waiting_since
        if count >= self._commit_rows or waited >= self._commit_s:
            self.flush()

    @one_at_a_time
    def _commit_events(self, rows: Sequence[Row]) -> None:
        self._check_writable()
        self.flush()
        self._commit("rounds", rows)

    def _commit(self, name: str, rows: Sequence[Row]) -> None:
        if rows:
            numbers = self._journals[name].append([row.line for row in rows])
            for row, number in zip(rows, numbers):
                row.note(number)

    def _noting(self, event: str) -> Callable[[int], None]:
        return lambda number: self._state.add_event(event, number)

    def _check_writable(self) -> None:
        if not self._journals:
            raise LedgerError(f"run {str(self.path)!r} is closed")
        if self._pid != os.getpid():
            raise LedgerError(
                f"run {str(self.path)!r} must be written by the process that opened it, {self._pid}, "
                f"got {os.getpid()}",
                hint="give results back to the parent process, and let it record them",
            )


def event_line(event: str, fields: Mapping[str, Any]) -> bytes:
    """Return the line of an event, with the time."""
    for name in ("event", "time"):
        if name in fields:
            raise ConfigError(f"field {name!r} of an event is the ledger's own")
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return encode({"event": event, **unstructure(fields), "time": time}, what=f"event {event!r}")
