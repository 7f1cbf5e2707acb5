"""The ledger of a run: the one writer of its history."""

from __future__ import annotations

import functools
import hashlib
import os
import warnings
from collections.abc import Hashable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from orbiter.convert import unstructure
from orbiter.errors import ConfigError, LedgerError, LedgerWarning, RecordError, RunAccessError
from orbiter.ledger.attempt import KEY_FIELDS, Attempt, AttemptKey
from orbiter.ledger.decision import Decision, Fate
from orbiter.ledger.folder import check_name, make_files
from orbiter.ledger.groups import GroupWriter, Row, event_line, one_at_a_time
from orbiter.ledger.lines import encode
from orbiter.ledger.lock import RunLock
from orbiter.ledger.section import Section
from orbiter.ledger.state import FORMAT
from orbiter.records import Trajectory, Verdict

_TASKS_PER_LINE = 1_000
_ROWS_PER_LINE = 10_000


class Ledger(GroupWriter):
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
            check_name(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
        if marker.exists() or create:
            self._lock = RunLock(self.path)
        if not marker.exists() and create:
            make_files(self.path)

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

    @one_at_a_time
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
            rows.append(Row(event_line("planned", fields), self._noting("planned")))
        self._commit_events(rows)
        self._state.plan(round, engine, grows, samples)

    @one_at_a_time
    def add_attempts(self, attempts: Iterable[Attempt]) -> None:
        """Record attempts that were planned.

        Raises:
            LedgerError: One was not planned or is recorded already, or the disk refused; none of them is recorded.
        """
        rows: dict[Hashable, Row] = {}
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
                    sample_count=attempt.sample_count,
                ),
            )
        self._add("attempts", rows)

    @one_at_a_time
    def add_verdicts(self, verdicts: Iterable[tuple[AttemptKey, Verdict]]) -> None:
        """Record verdicts on attempts.

        The first verdict on an attempt is its verdict of record, which the account counts. Another verifier, or another version
        of the same one, may judge it again: that is kept beside it.

        Raises:
            LedgerError: There is no such attempt, this version has judged it otherwise, or the disk refused; none of the
                verdicts is recorded.
        """
        rows: dict[Hashable, Row] = {}
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

    @one_at_a_time
    def add_decisions(self, decisions: Iterable[tuple[AttemptKey, Decision]]) -> None:
        """Record what curation decided about attempts; the verifier of record is written beside it.

        Raises:
            LedgerError: There is no such attempt, it was decided otherwise, or the disk refused; none of the decisions
                is recorded.
        """
        rows: dict[Hashable, Row] = {}
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
        self._commit_events([Row(event_line(event, fields), self._noting(event))])

    def add_dataset(
        self,
        path: str | Path,
        rows: Iterable[Trajectory | AttemptKey],
        *,
        round: int,
        **fields: Any,
    ) -> str:
        """Record that a dataset was written, and of which attempts it is made; return the hash of its content.

        Args:
            path: The file, relative to the run's folder or absolute.
            rows: Its rows, or the attempts that they are made of; those that are no attempts of this run are recorded by their id.
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
            if isinstance(row, Trajectory) and not {"engine", "attempt"} <= row.extra.keys():
                others.append(row.id)
                continue
            key = row if isinstance(row, AttemptKey) else AttemptKey.of(row)
            section, slot = self._find(key, made=True)
            lines.append(section.attempt_lines[slot])
        events: list[tuple[str, dict[str, Any]]] = []
        for name, items in (("attempts", lines), ("others", others)):
            for start in range(0, len(items), _ROWS_PER_LINE):
                part = {"dataset": digest, name: items[start : start + _ROWS_PER_LINE]}
                events.append(("dataset_rows", part))
        written = {"round": round, "path": str(path), "hash": digest}
        written |= {"attempts": len(lines), "others": len(others), **fields}
        # The event that makes the dataset count comes last, so that half a group is no dataset.
        events.append(("dataset_written", written))
        self._commit_events([Row(event_line(e, f), self._noting(e)) for e, f in events])
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


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise LedgerError(f"dataset {str(path)!r} cannot be read: {error.strerror}") from error
