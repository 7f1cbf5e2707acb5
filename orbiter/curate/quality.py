"""The quality filter: rows at or above a bar, and of each task the best one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from attrs import frozen

from orbiter.checks import check_number
from orbiter.curate.near_dedup import Deduplicated
from orbiter.errors import RecordError
from orbiter.jsonl import replace_file, scan
from orbiter.records import Trajectory

T = TypeVar("T")


class _Scored(Protocol):
    @property
    def env(self) -> str: ...
    @property
    def task_id(self) -> str: ...
    @property
    def score(self) -> float | None: ...


R = TypeVar("R", bound=_Scored)


@frozen(kw_only=True)
class FilterReport:
    """What a filter did with every row: ``total = kept + below + unscored + duplicate``.

    Args:
        kept: Rows that were kept.
        below: Rows with a score below the bar.
        unscored: Rows with score null, which are neither above nor below the bar.
        duplicate: Rows at or above the bar whose task has a better or earlier one.
        unnamed: Rows among the kept whose task_id is empty. Nothing says that two of them are the same task, so each
            is kept on its own.
    """

    kept: int
    below: int
    unscored: int
    duplicate: int
    unnamed: int

    @property
    def total(self) -> int:
        """All rows that were read."""
        return self.kept + self.below + self.unscored + self.duplicate


@frozen(kw_only=True)
class Filtered:
    """The rows that a filter kept, in the order they were given, and the account of all."""

    kept: tuple[Trajectory, ...]
    report: FilterReport


def filter_quality(
    records: Iterable[Trajectory], *, min_score: float, dedup: bool = True
) -> Filtered:
    """Return the rows with at least ``min_score``, and of each (env, task_id) only the best.

    Of equal scores the first row wins. A row without a score is counted apart: unknown is not 0.

    Args:
        records: The rows.
        min_score: Least score that is kept.
        dedup: Keep one row of each task; otherwise all at or above the bar.

    Raises:
        ConfigError: ``min_score`` is not a finite number.
    """
    chosen, report = _choose(records, lambda row: row, min_score=min_score, dedup=dedup)
    return Filtered(kept=tuple(chosen), report=report)


def filter_file(
    source: str | Path, target: str | Path, *, min_score: float, dedup: bool = True
) -> FilterReport:
    """Filter a JSONL file as :func:`filter_quality` does; kept lines pass byte by byte, in the order of the source.

    The target appears whole or not at all, and may be the source. Memory grows with the number of kept rows, not with
    their size.

    Args:
        source: A file of trajectories.
        target: The file to write.
        min_score: Least score that is kept.
        dedup: Keep one row of each task; otherwise all at or above the bar.

    Raises:
        RecordError: A line is malformed, or the source changed meanwhile; nothing is written.
        ConfigError: ``min_score`` is not a finite number.
    """
    before = _state(source)
    places, report = _choose(
        scan(source), lambda head: (head.offset, len(head.text)), min_score=min_score, dedup=dedup
    )
    with replace_file(target) as out, open(source, "rb") as file:
        for offset, size in places:
            line = os.pread(file.fileno(), size, offset)
            out.write(line if line[-1:] == b"\n" else line + b"\n")
        if _state(source) != before:
            raise RecordError("must not change while it is filtered", source=str(source))
    return report


def exact_dedup(records: Sequence[Trajectory]) -> Deduplicated[Trajectory]:
    """Return the rows without those that repeat env, task_id and messages of an earlier one."""
    first: dict[str, int] = {}
    originals = [first.setdefault(row.id, index) for index, row in enumerate(records)]
    return Deduplicated(
        kept=tuple(records[index] for index in first.values()),
        dropped=tuple((index, of) for index, of in enumerate(originals) if of != index),
    )


def _choose(
    rows: Iterable[R], keep: Callable[[R], T], *, min_score: float, dedup: bool
) -> tuple[list[T], FilterReport]:
    """Return what ``keep`` makes of every chosen row, in the order of the rows, and the account."""
    check_number("min_score", min_score, "(-inf, inf)")
    best: dict[tuple[str, str], tuple[float, int]] = {}
    chosen: dict[int, T] = {}
    total = below = unscored = duplicate = unnamed = 0
    for row in rows:
        total += 1
        score = row.score
        if score is None:
            unscored += 1
        elif score < min_score:
            below += 1
        elif not row.task_id:
            unnamed += 1
            chosen[total] = keep(row)
        elif not dedup:
            chosen[total] = keep(row)
        else:
            key = (row.env, row.task_id)
            rival = best.get(key)
            if rival is not None:
                duplicate += 1
                if score <= rival[0]:
                    continue
                del chosen[rival[1]]
            best[key] = (score, total)
            chosen[total] = keep(row)
    report = FilterReport(
        kept=len(chosen), below=below, unscored=unscored, duplicate=duplicate, unnamed=unnamed
    )
    return list(chosen.values()), report


def _state(path: str | Path) -> Any:
    try:
        now = os.stat(path)
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}", source=str(path)) from None
    return now.st_ino, now.st_size, now.st_mtime_ns
