"""Verdicts by what they depend on: the verifier and its version, the task, and what was answered."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from orbiter.convert import unstructure
from orbiter.errors import ConfigError, OrbiterError, OrbiterWarning
from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.verify.pool.transport import read_verdict
from orbiter.verify.verifier import Verifier

_AT_ONCE = 500


class VerdictCache:
    """Remembers passes and fails, never an invalid verdict; safe to be used by several threads.

    Args:
        size: Verdicts kept in memory; the one that was not asked for the longest goes first.
        path: A SQLite file that keeps them all, for other runs too; None for none.

    Raises:
        ConfigError: The file cannot be opened, or is something else.
    """

    def __init__(self, *, size: int = 10_000, path: str | Path | None = None) -> None:
        self._size = size
        self._memory: OrderedDict[bytes, Verdict] = OrderedDict()
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        if path is not None:
            self._open(Path(path))

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=60, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, row BLOB) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"cache {str(path)!r} cannot be used: {error}", hint="give another file"
            ) from None

    def get(self, verifier: Verifier, keys: Iterable[bytes | None]) -> dict[bytes, Verdict]:
        """Return the verdicts of ``verifier`` that are known, by key."""
        wanted = [key for key in dict.fromkeys(keys) if key is not None]
        with self._lock:
            found = {key: self._memory[key] for key in wanted if key in self._memory}
            for key in found:
                self._memory.move_to_end(key)
            missing = [key for key in wanted if key not in found]
            for key, data in self._load(missing):
                try:
                    verdict = read_verdict(data, verifier=verifier.name, version=verifier.version)
                except OrbiterError:
                    continue  # damaged: it is judged again
                found[key] = verdict
                self._keep(key, verdict)
        return found

    def put(self, verdicts: Iterable[tuple[bytes | None, Verdict]]) -> None:
        """Remember verdicts; those without a key, and the invalid ones, are passed over."""
        sound = [(k, v) for k, v in verdicts if k is not None and v.outcome is not Outcome.INVALID]
        with self._lock:
            for key, verdict in sound:
                self._keep(key, verdict)
            self._save(sound)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _keep(self, key: bytes, verdict: Verdict) -> None:
        self._memory[key] = verdict
        self._memory.move_to_end(key)
        while len(self._memory) > self._size:
            self._memory.popitem(last=False)

    def _load(self, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        rows: list[tuple[bytes, bytes]] = []
        for start in range(0, len(keys), _AT_ONCE) if self._db is not None else ():
            part = keys[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(part))
            try:
                rows += self._db.execute(  # type: ignore[union-attr]
                    f"SELECT key, row FROM verdicts WHERE key IN ({marks})",  # noqa: S608  # question marks alone
                    part,
                )
            except sqlite3.Error as error:
                self._give_up(error)
                break
        return rows

    def _save(self, verdicts: Sequence[tuple[bytes, Verdict]]) -> None:
        if self._db is None or not verdicts:
            return
        rows = [(key, orjson.dumps(verdict.to_row())) for key, verdict in verdicts]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        """Go on without the file: a cache must not stop what it serves."""
        if self._db is not None:
            self._db.close()
            self._db = None
        # Last, since a warning may be an error: whoever then gives up must not meet the file again.
        warnings.warn(f"cache of verdicts is switched off: {error}", OrbiterWarning, stacklevel=4)


def verdict_keys(
    verifier: Verifier, pairs: Sequence[tuple[Task, Trajectory]]
) -> list[bytes | None]:
    """Return what each verdict depends on, as 16 bytes; None where the task holds what JSON cannot."""
    stamp = orjson.dumps([verifier.name, verifier.version])
    tasks: dict[int, bytes | None] = {}
    keys = []
    for task, trajectory in pairs:
        if id(task) not in tasks:
            tasks[id(task)] = _digest(task)
        size = trajectory.prompt_size
        answer = [trajectory.messages, -1 if size is None else size, trajectory.tools]
        asked, answered = tasks[id(task)], _digest(answer)
        whole = None if asked is None or answered is None else stamp + asked + answered
        keys.append(whole and hashlib.blake2b(whole, digest_size=16).digest())
    return keys


def _digest(value: object) -> bytes | None:
    try:
        plain = unstructure(value)
        data = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    except (TypeError, OrbiterError):
        return None
    if b"null" in data:
        from orbiter.jsonl.faults import fault_of_value  # with numpy, which few workers need

        if fault_of_value(plain):  # NaN, say, of which the same is made as of None
            return None
    return hashlib.blake2b(data, digest_size=16).digest()
