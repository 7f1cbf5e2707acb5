"""What an open ledger keeps in memory: the plan, and where every line is; never the lines themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from orbiter.errors import DamagedRunError
from orbiter.ledger.account import Account, total
from orbiter.ledger.attempt import AttemptKey
from orbiter.ledger.lines import (
    AttemptLine,
    DecisionLine,
    EventLine,
    KeyLine,
    PlanLine,
    VerdictLine,
    decode,
)
from orbiter.ledger.section import Section

FORMAT = 1
"""Version of the files; a ledger of another one is refused."""


class State:
    """The plan of a run and the whereabouts of its lines, made by loading every committed line once.

    Args:
        files: The path of each file by its name, for messages.

    Raises:
        DamagedRunError: While loading, for a damaged line, a second line of one thing, or a line about an attempt that
            was never planned or made.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._sections: dict[tuple[int, str, str], Section] = {}
        self._order: dict[tuple[int, str], list[tuple[str, str]]] = {}
        self.events: dict[str, list[int]] = {}
        self._loaders: dict[str, Callable[[bytes, int], None]] = {
            "rounds": self._load_event,
            "attempts": self._load_attempt,
            "verdicts": self._load_verdict,
            "decisions": self._load_decision,
        }

    def load(self, name: str, line: bytes, number: int) -> None:
        """Take in line ``number`` of one of the four files."""
        self._loaders[name](line, number)

    def _load_event(self, line: bytes, number: int) -> None:
        event = decode(line, EventLine, source=self._files["rounds"], number=number).event
        self.add_event(event, number)
        if event == "planned":
            plan = decode(line, PlanLine, source=self._files["rounds"], number=number)
            self.plan(plan.round, plan.engine, plan.tasks, plan.samples)
        elif event == "ledger_created" and (found := orjson.loads(line).get("format")) != FORMAT:
            raise DamagedRunError(
                f"{self._files['rounds']} line {number}: format of a ledger must be {FORMAT}, got {found!r}",
                hint="open it with the version of orbiter that wrote it",
            )

    def _load_attempt(self, line: bytes, number: int) -> None:
        row = decode(line, AttemptLine, source=self._files["attempts"], number=number)
        section, slot = self._loaded(row, self._files["attempts"], number)
        _once(section.attempt_lines[slot], self._files["attempts"], number)
        section.add_attempt(
            slot,
            number,
            error=row.error,
            token_count=row.token_count,
            cost=row.cost,
            sample_count=row.sample_count,
        )

    def _load_verdict(self, line: bytes, number: int) -> None:
        row = decode(line, VerdictLine, source=self._files["verdicts"], number=number)
        section, slot = self._loaded(row, self._files["verdicts"], number)
        verifier = (row.verifier, row.version)
        _once(section.verdict_line(slot, verifier), self._files["verdicts"], number)
        section.add_verdict(slot, number, verifier=verifier, outcome=row.outcome, reason=row.reason)

    def _load_decision(self, line: bytes, number: int) -> None:
        row = decode(line, DecisionLine, source=self._files["decisions"], number=number)
        section, slot = self._loaded(row, self._files["decisions"], number)
        _once(section.decision_lines[slot], self._files["decisions"], number)
        section.add_decision(slot, number, decision=row.decision, reason=row.reason)

    def _loaded(self, row: KeyLine, source: str, number: int) -> tuple[Section, int]:
        found = self.find(row)
        made = source == self._files["attempts"] or (found and found[0].attempt_lines[found[1]])
        if found is None or not made:
            raise DamagedRunError(
                f"{source} line {number} names an attempt that was never "
                f"{'planned' if found is None else 'made'}: {row.key}",
                hint="the files of a run belong together; restore them from one copy",
            )
        return found

    def add_event(self, event: str, number: int) -> None:
        """Note that line ``number`` of rounds.jsonl holds an event of this name."""
        self.events.setdefault(event, []).append(number)

    def plan(self, round: int, engine: str, tasks: Iterable[tuple[str, str]], samples: int) -> None:
        """Plan ``samples`` attempts of every task (env, task_id)."""
        order = self._order.setdefault((round, engine), [])
        for env, task_id in tasks:
            section = self._sections.get((round, engine, env))
            if section is None:
                section = self._sections[round, engine, env] = Section()
            if task_id not in section.slots:
                order.append((env, task_id))
            section.plan(task_id, samples)

    def planned_count(self, round: int, engine: str, env: str, task_id: str) -> int:
        """Return how many attempts of a task are planned."""
        section = self._sections.get((round, engine, env))
        return len(section.slots.get(task_id, ())) if section is not None else 0

    def find(self, key: AttemptKey | KeyLine) -> tuple[Section, int] | None:
        """Return the section and slot of an attempt, or None if it is not planned."""
        section = self._sections.get((key.round, key.engine, key.env))
        slot = section.slot(key.task_id, key.attempt) if section is not None else None
        return None if section is None or slot is None else (section, slot)

    def planned(
        self, round: int | None, engine: str | None
    ) -> Iterator[tuple[AttemptKey, Section, int]]:
        """Yield the planned attempts in identity order: rounds, tasks as they were planned, attempt number."""
        chosen = [k for k in self._order if round in (None, k[0]) and engine in (None, k[1])]
        for r, g in sorted(chosen, key=lambda key: key[0]):
            for env, task_id in self._order[r, g]:
                section = self._sections[r, g, env]
                for number, slot in enumerate(section.slots[task_id]):
                    yield AttemptKey(r, g, env, task_id, number), section, slot

    def account(self, **where: Any) -> Account:
        """Return the sum of the accounts whose ``round``, ``engine`` and ``env`` fit; None fits all."""
        wanted = (where["round"], where["engine"], where["env"])
        return total(
            section.account()
            for key, section in self._sections.items()
            if all(w is None or w == part for w, part in zip(wanted, key))
        )


def _once(recorded: int, source: str, number: int) -> None:
    if recorded:
        raise DamagedRunError(
            f"{source} line {number} records again what line {recorded} records",
            hint="the file was changed by hand or by two programs; restore it from a copy",
        )
