"""A SQLite index beside the ledger: answers questions across rounds without reading every line.

Nothing lives only in it. It is caught up with the JSONL files whenever it is opened, and made again from nothing when it
does not fit them, so it may be deleted at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from attrs import frozen

from orbiter.errors import ConfigError, LedgerError, did_you_mean
from orbiter.ledger.attempt import AttemptKey
from orbiter.ledger.indexing import catch_up, open_index, remove_index
from orbiter.records import Outcome, Verdict

_FILTERS = (
    "round", "engine", "env", "task_id", "attempt", "id", "generator", "model", "seed", "finish_reason",
    "outcome", "reason", "verifier", "version", "decision", "decision_reason", "dataset", "checkpoint",
)  # fmt: skip


@frozen(kw_only=True)
class IndexedAttempt:
    """What the index knows of an attempt; its messages are in line ``line`` of attempts.jsonl.

    Args:
        key: Its name.
        line: Its line, counted from 1.
        id: Id of its trajectory; two attempts with the same messages have the same.
        outcome: ``pass``, ``fail``, ``invalid`` or ``pending``, by the verdict of record.
        decision: What curation decided, or None.
    """

    key: AttemptKey
    line: int
    id: str
    generator: str | None
    model: str | None
    seed: int | None
    finish_reason: str
    token_count: int
    error: str | None
    outcome: str
    score: float | None
    reason: str | None
    verifier: str | None
    version: str | None
    decision: str | None
    decision_reason: str | None


@frozen(kw_only=True)
class Dataset:
    """A dataset that was written: ``attempts`` rows are attempts of the run, ``others`` are not."""

    path: str
    hash: str
    round: int
    attempts: int
    others: int


@frozen(kw_only=True)
class Checkpoint:
    """A checkpoint that was written: what it was started from and which dataset it was trained on (path and hash)."""

    path: str
    round: int
    base: str | None
    dataset: str | None
    dataset_hash: str | None


class RunIndex:
    """The index of one run, caught up with its files on opening.

        with RunIndex(Path("runs/sorting")) as index:
            lost = index.find(env="sorting", outcome="invalid")

    Safe to use while the run is going on. If the folder cannot be written, the index is built in memory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "rounds.jsonl").exists():
            raise LedgerError(f"folder {str(self.path)!r} holds no run")
        self._db = open_index(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the database."""
        self._db.close()

    def catch_up(self) -> None:
        """Take in what the files have gained since."""
        catch_up(self._db, self.path)

    def find(self, *, limit: int | None = None, **where: Any) -> list[IndexedAttempt]:
        """Return the attempts that fit, ordered by round, engine, env and line.

        Args:
            limit: At most so many.
            where: ``round``, ``engine``, ``env``, ``task_id``, ``attempt``, ``id``, ``generator``, ``model``, ``seed``,
                ``finish_reason``, ``outcome``, ``reason``, ``verifier``, ``version``, ``decision``, ``decision_reason``,
                ``dataset`` (path or hash of one that contains it) or ``checkpoint`` (path of one trained on it).
        """
        condition, values = _condition(where)
        rows = self._db.execute(
            f"SELECT * FROM attempts WHERE {condition} ORDER BY round, engine, env, line LIMIT ?",  # noqa: S608
            (*values, -1 if limit is None else limit),
        )
        return [_indexed(row) for row in rows]

    def count(self, *by: str, **where: Any) -> dict[tuple[Any, ...], int]:
        """Return how many attempts there are, by the values of columns.

            index.count("env", "outcome", round=3)  # {("sorting", "pass"): 412, ...}

        Args:
            by: Columns, of those that :meth:`find` takes but ``dataset`` and ``checkpoint``.
            where: As for :meth:`find`.
        """
        for name in by:
            _check_filter(name, _FILTERS[:-2])
        condition, values = _condition(where)
        columns = ", ".join(by) or "NULL"
        rows = self._db.execute(
            f"SELECT {columns}, COUNT(*) FROM attempts WHERE {condition} GROUP BY {columns}",  # noqa: S608
            values,
        )
        return {tuple(row[: len(by)]): row[-1] for row in rows}

    def verdicts(self, line: int) -> list[Verdict]:
        """Return every verdict on the attempt in a line, oldest first; step scores and details stay in the file."""
        rows = self._db.execute(
            "SELECT outcome, score, reason, verifier, version FROM verdicts WHERE attempt = ? ORDER BY line",
            (line,),
        )
        return [Verdict(Outcome(outcome), *said) for outcome, *said in rows]

    def outcomes_by(self, verifier: str, version: str) -> list[tuple[IndexedAttempt, str]]:
        """Return the attempts that a version of a verifier has judged, with its outcome."""
        rows = self._db.execute(
            "SELECT attempts.*, verdicts.outcome FROM verdicts JOIN attempts ON attempts.line = verdicts.attempt"
            " WHERE verdicts.verifier = ? AND verdicts.version = ? ORDER BY attempts.line",
            (verifier, version),
        )
        return [(_indexed(row[:-1]), row[-1]) for row in rows]

    def count_in_datasets(self, lines: Iterable[int]) -> dict[str, int]:
        """Return how many of these attempts each dataset contains, by the dataset's hash."""
        counts: Counter[str] = Counter()
        for line in lines:
            rows = self._db.execute("SELECT dataset FROM dataset_rows WHERE attempt = ?", (line,))
            counts.update(dataset for (dataset,) in rows)
        return dict(counts)

    def datasets(
        self, *, containing: int | None = None, with_given: str | None = None
    ) -> list[Dataset]:
        """Return the datasets, oldest first.

        Args:
            containing: Only those that contain the attempt in this line.
            with_given: Only those that contain a row with this id that is no attempt.
        """
        rows = self._db.execute(
            "SELECT path, hash, round, attempts, others FROM datasets WHERE"
            " (:attempt IS NULL OR hash IN (SELECT dataset FROM dataset_rows WHERE attempt = :attempt))"
            " AND (:given IS NULL OR hash IN (SELECT dataset FROM dataset_others WHERE id = :given)) ORDER BY line",
            {"attempt": containing, "given": with_given},
        )
        names = ("path", "hash", "round", "attempts", "others")
        return [Dataset(**dict(zip(names, row))) for row in rows]

    def given(self, dataset: str) -> list[str]:
        """Return the ids of the rows of a dataset, named by its hash, that are no attempts, such as demonstrations."""
        rows = self._db.execute(
            "SELECT id FROM dataset_others WHERE dataset = ? ORDER BY id", (dataset,)
        )
        return [row for (row,) in rows]

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints, oldest first; of one that was written again, the newest."""
        rows = self._db.execute(
            "SELECT path, round, base, dataset,"
            " (SELECT path FROM datasets WHERE hash = checkpoints.dataset ORDER BY line DESC LIMIT 1)"
            " FROM checkpoints WHERE line IN (SELECT MAX(line) FROM checkpoints GROUP BY path) ORDER BY line"
        )
        return [
            Checkpoint(path=path, round=number, base=base, dataset_hash=digest, dataset=dataset)
            for path, number, base, digest, dataset in rows
        ]


def rebuild_index(path: str | Path) -> None:
    """Make the index of a run again from its JSONL files."""
    remove_index(Path(path))
    RunIndex(path).close()


def _condition(where: dict[str, Any]) -> tuple[str, list[Any]]:
    parts, values = ["1"], []
    for name, value in where.items():
        _check_filter(name, _FILTERS)
        if name == "dataset":
            parts.append(
                "line IN (SELECT attempt FROM dataset_rows WHERE dataset IN"
                " (SELECT hash FROM datasets WHERE path = ? OR hash = ?))"
            )
            values += [value, value]
        elif name == "checkpoint":
            parts.append(
                "line IN (SELECT attempt FROM dataset_rows WHERE dataset IN"
                " (SELECT dataset FROM checkpoints WHERE path = ?))"
            )
            values.append(value)
        else:
            parts.append(f"{name} IS ?")
            values.append(str(value) if name == "seed" else value)
    return " AND ".join(parts), values


def _check_filter(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ConfigError(
            f"column must be one of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}"
        )


def _indexed(row: Sequence[Any]) -> IndexedAttempt:
    line, number, engine, env, task_id, attempt, *rest = row
    names = (
        "id", "generator", "model", "seed", "finish_reason", "token_count", "error",
        "outcome", "score", "reason", "verifier", "version", "decision", "decision_reason",
    )  # fmt: skip
    fields = dict(zip(names, rest))
    fields["seed"] = None if fields["seed"] is None else int(fields["seed"])
    key = AttemptKey(number, engine, env, task_id, attempt)
    return IndexedAttempt(key=key, line=line, **fields)
