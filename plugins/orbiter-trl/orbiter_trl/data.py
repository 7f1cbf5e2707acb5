"""Data: the records of a job's files, read once, while the job is checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from attrs import frozen

from orbiter.errors import BackendError
from orbiter.train.backend import TrainJob

R = TypeVar("R")


@frozen(kw_only=True)
class Data(Generic[R]):
    """What a job trains on.

    Args:
        train: Records of the job's ``data``.
        held_out: Those of its ``eval_data``; None if it has none.
        stamps: Each file with its size in bytes and its time of change in nanoseconds, from before it was read.
    """

    train: list[R]
    held_out: list[R] | None = None
    stamps: tuple[tuple[Path, int, int], ...] = ()

    def check_unchanged(self) -> None:
        """Raise unless the files are still what was read of them.

        Raises:
            BackendError: One was changed or removed.
        """
        for stamp in self.stamps:
            path = stamp[0]
            if not path.is_file() or _stamp(path) != stamp:
                raise BackendError(
                    f"data must stay as they were checked, and {str(path)!r} was changed since",
                    hint="check the job again, and train without changing the file in between",
                )


def read_data(job: TrainJob, read: Callable[[Path], list[R]]) -> Data[R]:
    """Return what ``read`` gives for each of the job's files."""
    held_out = job.eval_data
    stamps = tuple(_stamp(path) for path in (job.data, held_out) if path is not None)
    return Data(
        train=read(job.data),
        held_out=None if held_out is None else read(held_out),
        stamps=stamps,
    )


def _stamp(path: Path) -> tuple[Path, int, int]:
    status = path.stat()
    return path, status.st_size, status.st_mtime_ns
