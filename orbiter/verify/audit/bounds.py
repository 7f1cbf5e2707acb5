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
        shown: Whether the whole interval is within the limit: the upper end is, so that the bound is shown and not just possible.
        families: Families whose rate is above the limit for certain: the lower end is, with the error shared among the families
            (Bonferroni), so that none is accused by chance.
    """

    rate: str
    limit: float
    estimate: Estimate
    shown: bool
    families: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether the bound is shown over all answers and no family breaks it."""
        return self.shown and not self.families


def check_bound(audit: Audit, rate: str, limit: float) -> Bound:
    """Return whether an audit keeps a bound.

    Two things are asked. Over all answers, the *upper* end of the interval must be within the limit: few answers show little,
    and a bound that is not shown is missed. And no family may be above it for certain, however many other families dilute it.

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
