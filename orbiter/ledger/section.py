"""The planned attempts of one round, engine and environment, and where their lines are.

An attempt costs about 100 bytes: a few small numbers in arrays, and a share of its task's name, never its messages.
"""

from __future__ import annotations

from array import array
from collections import Counter

from orbiter.ledger.account import Account
from orbiter.records import Outcome

_PENDING = 0
_CODES = {Outcome.PASS: 1, Outcome.FAIL: 2, Outcome.INVALID: 3}


class Section:
    """What the ledger knows about (round, engine, env).

    Every planned attempt has a *slot*; line numbers count from 1, and 0 means that there is no line.
    """

    def __init__(self) -> None:
        self.slots: dict[str, array[int]] = {}  # task_id to the slots of its attempts
        self.attempt_lines = array("I")
        self.decision_lines = array("I")
        self._verdict_lines: dict[tuple[str, str], array[int]] = {}  # by (verifier, version)
        self._verifiers: list[tuple[str, str]] = []
        self._record = bytearray()  # which verifier gave the verdict of record, counted from 1
        self._outcomes = bytearray()
        self._valid: Counter[Outcome] = Counter()
        self._invalid: Counter[str] = Counter()
        self._unanswered: dict[int, str] = {}  # why an attempt has no answer
        self._decisions: dict[str, Counter[str]] = {}
        self._token_count, self._sample_count = 0, 0
        self._cost, self._priced = 0.0, 0

    def plan(self, task_id: str, samples: int) -> None:
        """Plan the attempts 0 to ``samples - 1`` of a task; those that are planned already stay."""
        slots = self.slots.setdefault(task_id, array("I"))
        first, count = len(self._outcomes), samples - len(slots)
        if count <= 0:
            return
        slots.extend(range(first, first + count))
        zeros = array("I", bytes(4 * count))
        for lines in (self.attempt_lines, self.decision_lines, *self._verdict_lines.values()):
            lines.extend(zeros)
        self._record.extend(bytes(count))
        self._outcomes.extend(bytes(count))

    def slot(self, task_id: str, attempt: int) -> int | None:
        """Return the slot of an attempt, or None if it is not planned."""
        slots = self.slots.get(task_id, ())
        return slots[attempt] if 0 <= attempt < len(slots) else None

    def add_attempt(
        self,
        slot: int,
        line: int,
        *,
        error: str | None,
        token_count: int,
        cost: float | None,
        sample_count: int,
    ) -> None:
        """Note an attempt; one without an answer is invalid until a verdict says something else."""
        self.attempt_lines[slot] = line
        self._token_count += token_count
        self._sample_count += sample_count
        if cost is not None:
            self._cost += cost
            self._priced += sample_count
        if error is not None:
            self._unanswered[slot] = f"no answer: {error}"
            self._judge(slot, Outcome.INVALID, self._unanswered[slot])

    def add_verdict(
        self, slot: int, line: int, *, verifier: tuple[str, str], outcome: Outcome, reason: str
    ) -> None:
        """Note a verdict; the first one on an attempt is its verdict of record."""
        if verifier not in self._verdict_lines:
            self._verdict_lines[verifier] = array("I", bytes(4 * len(self._outcomes)))
            self._verifiers.append(verifier)
        self._verdict_lines[verifier][slot] = line
        if not self._record[slot]:
            self._record[slot] = self._verifiers.index(verifier) + 1
            if slot in self._unanswered:
                self._invalid[self._unanswered[slot]] -= 1
            self._judge(slot, outcome, reason)

    def add_decision(self, slot: int, line: int, *, decision: str, reason: str) -> None:
        """Note a decision."""
        self.decision_lines[slot] = line
        if decision not in self._decisions:
            self._decisions[decision] = Counter()
        self._decisions[decision][reason] += 1

    def _judge(self, slot: int, outcome: Outcome, reason: str) -> None:
        self._outcomes[slot] = _CODES[outcome]
        if outcome is Outcome.INVALID:
            self._invalid[reason] += 1
        else:
            self._valid[outcome] += 1

    def is_pending(self, slot: int) -> bool:
        """Return whether the attempt waits for generation or a verdict."""
        return self._outcomes[slot] == _PENDING

    def verifier_of_record(self, slot: int) -> tuple[str, str] | None:
        """Return name and version of the verifier that gave the verdict of record."""
        number = self._record[slot]
        return self._verifiers[number - 1] if number else None

    def verdict_line(self, slot: int, verifier: tuple[str, str] | None) -> int:
        """Return the line of one verifier's verdict."""
        lines = self._verdict_lines.get(verifier) if verifier else None
        return lines[slot] if lines is not None else 0

    def verdict_trail(self, slot: int) -> list[int]:
        """Return the lines of all verdicts on an attempt, oldest first."""
        return sorted(lines[slot] for lines in self._verdict_lines.values() if lines[slot])

    def account(self) -> Account:
        """Return the account of this section.

        What is still open is counted from the slots, what is done from running tallies, so that the sums can disagree.
        """
        open_decisions = sum(
            1
            for made, decided in zip(self.attempt_lines, self.decision_lines)
            if made and not decided
        )
        return Account(
            planned=sum(len(slots) for slots in self.slots.values()),
            generated=len(self.attempt_lines) - self.attempt_lines.count(0),
            passed=self._valid[Outcome.PASS],
            failed=self._valid[Outcome.FAIL],
            invalid=dict(+self._invalid),
            pending=self._outcomes.count(_PENDING),
            decisions={name: dict(reasons) for name, reasons in self._decisions.items()},
            undecided=open_decisions,
            token_count=self._token_count,
            sample_count=self._sample_count,
            cost=round(self._cost, 9),
            priced=self._priced,
        )
