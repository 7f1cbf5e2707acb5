"""Several samples of one judgement, and when they decide."""

from __future__ import annotations

import math
from collections.abc import Iterable

from attrs import frozen


@frozen
class Votes:
    """Votes on a yes-or-no question.

    Args:
        yes: Votes for; a tie of a comparison is half a vote on each side.
        no: Votes against.
        unknown: Samples that gave no vote: unreadable, unanswered, or the judge could not tell.
    """

    yes: float = 0.0
    no: float = 0.0
    unknown: int = 0

    @classmethod
    def of(cls, votes: Iterable[float | None]) -> Votes:
        """Return the count of votes that are each a number in [0, 1], the share for, or None."""
        cast = list(votes)
        known = [vote for vote in cast if vote is not None]
        yes = math.fsum(known)
        return cls(yes, len(known) - yes, len(cast) - len(known))

    @property
    def log_odds(self) -> float:
        """Log-odds of yes from the votes cast, ln((yes + 1/2) / (no + 1/2)) in nats; 0 without votes (Haldane 1956)."""
        return math.log((self.yes + 0.5) / (self.no + 0.5))

    @property
    def probability(self) -> float:
        """The same as a probability in (0, 1): (yes + 1/2) / (yes + no + 1)."""
        return (self.yes + 0.5) / (self.yes + self.no + 1.0)

    def decide(self, margin: float) -> bool | None:
        """Return yes or no if the log-odds clear ``margin`` however the unknown votes would have been cast, else None."""
        worst = Votes(self.yes, self.no + self.unknown).log_odds
        best = Votes(self.yes + self.unknown, self.no).log_odds
        # A margin of exactly ln 3 must be cleared by the one vote whose log-odds are ln 3.
        if worst >= margin - 1e-9:
            return True
        return False if best <= -margin + 1e-9 else None


def largest_log_odds(count: int) -> float:
    """Return the log-odds of ``count`` votes that all agree, ln(2 count + 1): no margin above that is ever cleared."""
    return math.log(2 * count + 1)
