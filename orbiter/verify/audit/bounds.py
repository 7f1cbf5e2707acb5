"""What was promised of a verifier's error rates, against what an audit can show."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from orbiter.checks import check_number
from orbiter.errors import ConfigError
from orbiter.intervals import Estimate
from orbiter.verify.audit.confusion import Audit, Confusion

RATES = ("fpr", "fnr")
"""The rates that can be bounded: of wrong answers passed, and of right ones failed."""


@frozen(kw_only=True)
class Bound:
    """One stated bound and whether the audit keeps it.

    Args:
        rate: ``fpr`` or ``fnr``.
        limit: Largest rate that is allowed, in [0, 1].
        estimate: The rate over all families.
        judged: Answers that it is a rate of: those that were validly judged.
        count: The same with those that the verifier could not judge.
        shown: Whether the whole interval is within the limit: the upper end is, so that the bound is shown and not just possible.
        families: Families whose rate is above the limit for certain: the lower end is, with the error shared among the families
            (Bonferroni), so that none is accused by chance.
    """

    rate: str
    limit: float
    estimate: Estimate
    judged: int
    count: int
    shown: bool
    families: tuple[str, ...]

    @property
    def measured(self) -> bool:
        """Whether at least half of the answers were validly judged, so that the rate is not one of a few that are easy."""
        return 0 < self.count <= 2 * self.judged

    @property
    def kept(self) -> bool:
        """Whether the bound is shown over all answers, of which most were judged, and no family breaks it."""
        return self.measured and self.shown and not self.families


def check_bound(audit: Audit, rate: str, limit: float) -> Bound:
    """Return whether an audit keeps a bound.

    Three things are asked. Over all answers, the *upper* end of the interval must be within the limit: few answers show little,
    and a bound that is not shown is missed. No family may be above it for certain, however many other families dilute it. And
    at least half of the answers must have been validly judged: a verifier that breaks on most of them is not known to be right.

    Args:
        audit: What was measured.
        rate: ``fpr`` or ``fnr``.
        limit: Largest rate that is allowed, in [0, 1].

    Raises:
        ConfigError: An argument is out of range.
    """
    check_limit(rate, limit)
    estimate = _rate(audit, rate, audit.confidence)
    measured = [name for name, family in audit.families.items() if _answers(family, rate)]
    shared = 1 - (1 - audit.confidence) / max(1, len(measured))
    return Bound(
        rate=rate,
        limit=limit,
        estimate=estimate,
        judged=_answers(audit, rate),
        count=_answers(audit, rate)
        + (audit.invalid_wrong if rate == "fpr" else audit.invalid_right),
        shown=estimate.value is not None and estimate.interval.high <= limit,
        families=tuple(_above(audit, measured, rate, limit, shared)),
    )


def check_limit(rate: str, limit: float) -> None:
    """Raise ConfigError unless there is such a rate and the limit is one."""
    if rate not in RATES:
        raise ConfigError(f"rate must be one of {', '.join(RATES)}, got {rate!r}")
    check_number(f"limit of the {rate}", limit, "[0, 1]")


def _above(
    audit: Audit, families: list[str], rate: str, limit: float, confidence: float
) -> Iterator[str]:
    for name in families:
        if _rate(audit.families[name], rate, confidence).interval.low > limit:
            yield name


def _answers(confusion: Confusion, rate: str) -> int:
    return confusion.wrong if rate == "fpr" else confusion.right


def _rate(confusion: Confusion, rate: str, confidence: float) -> Estimate:
    at = confusion.fpr_at if rate == "fpr" else confusion.fnr_at
    return at(confidence)
