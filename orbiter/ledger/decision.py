"""What curation decides about an attempt."""

from __future__ import annotations

import enum

import attrs
from attrs import field, frozen

from orbiter.errors import RecordError


class Fate(enum.StrEnum):
    """Where an attempt ends: in the training data, or out of it for one of five causes."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    CONTAMINATED = "contaminated"
    TRUNCATED = "truncated"


def _fate(value: str) -> Fate:
    try:
        return Fate(value)
    except ValueError:
        rule = f"must be one of {', '.join(Fate)}"
        raise RecordError(f"{rule}, got {value!r}", field="decision") from None


def _text(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str):
        raise RecordError(f"must be a string, got {value!r}", field=attribute.name)


@frozen
class Decision:
    """What was decided about an attempt: a line of decisions.jsonl, after its key.

    Args:
        decision: Where the attempt ends, a Fate or its name.
        reason: Why, in a short stable phrase that can be counted.
        verifier: Name of the verifier whose verdict it rests on; the ledger fills it in.
        version: Version of that verifier; the ledger fills it in.
    """

    decision: Fate = field(converter=_fate)
    reason: str = field(default="", validator=_text)
    verifier: str = field(default="", validator=_text)
    version: str = field(default="", validator=_text)

    @property
    def accepted(self) -> bool:
        """Whether the attempt goes into the training data."""
        return self.decision is Fate.ACCEPTED


ACCEPTED = Decision(Fate.ACCEPTED)
"""The decision to keep an attempt."""
