"""The history of a run, for looking at: what its files say, without touching them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import orjson

from orbiter.errors import DamagedRunError, LedgerError, RunAccessError
from orbiter.ledger.account import Account
from orbiter.ledger.attempt import KEY_FIELDS, Attempt, AttemptKey
from orbiter.ledger.decision import Decision
from orbiter.ledger.journal import Journal
from orbiter.ledger.lines import damaged
from orbiter.ledger.section import Section
from orbiter.ledger.state import State
from orbiter.records import Verdict

FILES = ("rounds", "attempts", "verdicts", "decisions")
"""The files of a run, in the order in which they lean on each other: a line names only what stands to its left."""


def paths_of(path: Path) -> dict[str, str]:
    """Return the path of each file of a run by its name, as messages say it."""
    return {name: str(path / f"{name}.jsonl") for name in FILES}


class History:
    """What happened in a run so far; made by :meth:`open`, which takes no lock, so that a run may be going on.

    with History.open("runs/sorting") as history:
        print(history.account(round=3))
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journals: dict[str, Journal] = {}
        self._files = paths_of(path)
        self._state = State(self._files)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read what the run's folder holds at this moment.

        Raises:
            LedgerError: The folder holds no run.
            DamagedRunError: A committed line or a file is damaged or missing.
            RunAccessError: The folder cannot be read.
        """
        history = cls(Path(path))
        try:
            history._load(read_only=True)
        except OSError as error:
            history._release()
            raise RunAccessError(f"run {str(path)!r} cannot be read: {error}") from error
        except BaseException:
            history._release()
            raise
        return history

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files."""
        self._release()

    def _release(self) -> None:
        for journal in self._journals.values():
            journal.close()
        self._journals = {}

    def _load(self, *, read_only: bool) -> None:
        files = {name: self.path / f"{name}.jsonl" for name in FILES}
        if not files["rounds"].exists():
            raise LedgerError(f"folder {str(self.path)!r} holds no run")
        for name, file in files.items():
            if not file.exists():
                raise DamagedRunError(
                    f"{name}.jsonl of run {str(self.path)!r} is missing",
                    hint="restore it from a copy",
                )
        limits: dict[str, int | None] = dict.fromkeys(FILES)
        if read_only:
            # Lines lean to the left, so sizes are taken from the right: what is read then has all that it leans on.
            limits = {name: files[name].stat().st_size for name in reversed(FILES)}
        for name, file in files.items():
            journal = Journal(file, read_only=read_only, limit=limits[name])
            self._journals[name] = journal
            for number, line in enumerate(journal.recover(), start=1):
                self._state.load(name, line, number)

    def _settle(self) -> None:
        """Bring the files up to date before they are read; there is nothing to do where nothing is written."""

    def attempts(self, round: int | None = None, engine: str | None = None) -> Iterator[Attempt]:
        """Yield the attempts that were made, in identity order: rounds, tasks as planned, attempt number.

        Args:
            round: Only those of this round.
            engine: Only those of this engine.
        """
        for _, section, slot in self._planned(round, engine):
            if number := section.attempt_lines[slot]:
                yield self._attempt(number)

    def pending(self, round: int | None = None, engine: str | None = None) -> Iterator[AttemptKey]:
        """Yield the planned attempts that are still to be generated, in identity order."""
        for key, section, slot in self._planned(round, engine):
            if not section.attempt_lines[slot]:
                yield key

    def unverified(self, round: int | None = None, engine: str | None = None) -> Iterator[Attempt]:
        """Yield the attempts that were made and have no verdict yet, in identity order; not those without an answer."""
        for _, section, slot in self._planned(round, engine):
            if (number := section.attempt_lines[slot]) and section.is_pending(slot):
                yield self._attempt(number)

    def attempt_of(self, key: AttemptKey) -> Attempt | None:
        """Return an attempt, or None if it was not made."""
        section, slot = self._look_up(key)
        number = section.attempt_lines[slot] if section is not None else 0
        return self._attempt(number) if number else None

    def verdict_of(
        self, key: AttemptKey, *, verifier: str | None = None, version: str | None = None
    ) -> Verdict | None:
        """Return the verdict of record on an attempt, or None if there is none.

        Args:
            key: The attempt.
            verifier: Return the newest verdict of this verifier instead.
            version: Return the newest verdict of this version instead.
        """
        if verifier is None and version is None:
            section, slot = self._look_up(key)
            number = section.verdict_line(slot, section.verifier_of_record(slot)) if section else 0
            return self._verdict(number) if number else None
        found = [
            v
            for v in self.verdicts_of(key)
            if verifier in (None, v.verifier) and version in (None, v.version)
        ]
        return found[-1] if found else None

    def verdicts_of(self, key: AttemptKey) -> list[Verdict]:
        """Return every verdict on an attempt, oldest first: the verdict of record, then those of later verifiers."""
        section, slot = self._look_up(key)
        return [self._verdict(n) for n in section.verdict_trail(slot)] if section else []

    def decision_of(self, key: AttemptKey) -> Decision | None:
        """Return what was decided about an attempt, or None if nothing was."""
        section, slot = self._look_up(key)
        number = section.decision_lines[slot] if section is not None else 0
        if not number:
            return None
        row = self._row("decisions", number)
        return Decision(**{name: row[name] for name in row if name not in KEY_FIELDS})

    def account(
        self, round: int | None = None, *, engine: str | None = None, env: str | None = None
    ) -> Account:
        """Return what became of the planned attempts.

        Raises:
            LedgerError: The sums are not conserved.
        """
        self._settle()
        return self._state.account(round=round, engine=engine, env=env).check()

    def events(self, event: str | None = None, **fields: Any) -> Iterator[dict[str, Any]]:
        """Yield the events, oldest first.

        Args:
            event: Only those of this name.
            fields: Only those with these values.
        """
        numbers: Iterable[int] = range(1, len(self._journals["rounds"]) + 1)
        if event is not None:
            numbers = self._state.events.get(event, ())
        for number in list(numbers):
            row = self._row("rounds", number)
            if all(name in row and row[name] == value for name, value in fields.items()):
                yield row

    def last_event(self, event: str, **fields: Any) -> dict[str, Any] | None:
        """Return the newest event of this name with these values, or None."""
        for number in reversed(self._state.events.get(event, ())):
            row = self._row("rounds", number)
            if all(name in row and row[name] == value for name, value in fields.items()):
                return row
        return None

    def _planned(
        self, round: int | None, engine: str | None
    ) -> Iterator[tuple[AttemptKey, Section, int]]:
        self._settle()
        return self._state.planned(round, engine)

    def _look_up(self, key: AttemptKey) -> tuple[Section, int] | tuple[None, int]:
        self._settle()
        return self._state.find(key) or (None, 0)

    def _row(self, name: str, number: int) -> dict[str, Any]:
        if not self._journals:
            raise LedgerError(f"run {str(self.path)!r} is closed")
        try:
            row: dict[str, Any] = orjson.loads(self._journals[name].line(number))
        except orjson.JSONDecodeError as error:
            raise damaged(self._files[name], number, error) from None
        return row

    def _attempt(self, number: int) -> Attempt:
        return Attempt.from_row(
            self._row("attempts", number), source=self._files["attempts"], line=number
        )

    def _verdict(self, number: int) -> Verdict:
        row = self._row("verdicts", number)
        rest = {name: item for name, item in row.items() if name not in KEY_FIELDS}
        return Verdict.from_row(rest, source=self._files["verdicts"], line=number)
