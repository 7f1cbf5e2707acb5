"""The Exporter ABC: writes records in the format of one trainer."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from orbiter import jsonl
from orbiter.errors import ConfigError, RecordError


@frozen(kw_only=True)
class ExportReport:
    """What an export wrote.

    Args:
        count: Rows written.
        files: Files written, the data first.
        skipped: Records left out, by reason.
    """

    count: int
    files: tuple[Path, ...]
    skipped: Mapping[str, int]


class Exporter(ABC):
    """Writes records in the format of one trainer.

    A small complete subclass:

        class Prompts(Exporter):
            name, takes = "prompts", (Task,)

            def row(self, record: Task, *, index: int) -> dict[str, Any]:
                return {"text": record.prompt}

    Contract: ``row`` says all that the record's messages and tools say, or raises RecordError with the field that the format has
    no place for; it never leaves a part out in silence. The files appear whole or not at all.

    Args:
        skip_unfit: Leave a record that the format cannot express out and count it, instead of raising.
    """

    name: str
    """Registered name."""

    takes: tuple[type, ...]
    """The record classes that can be exported; one file holds one of them."""

    suffix: str = ".jsonl"
    """Usual ending of the file's name."""

    def __init__(self, *, skip_unfit: bool = False) -> None:
        self.skip_unfit = skip_unfit

    @abstractmethod
    def row(self, record: Any, *, index: int) -> dict[str, Any]:
        """Return the row for a record.

        Args:
            record: An instance of a class in ``takes``.
            index: Number of the row in the file, counted from 0.

        Raises:
            RecordError: The format cannot express the record.
        """

    def write(self, records: Iterable[Any], path: Path | str) -> ExportReport:
        """Write the records to a file, and whatever else the format wants beside it.

        Raises:
            ConfigError: A record is of a class that the format does not take, or of another class than the first.
            RecordError: A record cannot be expressed, and ``skip_unfit`` is off; nothing is written.
        """
        path = Path(path)
        skipped: dict[str, int] = {}
        count, files = self.save(self._rows(records, skipped), path)
        return ExportReport(count=count, files=files, skipped=skipped)

    def save(self, rows: Iterator[dict[str, Any]], path: Path) -> tuple[int, tuple[Path, ...]]:
        """Write the rows; return how many there were, and the files. The default writes JSONL."""
        return jsonl.write(path, rows), (path,)

    def _rows(self, records: Iterable[Any], skipped: dict[str, int]) -> Iterator[dict[str, Any]]:
        kind: type | None = None
        index = 0
        for place, record in enumerate(records):
            kind = kind or type(record)
            self._check_kind(record, kind, place)
            try:
                row = self.row(record, index=index)
            except RecordError as error:
                if not self.skip_unfit:
                    raise _located(error, self.name, record, place) from None
                reason = _reason(error)
                skipped[reason] = skipped.get(reason, 0) + 1
                continue
            yield row
            index += 1

    def _check_kind(self, record: object, kind: type, place: int) -> None:
        if not isinstance(record, self.takes):
            takes = " or ".join(cls.__name__ for cls in self.takes)
            raise ConfigError(
                f"record {place} for exporter {self.name!r} must be a {takes}, "
                f"got {type(record).__name__}"
            )
        if type(record) is not kind:
            raise ConfigError(
                f"records for exporter {self.name!r} must be of one class per file, "
                f"got {type(record).__name__} at {place} after {kind.__name__}"
            )


def _located(error: RecordError, name: str, record: Any, place: int) -> RecordError:
    task_id = getattr(record, "task_id", "")
    source = f"{name} export, record {place}" + (f" ({task_id})" if task_id else "")
    hint = error.hint or "or give skip_unfit=True: such records are left out and counted"
    return RecordError(error.problem, source=source, field=error.field, hint=hint)


def _reason(error: RecordError) -> str:
    """Return the error without indexes and values, so that equal causes are counted as one."""
    problem = error.problem.partition(", got ")[0]
    if error.field is None:
        return problem
    field = re.sub(r"\[\d+\]", "[]", error.field)
    return f"{field} {problem}"
