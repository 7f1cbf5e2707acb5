"""A SQLite index beside the ledger: answers questions across rounds without reading every line.

Nothing lives only in it. It is caught up with the JSONL files whenever it is opened, and made again from nothing when it
does not fit them, so it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
from attrs import frozen

from orbiter.errors import ConfigError, DamagedRunError, LedgerError, did_you_mean
from orbiter.ledger.attempt import AttemptKey
from orbiter.ledger.history import paths_of
from orbiter.ledger.lines import DecisionLine, EventLine, IndexedLine, VerdictLine, decode
from orbiter.records import Outcome, Verdict

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE files (name TEXT PRIMARY KEY, bytes INT, lines INT, last_start INT, last_hash BLOB);
CREATE TABLE attempts (
    line INTEGER PRIMARY KEY, round INT, engine TEXT, env TEXT, task_id TEXT, attempt INT,
    id TEXT, generator TEXT, model TEXT, seed TEXT, finish_reason TEXT, token_count INT, error TEXT,
    outcome TEXT, score REAL, reason TEXT, verifier TEXT, version TEXT,
    decision TEXT, decision_reason TEXT,
    UNIQUE (round, engine, env, task_id, attempt));
CREATE INDEX attempts_id ON attempts (id);
CREATE INDEX attempts_env ON attempts (env, outcome);
CREATE INDEX attempts_model ON attempts (model);
CREATE TABLE verdicts (
    line INTEGER PRIMARY KEY, attempt INT, outcome TEXT, score REAL, reason TEXT, verifier TEXT, version TEXT);
CREATE INDEX verdicts_attempt ON verdicts (attempt);
CREATE INDEX verdicts_verifier ON verdicts (verifier, version);
CREATE TABLE datasets (line INTEGER PRIMARY KEY, round INT, path TEXT, hash TEXT, attempts INT, others INT);
CREATE TABLE dataset_rows (dataset TEXT, attempt INT, PRIMARY KEY (dataset, attempt)) WITHOUT ROWID;
CREATE INDEX dataset_rows_attempt ON dataset_rows (attempt);
CREATE TABLE dataset_others (dataset TEXT, id TEXT, PRIMARY KEY (dataset, id)) WITHOUT ROWID;
CREATE INDEX dataset_others_id ON dataset_others (id);
CREATE TABLE checkpoints (line INTEGER PRIMARY KEY, round INT, path TEXT, base TEXT, dataset TEXT);
"""
"""``attempts.outcome`` is that of the verdict of record, or ``pending``; ``attempt`` elsewhere is a line of attempts.jsonl.
``seed`` is text, since it may have more than 63 bits."""

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
        self._files = paths_of(self.path)
        if not (self.path / "rounds.jsonl").exists():
            raise LedgerError(f"folder {str(self.path)!r} holds no run")
        file = self.path / "index.sqlite"
        try:
            self._open(str(file))
        except sqlite3.OperationalError:  # the folder is read-only, or its file system has no locks
            self._open(":memory:")
        except sqlite3.DatabaseError:  # not a database, or a damaged one
            _remove(self.path)
            self._open(str(file))

    def _open(self, target: str) -> None:
        self._db = sqlite3.connect(target, timeout=60, isolation_level=None)
        try:
            self.catch_up()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the database."""
        self._db.close()

    def catch_up(self) -> None:
        """Take in what the files have gained since; begin anew if they are not those that were indexed."""
        # Lines lean to the left in this order, and a run may be going on: sizes are taken from the right.
        names = ("rounds", "attempts", "verdicts", "decisions")
        sizes = {name: (self.path / f"{name}.jsonl").stat().st_size for name in reversed(names)}
        self._db.execute("BEGIN IMMEDIATE")
        try:
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version != _SCHEMA_VERSION or not all(self._is_prefix(name) for name in names):
                self._begin_anew()
            for name in ("attempts", "verdicts", "decisions", "rounds"):
                self._take_in(name, sizes[name])
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _begin_anew(self) -> None:
        tables = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            self._db.execute(f'DROP TABLE "{name}"')
        for statement in _SCHEMA.split(";"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    def _is_prefix(self, name: str) -> bool:
        """Return whether the last line that was indexed still stands where it stood."""
        row = self._db.execute(
            "SELECT bytes, last_start, last_hash FROM files WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            return True
        end, start, digest = row
        with (self.path / f"{name}.jsonl").open("rb") as file:
            file.seek(start)
            return _hash(file.read(end - start)) == bytes(digest)

    def _take_in(self, name: str, size: int) -> None:
        row = self._db.execute("SELECT bytes, lines FROM files WHERE name = ?", (name,)).fetchone()
        end, number = row or (0, 0)
        last: tuple[int, bytes] | None = None
        insert = getattr(self, f"_insert_{name}")
        with (self.path / f"{name}.jsonl").open("rb") as file:
            file.seek(end)
            for line in file:
                if not line.endswith(b"\n") or end + len(line) > size:
                    break
                number += 1
                insert(line, number)
                last = (end, line)
                end += len(line)
        if last is not None:
            self._db.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                (name, end, number, last[0], _hash(last[1])),
            )

    def _insert_attempts(self, line: bytes, number: int) -> None:
        row = decode(line, IndexedLine, source=self._files["attempts"], number=number)
        outcome, reason = (
            ("pending", None) if row.error is None else ("invalid", f"no answer: {row.error}")
        )
        self._db.execute(
            f"INSERT INTO attempts VALUES ({', '.join('?' * 20)})",  # noqa: S608  # question marks alone
            (
                number, row.round, row.engine, row.env, row.task_id, row.attempt,
                row.id, row.generator, row.model, None if row.seed is None else str(row.seed),
                row.finish_reason, row.token_count, row.error, outcome, None, reason, None, None, None, None,
            ),
        )  # fmt: skip

    def _insert_verdicts(self, line: bytes, number: int) -> None:
        row = decode(line, VerdictLine, source=self._files["verdicts"], number=number)
        attempt = self._line_of(row.key)
        said = (row.outcome.value, row.score, row.reason, row.verifier, row.version)
        self._db.execute(
            "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)", (number, attempt, *said)
        )
        self._db.execute(
            "UPDATE attempts SET outcome = ?, score = ?, reason = ?, verifier = ?, version = ?"
            " WHERE line = ? AND verifier IS NULL",
            (*said, attempt),
        )

    def _insert_decisions(self, line: bytes, number: int) -> None:
        row = decode(line, DecisionLine, source=self._files["decisions"], number=number)
        self._db.execute(
            "UPDATE attempts SET decision = ?, decision_reason = ? WHERE line = ?",
            (row.decision, row.reason, self._line_of(row.key)),
        )

    def _insert_rounds(self, line: bytes, number: int) -> None:
        event = decode(line, EventLine, source=self._files["rounds"], number=number).event
        if event not in ("dataset_rows", "dataset_written", "checkpoint_written"):
            return
        row: dict[str, Any] = msgspec.json.decode(line)
        if event == "dataset_rows":
            for table, items in (
                ("rows", row.get("attempts", ())),
                ("others", row.get("others", ())),
            ):
                self._db.executemany(
                    f"INSERT OR IGNORE INTO dataset_{table} VALUES (?, ?)",  # noqa: S608  # two fixed words
                    [(row["dataset"], item) for item in items],
                )
        elif event == "dataset_written":
            self._db.execute(
                "INSERT INTO datasets VALUES (?, ?, ?, ?, ?, ?)",
                (number, row["round"], row["path"], row["hash"], row["attempts"], row["others"]),
            )
        else:
            self._db.execute(
                "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?)",
                (number, row["round"], row["path"], row["base"], row["dataset"]),
            )

    def _line_of(self, key: AttemptKey) -> int:
        row = self._db.execute(
            "SELECT line FROM attempts WHERE round = ? AND engine = ? AND env = ? AND task_id = ? AND attempt = ?",
            (key.round, key.engine, key.env, key.task_id, key.attempt),
        ).fetchone()
        if row is None:
            raise DamagedRunError(
                f"the files of run {str(self.path)!r} do not belong together: no attempt {key}"
            )
        return int(row[0])

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

    def datasets(self, *, containing: int | None = None) -> list[Dataset]:
        """Return the datasets, oldest first.

        Args:
            containing: Only those that contain the attempt in this line.
        """
        rows = self._db.execute(
            "SELECT path, hash, round, attempts, others FROM datasets WHERE :attempt IS NULL"
            " OR hash IN (SELECT dataset FROM dataset_rows WHERE attempt = :attempt) ORDER BY line",
            {"attempt": containing},
        )
        names = ("path", "hash", "round", "attempts", "others")
        return [Dataset(**dict(zip(names, row))) for row in rows]

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
    _remove(Path(path))
    RunIndex(path).close()


def _remove(path: Path) -> None:
    # A journal left by a killed process would be played back into the next index of the same name.
    for name in ("index.sqlite", "index.sqlite-journal"):
        (path / name).unlink(missing_ok=True)


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


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
