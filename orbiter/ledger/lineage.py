"""Lineage both ways: from a checkpoint to the rows that trained it, and from a row to everything it took part in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from orbiter import jsonl
from orbiter.errors import LedgerError, RecordError, did_you_mean
from orbiter.ledger.attempt import AttemptKey
from orbiter.ledger.index import Checkpoint, Dataset, IndexedAttempt, RunIndex
from orbiter.records import Verdict


@frozen(kw_only=True)
class RowLineage:
    """Where a row comes from and where it went.

    Args:
        attempt: The attempt: what generated it, with which model and seed, and what was decided about it.
        verdicts: Every verdict on it, oldest first; the first is the verdict of record.
        datasets: The datasets that contain it.
        checkpoints: The checkpoints trained on these, and those that were started from one of them.
    """

    attempt: IndexedAttempt
    verdicts: tuple[Verdict, ...]
    datasets: tuple[Dataset, ...]
    checkpoints: tuple[Checkpoint, ...]


@frozen(kw_only=True)
class GivenLineage:
    """Where a row went that is no attempt of the run, such as a demonstration.

    Args:
        row: The row, as it stands in a dataset; None if no file holds it any more.
        datasets: The datasets that contain it.
        checkpoints: The checkpoints trained on these, and those that were started from one of them.
    """

    row: Mapping[str, Any] | None
    datasets: tuple[Dataset, ...]
    checkpoints: tuple[Checkpoint, ...]


@frozen(kw_only=True)
class CheckpointLineage:
    """What a checkpoint is made of.

    Args:
        checkpoint: The checkpoint.
        ancestors: The checkpoints that it goes on from, nearest first.
        datasets: What it and its ancestors were trained on, its own first.
        attempts: The attempts in these datasets, each once.
        given: The ids of their rows that are no attempts, each once.
    """

    checkpoint: Checkpoint
    ancestors: tuple[Checkpoint, ...]
    datasets: tuple[Dataset, ...]
    attempts: tuple[IndexedAttempt, ...]
    given: tuple[str, ...]


@frozen(kw_only=True)
class Flip:
    """An attempt that a later verifier judges otherwise than the verdict of record (outcomes before and after)."""

    attempt: IndexedAttempt
    before: str
    after: str


@frozen(kw_only=True)
class Taint:
    """What rests on verdicts that a later verifier took back.

    Args:
        judged: How many attempts the later verifier has judged.
        flips: Those that it judges otherwise.
        datasets: Datasets that contain one of these, with their number.
        checkpoints: Checkpoints trained on these, and those that were started from one of them.
    """

    judged: int
    flips: tuple[Flip, ...]
    datasets: tuple[tuple[Dataset, int], ...]
    checkpoints: tuple[Checkpoint, ...]


def trace_row(index: RunIndex, row: AttemptKey | str) -> list[RowLineage]:
    """Return the lineage of a row.

    Args:
        index: Index of the run.
        row: Key of the attempt, or id of its trajectory, which several attempts share when their messages are the same.

    Raises:
        LedgerError: The run has no such row.
    """
    found = index.find(id=row) if isinstance(row, str) else index.find(**row.to_row())
    if not found:
        raise LedgerError(f"run {str(index.path)!r} has no row {row!s}")
    return [_trace(index, attempt) for attempt in found]


def trace_given(index: RunIndex, row: str) -> GivenLineage | None:
    """Return the lineage of a row that is no attempt of the run, or None if no dataset was given it.

    Args:
        index: Index of the run.
        row: Its id.
    """
    datasets = index.datasets(with_given=row)
    if not datasets:
        return None
    return GivenLineage(
        row=_row_in(index, datasets, row),
        datasets=tuple(datasets),
        checkpoints=tuple(_built_on(index, {dataset.hash for dataset in datasets})),
    )


def _row_in(index: RunIndex, datasets: list[Dataset], wanted: str) -> Mapping[str, Any] | None:
    for dataset in datasets:
        try:
            for _, row in jsonl.read_objects(index.path / dataset.path):
                if row.get("id") == wanted:
                    return row
        except RecordError:  # the file is gone, or was changed by hand
            continue
    return None


def _trace(index: RunIndex, attempt: IndexedAttempt) -> RowLineage:
    datasets = index.datasets(containing=attempt.line)
    return RowLineage(
        attempt=attempt,
        verdicts=tuple(index.verdicts(attempt.line)),
        datasets=tuple(datasets),
        checkpoints=tuple(_built_on(index, {dataset.hash for dataset in datasets})),
    )


def _built_on(index: RunIndex, hashes: set[str]) -> list[Checkpoint]:
    """Return the checkpoints trained on one of the datasets, and their descendants, oldest first."""
    built: dict[str, Checkpoint] = {}
    # Oldest first: a base stands before what goes on from it.
    for checkpoint in index.checkpoints():
        if checkpoint.dataset_hash in hashes or checkpoint.base in built:
            built[checkpoint.path] = checkpoint
    return list(built.values())


def trace_checkpoint(index: RunIndex, path: str, *, ancestors: bool = True) -> CheckpointLineage:
    """Return what a checkpoint is made of.

    Args:
        index: Index of the run.
        path: The checkpoint, as it was recorded.
        ancestors: Include what the checkpoints that it goes on from were trained on.

    Raises:
        LedgerError: The run wrote no such checkpoint.
    """
    known = {checkpoint.path: checkpoint for checkpoint in index.checkpoints()}
    if path not in known:
        raise LedgerError(
            f"run {str(index.path)!r} wrote no checkpoint {path!r}{did_you_mean(path, known)}",
            hint=f"it wrote: {', '.join(known) or 'none'}",
        )
    line = [known[path]]
    while ancestors and (base := known.get(line[-1].base or "")) is not None and base not in line:
        line.append(base)
    datasets: dict[str, Dataset] = {}
    attempts: dict[int, IndexedAttempt] = {}
    given: dict[str, None] = {}
    for checkpoint in line:
        if checkpoint.dataset_hash is None:
            continue
        datasets |= {d.hash: d for d in index.datasets() if d.hash == checkpoint.dataset_hash}
        for attempt in index.find(dataset=checkpoint.dataset_hash):
            attempts.setdefault(attempt.line, attempt)
        given |= dict.fromkeys(index.given(checkpoint.dataset_hash))
    return CheckpointLineage(
        checkpoint=line[0],
        ancestors=tuple(line[1:]),
        datasets=tuple(datasets.values()),
        attempts=tuple(attempts.values()),
        given=tuple(given),
    )


def trace_taint(index: RunIndex, *, verifier: str, version: str) -> Taint:
    """Return what a re-score changed: labels that flipped, and the datasets and checkpoints that rest on them.

    Args:
        index: Index of the run.
        verifier: Name of the verifier that judged again.
        version: Its version.

    Raises:
        LedgerError: It has judged nothing in this run.
    """
    judged = index.outcomes_by(verifier, version)
    if not judged:
        raise LedgerError(
            f"verifier {verifier!r} version {version!r} has judged nothing in run {str(index.path)!r}",
            hint="re-score the stored attempts with it first",
        )
    flips = [
        Flip(attempt=attempt, before=attempt.outcome, after=after)
        for attempt, after in judged
        if attempt.outcome != after
    ]
    # A failure that passes after all taints as well: only preferences hold failures, and there it was the rejected answer.
    counts = index.count_in_datasets(flip.attempt.line for flip in flips)
    datasets = [dataset for dataset in index.datasets() if dataset.hash in counts]
    return Taint(
        judged=len(judged),
        flips=tuple(flips),
        datasets=tuple((dataset, counts[dataset.hash]) for dataset in datasets),
        checkpoints=tuple(_built_on(index, set(counts))),
    )
