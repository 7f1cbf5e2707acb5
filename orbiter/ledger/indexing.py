"""How the index of a run is made from its files, and caught up with them."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
from attrs import frozen

from orbiter.errors import DamagedRunError
from orbiter.ledger.attempt import AttemptKey
from orbiter.ledger.history import paths_of
from orbiter.ledger.lines import DecisionLine, EventLine, IndexedLine, VerdictLine, decode

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


def open_index(path: Path) -> sqlite3.Connection:
    """Return the index of the run in a folder, caught up; in memory if the folder cannot be written."""
    file = path / "index.sqlite"
    try:
        return _open(str(file), path)
    except sqlite3.OperationalError:  # the folder is read-only, or its file system has no locks
        return _open(":memory:", path)
    except sqlite3.DatabaseError:  # not a database, or a damaged one
        remove_index(path)
        return _open(str(file), path)


def _open(target: str, path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(target, timeout=60, isolation_level=None)
    try:
        catch_up(db, path)
    except BaseException:
        db.close()
        raise
    return db


def remove_index(path: Path) -> None:
    """Delete the index of a run; the next one is made from nothing."""
    # A journal left by a killed process would be played back into the next index of the same name.
    for name in ("index.sqlite", "index.sqlite-journal"):
        (path / name).unlink(missing_ok=True)


def catch_up(db: sqlite3.Connection, path: Path) -> None:
    """Take in what the files have gained since; begin anew if they are not those that were indexed."""
    _Indexing(db, path, paths_of(path)).catch_up()


@frozen
class _Indexing:
    """One taking-in of a run's files; ``files`` are their names in messages."""

    db: sqlite3.Connection
    path: Path
    files: dict[str, str]

    def catch_up(self) -> None:
        # Lines lean to the left in this order, and a run may be going on: sizes are taken from the right.
        names = ("rounds", "attempts", "verdicts", "decisions")
        sizes = {name: (self.path / f"{name}.jsonl").stat().st_size for name in reversed(names)}
        self.db.execute("BEGIN IMMEDIATE")
        try:
            (version,) = self.db.execute("PRAGMA user_version").fetchone()
            if version != _SCHEMA_VERSION or not all(self._is_prefix(name) for name in names):
                self._begin_anew()
            for name in ("attempts", "verdicts", "decisions", "rounds"):
                self._take_in(name, sizes[name])
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def _begin_anew(self) -> None:
        tables = self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            self.db.execute(f'DROP TABLE "{name}"')
        for statement in _SCHEMA.split(";"):
            self.db.execute(statement)
        self.db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    def _is_prefix(self, name: str) -> bool:
        """Return whether the last line that was indexed still stands where it stood."""
        row = self.db.execute(
            "SELECT bytes, last_start, last_hash FROM files WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            return True
        end, start, digest = row
        with (self.path / f"{name}.jsonl").open("rb") as file:
            file.seek(start)
            return _hash(file.read(end - start)) == bytes(digest)

    def _take_in(self, name: str, size: int) -> None:
        row = self.db.execute("SELECT bytes, lines FROM files WHERE name = ?", (name,)).fetchone()
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
            self.db.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                (name, end, number, last[0], _hash(last[1])),
            )

    def _insert_attempts(self, line: bytes, number: int) -> None:
        row = decode(line, IndexedLine, source=self.files["attempts"], number=number)
        outcome, reason = (
            ("pending", None) if row.error is None else ("invalid", f"no answer: {row.error}")
        )
        self.db.execute(
            f"INSERT INTO attempts VALUES ({', '.join('?' * 20)})",  # noqa: S608  # question marks alone
            (
                number, row.round, row.engine, row.env, row.task_id, row.attempt,
                row.id, row.generator, row.model, None if row.seed is None else str(row.seed),
                row.finish_reason, row.token_count, row.error, outcome, None, reason, None, None, None, None,
            ),
        )  # fmt: skip

    def _insert_verdicts(self, line: bytes, number: int) -> None:
        row = decode(line, VerdictLine, source=self.files["verdicts"], number=number)
        attempt = self._line_of(row.key)
        said = (row.outcome.value, row.score, row.reason, row.verifier, row.version)
        self.db.execute(
            "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)", (number, attempt, *said)
        )
        self.db.execute(
            "UPDATE attempts SET outcome = ?, score = ?, reason = ?, verifier = ?, version = ?"
            " WHERE line = ? AND verifier IS NULL",
            (*said, attempt),
        )

    def _insert_decisions(self, line: bytes, number: int) -> None:
        row = decode(line, DecisionLine, source=self.files["decisions"], number=number)
        self.db.execute(
            "UPDATE attempts SET decision = ?, decision_reason = ? WHERE line = ?",
            (row.decision, row.reason, self._line_of(row.key)),
        )

    def _insert_rounds(self, line: bytes, number: int) -> None:
        event = decode(line, EventLine, source=self.files["rounds"], number=number).event
        if event not in ("dataset_rows", "dataset_written", "checkpoint_written"):
            return
        row: dict[str, Any] = msgspec.json.decode(line)
        if event == "dataset_rows":
            for table, items in (
                ("rows", row.get("attempts", ())),
                ("others", row.get("others", ())),
            ):
                self.db.executemany(
                    f"INSERT OR IGNORE INTO dataset_{table} VALUES (?, ?)",  # noqa: S608  # two fixed words
                    [(row["dataset"], item) for item in items],
                )
        elif event == "dataset_written":
            self.db.execute(
                "INSERT INTO datasets VALUES (?, ?, ?, ?, ?, ?)",
                (number, row["round"], row["path"], row["hash"], row["attempts"], row["others"]),
            )
        else:
            self.db.execute(
                "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?)",
                (number, row["round"], row["path"], row["base"], row["dataset"]),
            )

    def _line_of(self, key: AttemptKey) -> int:
        row = self.db.execute(
            "SELECT line FROM attempts WHERE round = ? AND engine = ? AND env = ? AND task_id = ? AND attempt = ?",
            (key.round, key.engine, key.env, key.task_id, key.attempt),
        ).fetchone()
        if row is None:
            raise DamagedRunError(
                f"the files of run {str(self.path)!r} do not belong together: no attempt {key}"
            )
        return int(row[0])


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
