"""The ledger of a run: the one writer of its history."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import threading
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from orbiter.convert import unstructure
from orbiter.errors import ConfigError, LedgerError, LedgerWarning, RecordError, RunAccessError
from orbiter.ledger.attempt import KEY_FIELDS, Attempt, AttemptKey
from orbiter.ledger.decision import Decision, Fate
from orbiter.ledger.history import FILES, History
from orbiter.ledger.lines import encode
from orbiter.ledger.lock import RunLock
from orbiter.ledger.section import Section
from orbiter.ledger.state import FORMAT
from orbiter.records import Trajectory, Verdict

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""What the folder of a run may be called."""

_TASKS_PER_LINE = 1_000
_ROWS_PER_LINE = 10_000

P = ParamSpec("P")
T = TypeVar("T")


def _one_at_a_time(
    method: Callable[Concatenate[Ledger, P], T],
) -> Callable[Concatenate[Ledger, P], T]:
    @functools.wraps(method)
    def locked(self: Ledger, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._writing:
            return method(self, *args, **kwargs)

    return locked


class Ledger(History):
    """The durable account of a run; made by :meth:`open`.

        with Ledger.open(Path("runs/sorting")) as ledger:
            ledger.plan(1, "policy", [("sorting", "sorting:0")], samples=8)
            for key in ledger.pending(1, "policy"):
                ledger.add_attempts([Attempt(key=key, trajectory=answer(key))])

    Every ``add_`` call is one group: when it returns, its rows are on the disk. With ``commit_rows`` > 1, rows wait for
    company: they are written by the first call after so many rows or ``commit_s`` seconds, by any event, by reading, by
    :meth:`flush` and on closing; a crash loses the rows that wait, and they are pending again.

    A row that is recorded already is ignored when it is the same to the byte, and a LedgerError when it differs. A group is
    taken whole or not at all. Groups may come from several threads.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock: RunLock | None = None
        self._pid = os.getpid()
        self._commit_rows, self._commit_s = 1, 0.0
        self._waiting: dict[str, dict[Hashable, _Row]] = {name: {} for name in FILES}
        self._waiting_since = 0.0
        self._writing = threading.RLock()

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        create: bool = True,
        commit_rows: int = 1,
        commit_s: float = 0.05,
    ) -> Self:
        """Open the ledger in a run's folder, and repair what a killed writer left behind.

        Args:
            path: The folder; its name is the run's.
            create: Make it if there is none.
            commit_rows: Let so many rows come together before they are written.
            commit_s: But let none of them wait longer than this many seconds once another call is made.

        Raises:
            RunLockedError: Another process works on this run.
            RunAccessError: The folder cannot be made, read or written.
            LedgerError: There is no ledger, or a committed line is damaged.
        """
        if commit_rows < 1:
            raise ConfigError(f"commit_rows must be >= 1, got {commit_rows!r}")
        if not commit_s >= 0:
            raise ConfigError(f"commit_s must be >= 0, got {commit_s!r}")
        ledger = cls(Path(path))
        ledger._commit_rows, ledger._commit_s = commit_rows, commit_s
        try:
            ledger._take_folder(create=create)
            ledger._load(read_only=False)
            ledger._tell_repairs()
        except OSError as error:
            ledger._release()
            raise RunAccessError(f"run {str(path)!r} cannot be opened: {error}") from error
        except BaseException:
            ledger._release()
            raise
        return ledger

    def _take_folder(self, *, create: bool) -> None:
        marker = self.path / "rounds.jsonl"
        if not marker.exists() and create:
            _check_name(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
        if marker.exists() or create:
            self._lock = RunLock(self.path)
        if not marker.exists() and create:
            _make_files(self.path)

    def _tell_repairs(self) -> None:
        if not self._journals["rounds"]:
            self.add_event("ledger_created", format=FORMAT)
        torn = [(f"{name}.jsonl", j) for name, j in self._journals.items() if j.torn]
        for file, journal in torn:
            self.add_event("tail_cut", file=file, line=journal.torn_line, bytes=journal.torn)
        for file, journal in torn:
            warnings.warn(
                f"{file} of run {str(self.path)!r}: line {journal.torn_line} was cut off, since its "
                f"writer was killed in the middle of it ({journal.torn} bytes, never committed)",
                LedgerWarning,
                stacklevel=3,
            )

    def close(self) -> None:
        """Write what waits and let another process have the run."""
        try:
            if self._journals and self._pid == os.getpid():
                self.flush()
        finally:
            self._release()

    def _release(self) -> None:
        super()._release()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @_one_at_a_time
    def plan(
        self, round: int, engine: str, tasks: Sequence[tuple[str, str]], *, samples: int
    ) -> None:
        """Make it durable that every task is to be attempted ``samples`` times.

        The order of the tasks is the order in which :meth:`attempts` gives them back. Planning the same again changes
        nothing; planning more tasks or more samples adds to the plan, and nothing ever leaves it.

        Args:
            round: Round of the run.
            engine: What will generate them.
            tasks: Pairs of environment and task id.
            samples: Attempts per task; they are numbered from 0.
        """
        tasks = [(env, task_id) for env, task_id in tasks]
        if type(samples) is not int or samples < 1:
            raise ConfigError(f"samples must be an integer >= 1, got {samples!r}")
        for env, task_id in tasks:
            AttemptKey(round, engine, env, task_id, 0)
        if len(set(tasks)) < len(tasks):
            twice = next(task for i, task in enumerate(tasks) if task in tasks[:i])
            raise LedgerError(f"tasks of a plan must differ, got {twice!r} twice")
        grows = [
            task for task in tasks if self._state.planned_count(round, engine, *task) < samples
        ]
        rows = []
        for start in range(0, len(grows), _TASKS_PER_LINE):
            part = grows[start : start + _TASKS_PER_LINE]
            fields = {"round": round, "engine": engine, "samples": samples, "tasks": part}
            rows.append(_Row(_event_line("planned", fields), self._noting("planned")))
        self._commit_events(rows)
        self._state.plan(round, engine, grows, samples)

    @_one_at_a_time
    def add_attempts(self, attempts: Iterable[Attempt]) -> None:
        """Record attempts that were planned.

        Raises:
            LedgerError: One was not planned or is recorded already, or the disk refused; none of them is recorded.
        """
        rows: dict[Hashable, _Row] = {}
        for attempt in attempts:
            section, slot = self._find(attempt.key)
            self._take(
                "attempts",
                rows,
                identity=attempt.key,
                line=encode(attempt.to_row(), what=attempt.key),
                recorded=section.attempt_lines[slot],
                note=partial(
                    section.add_attempt,
                    slot,
                    error=attempt.error,
                    token_count=attempt.token_count,
                    cost=attempt.cost,
                ),
            )
        self._add("attempts", rows)

    @_one_at_a_time
    def add_verdicts(self, verdicts: Iterable[tuple[AttemptKey, Verdict]]) -> None:
        """Record verdicts on attempts.

        The first verdict on an attempt is its verdict of record, which the account counts. Another verifier, or another version
        of the same one, may judge it again: that is kept beside it.

        Raises:
            LedgerError: There is no such attempt, this version has judged it otherwise, or the disk refused; none of the
                verdicts is recorded.
        """
        rows: dict[Hashable, _Row] = {}
        for key, verdict in verdicts:
            section, slot = self._find(key, made=True)
            verifier = (verdict.verifier, verdict.version)
            row = verdict.to_row()
            for name in KEY_FIELDS:
                if name in row:
                    raise RecordError(
                        "must not be in a verdict's extra keys, since it names the attempt",
                        field=name,
                    )
            self._take(
                "verdicts",
                rows,
                identity=(key, verifier),
                line=encode(key.to_row() | row, what=key),
                recorded=section.verdict_line(slot, verifier),
                note=partial(
                    section.add_verdict,
                    slot,
                    verifier=verifier,
                    outcome=verdict.outcome,
                    reason=verdict.reason,
                ),
            )
        self._add("verdicts", rows)

    @_one_at_a_time
    def add_decisions(self, decisions: Iterable[tuple[AttemptKey, Decision]]) -> None:
        """Record what curation decided about attempts; the verifier of record is written beside it.

        Raises:
            LedgerError: There is no such attempt, it was decided otherwise, or the disk refused; none of the decisions
                is recorded.
        """
        rows: dict[Hashable, _Row] = {}
        for key, decided in decisions:
            section, slot = self._find(key, made=True)
            by = section.verifier_of_record(slot) or ("", "")
            row = self._decision_row(decided.decision, decided.reason, *by)
            self._take(
                "decisions",
                rows,
                identity=key,
                line=encode(key.to_row() | row, what=key),
                recorded=section.decision_lines[slot],
                note=partial(
                    section.add_decision, slot, decision=row["decision"], reason=decided.reason
                ),
            )
        self._add("decisions", rows)

    @staticmethod
    @functools.lru_cache(maxsize=1024)
    def _decision_row(decision: Fate, reason: str, verifier: str, version: str) -> dict[str, Any]:
        """Return what a line says after the key; a round has thousands of decisions and a handful of kinds."""
        row: dict[str, Any] = unstructure(Decision(decision, reason, verifier, version))
        return row

    def add_event(self, event: str, **fields: Any) -> None:
        """Record an event in rounds.jsonl, with the time; all rows that wait are written before it."""
        self._commit_events([_Row(_event_line(event, fields), self._noting(event))])

    def add_dataset(
        self, path: str | Path, rows: Iterable[Trajectory], *, round: int, **fields: Any
    ) -> str:
        """Record that a dataset was written, and of which attempts it is made; return the hash of its content.

        Args:
            path: The file, relative to the run's folder or absolute.
            rows: Its rows; those that are no attempts of this run are recorded by their id.
            round: Round that wrote it.
            fields: Anything else to keep with the event.
        """
        digest = _file_hash(self.path / path)
        last = self.last_event("dataset_written", path=str(path))
        if last is not None and last["hash"] == digest:
            return digest
        lines: list[int] = []
        others: list[str] = []
        for row in rows:
            if "engine" in row.extra and "attempt" in row.extra:
                section, slot = self._find(AttemptKey.of(row), made=True)
                lines.append(section.attempt_lines[slot])
            else:
                others.append(row.id)
        events: list[tuple[str, dict[str, Any]]] = []
        for name, items in (("attempts", lines), ("others", others)):
            for start in range(0, len(items), _ROWS_PER_LINE):
                part = {"dataset": digest, name: items[start : start + _ROWS_PER_LINE]}
                events.append(("dataset_rows", part))
        written = {"round": round, "path": str(path), "hash": digest}
        written |= {"attempts": len(lines), "others": len(others), **fields}
        # The event that makes the dataset count comes last, so that half a group is no dataset.
        events.append(("dataset_written", written))
        self._commit_events([_Row(_event_line(e, f), self._noting(e)) for e, f in events])
        return digest

    def add_checkpoint(
        self,
        path: str | Path,
        *,
        round: int,
        base: str | None,
        dataset: str | None,
        **fields: Any,
    ) -> None:
        """Record that a checkpoint was written.

        Args:
            path: The folder, relative to the run's folder or absolute.
            round: Round that trained it.
            base: The model or checkpoint that training started from; None if it was made from nothing.
            dataset: Path or hash of the recorded dataset that it was trained on; None if it was not trained.
            fields: Anything else to keep with the event.
        """
        digest = None
        if dataset is not None:
            known = [e for e in self.events("dataset_written") if dataset in (e["path"], e["hash"])]
            if not known:
                raise LedgerError(
                    f"dataset of a checkpoint must be recorded before it, got {dataset!r}",
                    hint="call add_dataset when the dataset is written",
                )
            digest = known[-1]["hash"]
        written = {"round": round, "path": str(path), "base": base, "dataset": digest, **fields}
        last = self.last_event("checkpoint_written", path=str(path))
        if last is not None and {name: last.get(name) for name in written} == written:
            return
        self.add_event("checkpoint_written", **written)

    @_one_at_a_time
    def flush(self) -> None:
        """Write the rows that wait.

        Raises:
            LedgerError: The disk refused. The rows that waited are not recorded: their attempts are pending again.
        """
        waiting = self._waiting
        if not any(waiting.values()):
            return
        self._check_writable()
        self._waiting = {name: {} for name in FILES}
        for name in FILES:
            self._commit(name, list(waiting[name].values()))

    def _settle(self) -> None:
        self.flush()

    def _find(self, key: AttemptKey, *, made: bool = False) -> tuple[Section, int]:
        found = self._state.find(key)
        if found is None:
            raise LedgerError(
                f"attempt must be planned before it is recorded, got {key}", hint="call plan first"
            )
        section, slot = found
        if made and not section.attempt_lines[slot] and key not in self._waiting["attempts"]:
            raise LedgerError(
                f"attempt must be recorded before it is judged or decided, got {key}",
                hint="call add_attempts first",
            )
        return section, slot

    def _take(
        self,
        name: str,
        rows: dict[Hashable, _Row],
        *,
        identity: Hashable,
        line: bytes,
        recorded: int,
        note: Callable[[int], None],
    ) -> None:
        """Put a line into a group, unless it is recorded already."""
        before: bytes | None
        if recorded:
            before = self._journals[name].line(recorded)
        else:
            other = rows.get(identity) or self._waiting[name].get(identity)
            before = other.line if other is not None else None
        if before is None:
            rows[identity] = _Row(line, note)
        elif before != line:
            what = identity[0] if isinstance(identity, tuple) else identity
            raise LedgerError(
                f"{name}.jsonl holds another row already of {what}",
                hint=f"every one is recorded once; the row there begins {before[:120]!r}",
            )

    def _add(self, name: str, rows: dict[Hashable, _Row]) -> None:
        self._check_writable()
        if not any(self._waiting.values()):
            self._waiting_since = monotonic()
        self._waiting[name].update(rows)
        count = sum(len(waiting) for waiting in self._waiting.values())
        waited = monotonic() - self._waiting_since
        if count >= self._commit_rows or waited >= self._commit_s:
            self.flush()

    @_one_at_a_time
    def _commit_events(self, rows: Sequence[_Row]) -> None:
        self._check_writable()
        self.flush()
        self._commit("rounds", rows)

    def _commit(self, name: str, rows: Sequence[_Row]) -> None:
        if rows:
            numbers = self._journals[name].append([row.line for row in rows])
            for row, number in zip(rows, numbers):
                row.note(number)

    def _noting(self, event: str) -> Callable[[int], None]:
        return lambda number: self._state.add_event(event, number)

    def _check_writable(self) -> None:
        if not self._journals:
            raise LedgerError(f"run {str(self.path)!r} is closed")
        if self._pid != os.getpid():
            raise LedgerError(
                f"run {str(self.path)!r} must be written by the process that opened it, {self._pid}, "
                f"got {os.getpid()}",
                hint="give results back to the parent process, and let it record them",
            )


class _Row:
    """A line on its way to the disk, and what to note once it is there."""

    __slots__ = ("line", "note")

    def __init__(self, line: bytes, note: Callable[[int], None]) -> None:
        self.line, self.note = line, note


def _event_line(event: str, fields: Mapping[str, Any]) -> bytes:
    for name in ("event", "time"):
        if name in fields:
            raise ConfigError(f"field {name!r} of an event is the ledger's own")
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return encode({"event": event, **unstructure(fields), "time": time}, what=f"event {event!r}")


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise LedgerError(f"dataset {str(path)!r} cannot be read: {error.strerror}") from error


def _check_name(path: Path) -> None:
    name = path.resolve().name
    if not RUN_NAME.fullmatch(name):
        raise ConfigError(
            f"name of a run must be 1 to 100 letters, digits, '_', '.' and '-', got {name!r}"
        )


def _make_files(path: Path) -> None:
    # rounds.jsonl comes last, so that its presence says that all are there.
    for name in reversed(FILES):
        (path / f"{name}.jsonl").touch()
    for folder in (path, path.resolve().parent):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
