"""An append-only JSONL file that is either committed or not, line by line.

A group of lines is one write and one ``fdatasync``. After a write that fails or falls short, the file is cut back to
its last committed byte, so that no later line is glued to half a line.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Protocol

from orbiter.errors import LedgerError

# macOS has no fdatasync; fsync also writes the times, which costs more and harms nothing.
_datasync = getattr(os, "fdatasync", os.fsync)


class File(Protocol):
    """What a journal needs of an open file: the four calls that can fail."""

    def append(self, data: memoryview) -> int:
        """Write at the end and return how many bytes were taken, which may be fewer than given."""

    def sync(self) -> None:
        """Return when everything written is on the disk."""

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``."""

    def close(self) -> None:
        """Release the file."""


class DiskFile:
    """A file on disk, opened for appending, or for reading alone."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_APPEND | os.O_CREAT
        self._fd = os.open(path, flags, 0o644)

    def append(self, data: memoryview) -> int:
        """Write at the end."""
        return os.write(self._fd, data)

    def sync(self) -> None:
        """Wait for the disk."""
        _datasync(self._fd)

    def truncate(self, size: int) -> None:
        """Cut the file."""
        os.ftruncate(self._fd, size)

    def read(self, offset: int, size: int) -> bytes:
        """Read at an offset."""
        return os.pread(self._fd, size, offset)

    def close(self) -> None:
        """Close the descriptor, once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Journal:
    """The committed lines of one file, counted from 1.

    Args:
        path: The file; its name appears in errors.
        file: An open file; default: the one at ``path``.
        read_only: Do not create, repair or append.
        limit: Read no further than this many bytes.

    Attributes:
        torn: Bytes after the last newline that were found on opening: what a killed writer left of a line. They
            are cut off, unless the journal is read-only.
        torn_line: Number that the line would have had.
    """

    def __init__(
        self,
        path: Path,
        *,
        file: File | None = None,
        read_only: bool = False,
        limit: int | None = None,
    ) -> None:
        self.path = path
        self._file: File = file or DiskFile(path, read_only=read_only)
        self._read_only = read_only
        self._limit = limit
        self._starts = array("Q", [0])  # start of every line, and the end of the last
        self._broken: str | None = None
        self.torn = self.torn_line = 0

    def __len__(self) -> int:
        return len(self._starts) - 1

    @property
    def size(self) -> int:
        """Committed bytes."""
        return self._starts[-1]

    def recover(self) -> Iterator[bytes]:
        """Yield every whole line, then cut off what a killed writer left after the last one. To be run once, to its end."""
        rest = b""
        offset = 0
        while True:
            size = 1 << 20 if self._limit is None else min(1 << 20, self._limit - offset)
            chunk = self._file.read(offset, size) if size > 0 else b""
            if not chunk:
                break
            offset += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._starts.append(self.size + len(line) + 1)
                yield line
        self.torn, self.torn_line = len(rest), len(self) + 1
        if self._read_only:
            return
        if self.torn:
            self._file.truncate(self.size)
        # A killed writer's lines may be in memory alone; what is written next must not outlive them.
        self._file.sync()

    def line(self, number: int) -> bytes:
        """Return a committed line without its newline.

        Raises:
            LedgerError: The file was changed by someone else.
        """
        start, end = self._starts[number - 1], self._starts[number]
        data = self._file.read(start, end - start)
        while data and len(data) < end - start:
            more = self._file.read(start + len(data), end - start - len(data))
            if not more:
                break
            data += more
        if len(data) != end - start or data[-1:] != b"\n":
            raise LedgerError(
                f"{self.path} line {number} is no longer where it was",
                hint="the file was changed while the run was open; nothing but orbiter may write to it",
            )
        return data[:-1]

    def append(self, lines: Sequence[bytes]) -> range:
        """Commit the lines as one group and return their numbers.

        Raises:
            LedgerError: They could not be written; none of them is committed, and all that was committed before still is.
        """
        if self._broken:
            raise LedgerError(
                f"{self.path} takes no more lines, since {self._broken}",
                hint="free the cause, then open the run again: it goes on from the last committed line",
            )
        first = len(self) + 1
        data = memoryview(b"\n".join([*lines, b""]))
        try:
            self._write(data)
        except OSError as error:
            self._cut_back()
            raise LedgerError(
                f"{self.path} cannot be written: {error.strerror or error} "
                f"({len(lines)} lines, {len(data)} bytes); the {len(self)} lines committed before are safe",
                hint="free disk space or raise the limit, then run again: it goes on from there",
            ) from error
        ends = accumulate((len(line) + 1 for line in lines), initial=self.size)
        self._starts.extend(islice(ends, 1, None))
        return range(first, len(self) + 1)

    def _write(self, data: memoryview) -> None:
        written = 0
        while written < len(data):
            taken = self._file.append(data[written:])
            if taken <= 0:
                raise OSError(f"the disk took {written} of {len(data)} bytes")
            written += taken
        try:
            self._file.sync()
        except OSError as error:
            # After a failed sync the kernel may have dropped the pages and call the next sync a success.
            self._broken = f"the disk did not confirm a write ({error.strerror or error})"
            raise

    def _cut_back(self) -> None:
        try:
            self._file.truncate(self.size)
            self._file.sync()
        except OSError as error:
            self._broken = f"half a write could not be cut off ({error.strerror or error})"

    def close(self) -> None:
        """Release the file."""
        self._file.close()
