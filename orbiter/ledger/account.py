"""The account: how many attempts were planned, and what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from orbiter.errors import LedgerError


@frozen(kw_only=True)
class Account:
    """What became of the planned attempts.

    Two sums are conserved at every instant: ``planned = passed + failed + invalid + pending``, and
    ``generated = decisions + undecided``.

    Args:
        planned: Attempts that were to be made.
        generated: Attempts that were made, those without an answer included.
        passed: Attempts whose verdict of record is pass.
        failed: Attempts whose verdict of record is fail.
        invalid: Attempts without a usable verdict, by reason.
        pending: Attempts that wait for generation or for a verdict.
        decisions: Decided attempts, by decision and reason.
        undecided: Generated attempts without a decision.
        token_count: Generated tokens, where they are known.
        sample_count: Answers of policies that went into the attempts: 1 each, more where they were revised, 0 where a program made them.
        cost: What those answers cost whose cost is known.
        priced: How many those are.
    """

    planned: int = 0
    generated: int = 0
    passed: int = 0
    failed: int = 0
    invalid: Mapping[str, int] = field(factory=dict)
    pending: int = 0
    decisions: Mapping[str, Mapping[str, int]] = field(factory=dict)
    undecided: int = 0
    token_count: int = 0
    sample_count: int = 0
    cost: float = 0.0
    priced: int = 0

    @property
    def invalid_count(self) -> int:
        """Number of invalid attempts, for any reason."""
        return sum(self.invalid.values())

    @property
    def unverified(self) -> int:
        """Number of attempts that are generated and wait for a verdict."""
        return self.generated - self.passed - self.failed - self.invalid_count

    @property
    def passed_rate(self) -> float | None:
        """The yield: passed / (passed + failed), in [0, 1]; None when nothing is judged."""
        judged = self.passed + self.failed
        return self.passed / judged if judged else None

    @property
    def invalid_rate(self) -> float | None:
        """Invalid attempts as a share of all that are no longer pending; None when there are none."""
        done = self.planned - self.pending
        return self.invalid_count / done if done else None

    def decided(self, decision: str) -> int:
        """Return how many attempts got this decision, for any reason."""
        return sum(self.decisions.get(decision, {}).values())

    def check(self) -> Account:
        """Return the account itself if its sums are conserved.

        Raises:
            LedgerError: They are not; the message shows the numbers.
        """
        outcomes = self.passed + self.failed + self.invalid_count + self.pending
        if self.planned != outcomes:
            raise LedgerError(
                f"account must be conserved: planned {self.planned} = passed {self.passed} + failed {self.failed}"
                f" + invalid {self.invalid_count} + pending {self.pending}, got the sum {outcomes}"
            )
        counts = {name: self.decided(name) for name in self.decisions}
        if self.generated != sum(counts.values()) + self.undecided:
            shown = " + ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            raise LedgerError(
                f"funnel must be conserved: generated {self.generated} = {shown or 'no decisions'}"
                f" + undecided {self.undecided}, got the sum {sum(counts.values()) + self.undecided}"
            )
        if self.unverified < 0:
            raise LedgerError(
                f"account must not judge more attempts than were generated, {self.generated}, got "
                f"passed {self.passed} + failed {self.failed} + invalid {self.invalid_count}"
            )
        return self


def total(accounts: Iterable[Account]) -> Account:
    """Return the sum of several accounts."""
    accounts = list(accounts)
    invalid: Counter[str] = Counter()
    decisions: dict[str, Counter[str]] = {}
    for account in accounts:
        invalid.update(account.invalid)
        for name, reasons in account.decisions.items():
            decisions.setdefault(name, Counter()).update(reasons)
    counts = ("planned", "generated", "passed", "failed", "pending", "undecided", "token_count", "sample_count", "priced")  # fmt: skip
    return Account(
        invalid=dict(invalid),
        decisions={name: dict(reasons) for name, reasons in decisions.items()},
        cost=round(sum(account.cost for account in accounts), 9),
        **{name: sum(getattr(account, name) for account in accounts) for name in counts},
    )
