"""What a bare number means where the task's text settles it: 50 of a hundred parts, 1011 of base two."""

from __future__ import annotations

import re

from attrs import frozen

_PERCENT = re.compile(
    r"[%％]|per\s?cent|prozent|pour\s?cent|porcentaje|por\s?ciento|процент|百分", re.IGNORECASE
)
_BASE = re.compile(
    r"\b(?:base|binary|ternary|octal|hexadecimal|basis|système)\b|进制|進", re.IGNORECASE
)


@frozen
class Conventions:
    """What a number of the answer may leave out or add, beside the reference.

    Args:
        percent: 50 % means what 50 means, since percents are asked for.
        base: Digits in a base mean what the bare digits mean, since a base is asked for.
    """

    percent: bool = True
    base: bool = True


OPEN = Conventions()
"""Where nothing is known of the task, nothing is held against an answer."""


def conventions_of(prompt: str) -> Conventions:
    """Return what the text of a task settles; one without text leaves everything open."""
    if not prompt.strip():
        return OPEN
    return Conventions(
        percent=_PERCENT.search(prompt) is not None, base=_BASE.search(prompt) is not None
    )
