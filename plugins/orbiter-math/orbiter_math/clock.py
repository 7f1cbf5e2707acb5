"""Which answers are times, such as 2:30, whose parts stand for themselves, and which are ratios, of which only the quotient counts."""

from __future__ import annotations

import math
import re

from orbiter_math.conventions import Conventions

_COLONS = re.compile(r"(?<![0-9A-Za-z.:])[0-9]+(?::[0-9]+)+(?![0-9.:])")
_TIME = re.compile(r"[0-9]{1,2}(?::[0-5][0-9]){1,2}")
_HALF_DAY = re.compile(r":[0-5][0-9] [AaPp][Mm]\b")


def is_time(text: str, conventions: Conventions) -> bool:
    """Return whether every colon of a cleaned reference stands in a time.

    3:10 may be either, 3:10 p.m. is a time. Where the task's text does not settle it, 3:05 is a time, and so is what has a common
    factor: a ratio would be written in lowest terms.

    Args:
        text: The reference.
        conventions: What the task's text settles.
    """
    found = _COLONS.findall(text)
    if not found or not all(map(_TIME.fullmatch, found)):
        return False
    if _HALF_DAY.search(text):
        return True
    if conventions.ratio is None:
        return any(":0" in one or math.gcd(*map(int, one.split(":"))) != 1 for one in found)
    return not conventions.ratio
