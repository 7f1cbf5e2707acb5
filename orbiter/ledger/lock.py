"""One writer per run: an exclusive lock on the run's folder."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

from orbiter.errors import RunAccessError, RunLockedError


class RunLock:
    """Holds ``ledger.lock`` of a run from construction to :meth:`release`; the kernel frees it when the process dies.

    Raises:
        RunLockedError: Another process holds it; names its pid.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "ledger.lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
            self.release()
            raise RunLockedError(
                f"run {folder.name!r} is locked by process {holder or 'unknown'}",
                hint="wait for it or stop it; to look at a run that is going on, open it read-only",
            ) from None
        except OSError as error:
            self.release()
            raise RunAccessError(
                f"run {folder.name!r} cannot be locked: {error.strerror}",
                hint="keep runs on a file system with flock and with space left",
            ) from error
        _held.add(self)

    def release(self) -> None:
        """Let another process have the run."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


# A forked child shares the lock with its parent: a worker that outlives a killed run would keep the run locked.
_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _release_all() -> None:
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_all)
