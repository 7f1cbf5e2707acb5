"""What curation decides about an attempt, and the funnel that counts the decisions."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from orbiter.errors import ConfigError, OrbiterError


class Fate(enum.StrEnum):
    """Where an attempt ends: in the training data, or out of it for one of five causes."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    CONTAMINATED = "contaminated"
    TRUNCATED = "truncated"


@frozen
class Decision:
    """The decision about one attempt.

    Args:
        decision: Where the attempt ends.
        reason: Why, in a short stable phrase that can be counted; empty only if it is accepted.
    """

    decision: Fate = field(converter=Fate)
    reason: str = ""

    def __attrs_post_init__(self) -> None:
        if self.decision is not Fate.ACCEPTED and not self.reason:
            raise ConfigError(
                f"reason must be given when an attempt is {self.decision.value}, got ''"
            )

    @property
    def accepted(self) -> bool:
        """Whether the attempt goes into the training data."""
        return self.decision is Fate.ACCEPTED


ACCEPTED = Decision(Fate.ACCEPTED)
"""The decision to keep an attempt."""


@frozen(kw_only=True)
class Funnel:
    """How many attempts went in, and how many ended where.

    Args:
        generated: Attempts that went in.
        counts: Attempts by decision and reason.
    """

    generated: int
    counts: Mapping[Fate, Mapping[str, int]] = field(factory=dict)

    @classmethod
    def of(cls, decisions: Iterable[Decision], *, generated: int | None = None) -> Funnel:
        """Count decisions.

        Args:
            decisions: One per decided attempt.
            generated: How many attempts there were; default: as many as decisions.
        """
        counts: dict[Fate, dict[str, int]] = {}
        total = 0
        for decision in decisions:
            reasons = counts.setdefault(decision.decision, {})
            reasons[decision.reason] = reasons.get(decision.reason, 0) + 1
            total += 1
        return cls(generated=total if generated is None else generated, counts=counts)

    def __getitem__(self, fate: Fate | str) -> int:
        return sum(self.counts.get(Fate(fate), {}).values())

    def __add__(self, other: Funnel) -> Funnel:
        counts: dict[Fate, dict[str, int]] = {}
        for funnel in (self, other):
            for fate, reasons in funnel.counts.items():
                merged = counts.setdefault(fate, {})
                for reason, count in reasons.items():
                    merged[reason] = merged.get(reason, 0) + count
        return Funnel(generated=self.generated + other.generated, counts=counts)

    @property
    def decided(self) -> int:
        """How many attempts have a decision."""
        return sum(self[fate] for fate in Fate)

    @property
    def conserved(self) -> bool:
        """Whether every generated attempt has exactly one decision."""
        return self.generated == self.decided

    def check(self) -> None:
        """Raise unless the funnel is conserved.

        Raises:
            OrbiterError: Attempts are missing or counted twice; the message holds every count.
        """
        if not self.conserved:
            shown = " + ".join(f"{fate.value} {self[fate]}" for fate in Fate)
            raise OrbiterError(
                f"generated must be the sum of all decisions, got {self.generated} "
                f"for {shown} = {self.decided}"
            )
