"""Records to lines, and whole files put in place at once."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import attrs
import orjson

from orbiter.convert import show, unstructure
from orbiter.errors import RecordError
from orbiter.jsonl.faults import MAX_DEPTH, fault_of_value
from orbiter.jsonl.reading import MAX_LINE_BYTES, too_long

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def dumps(record: object) -> bytes:
    """Return the line of a record or mapping, without a newline.

    Raises:
        RecordError: A value cannot be written so that it reads back the same; names the field.
    """
    row = record
    if attrs.has(type(record)):
        row = record.to_row() if hasattr(record, "to_row") else unstructure(record)
    if not isinstance(row, Mapping):
        raise RecordError(f"row must be a record or a mapping, got {show(row)}")
    try:
        data = orjson.dumps(row if type(row) is dict else dict(row), option=_OPTIONS)
    except TypeError as error:
        raise fault_of_value(row) or RecordError(f"row must be plain data, got: {error}") from None
    # orjson writes NaN as null, and nests deeper than is read.
    suspect = b"null" in data or data.count(b"[") + data.count(b"{") > MAX_DEPTH
    if suspect and (fault := fault_of_value(row)):
        raise fault
    return data


def write(
    path: str | Path, records: Iterable[object], *, max_line_bytes: int = MAX_LINE_BYTES
) -> int:
    """Write records or mappings, one a line, and return how many; the file appears whole or not at all.

    Args:
        path: The file; missing folders are made, an existing file is replaced at the end.
        records: What to write.
        max_line_bytes: Longest line that is written.

    Raises:
        RecordError: A record cannot be written so that it reads back the same; nothing is replaced.
    """
    count = 0
    with replace_file(path) as file:
        for count, record in enumerate(records, start=1):
            try:
                data = dumps(record)
                if len(data) > max_line_bytes:
                    raise too_long(max_line_bytes)
            except RecordError as error:
                raise error.at(str(path), count) from None
            file.write(data + b"\n")
    return count


@contextmanager
def replace_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of ``path``, on disk for good, when the block ends without an error."""
    target = Path(os.path.realpath(path))
    if not target.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink()
        if isinstance(error, OSError) and str(error.filename) == str(draft):
            error.filename = str(target)  # the name that was given
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
