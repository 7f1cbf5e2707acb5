"""What an answer means where the task's text settles it: 50 of a hundred parts, 1011 of base two, 3:10 of the clock."""

from __future__ import annotations

import re

from attrs import frozen

_PERCENT = re.compile(
    r"[%％]|per\s?cent|prozent|pour\s?cent|porcentaje|por\s?ciento|процент|百分", re.IGNORECASE
)
_BASE = re.compile(
    r"\b(?:base|binary|ternary|octal|hexadecimal|basis|système)\b|进制|進", re.IGNORECASE
)
_RATIO = re.compile(
    r"\b(?:ratio|proportion|odds|scale|rapport|verhältnis|razón|proporción)|[比∶]|\b(?!hh?:mm|mm?:ss)[a-z]{1,3}:[a-z]{1,3}\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\btime\b|\b(?:what|which) times\b|\b(?:clocks?|o'clock|hours?|minutes?|uhr|heures?|horas?)\b|[时時]间|[时時]刻|[点點]"
    r"|[0-9] ?[ap]\.? ?m\b|\b[ap]\. ?m\.|\bhh?:mm\b|\bmm?:ss\b",
    re.IGNORECASE,
)


@frozen
class Conventions:
    """What the answer is to say, and what a number of it may leave out or add, beside the reference.

    Args:
        percent: 50 % means what 50 means, since percents are asked for.
        base: Digits in a base mean what the bare digits mean, since a base is asked for.
        ratio: A colon stands in a ratio (True) or in a time (False), since the text speaks of one of them alone; None where it settles
            nothing.
    """

    percent: bool = True
    base: bool = True
    ratio: bool | None = None


OPEN = Conventions()
"""Where nothing is known of the task, nothing is held against an answer."""


def conventions_of(prompt: str) -> Conventions:
    """Return what the text of a task settles; one without text leaves everything open."""
    if not prompt.strip():
        return OPEN
    ratio, time = _RATIO.search(prompt) is not None, _TIME.search(prompt) is not None
    return Conventions(
        percent=_PERCENT.search(prompt) is not None,
        base=_BASE.search(prompt) is not None,
        ratio=ratio if ratio != time else None,
    )
