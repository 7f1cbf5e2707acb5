"""Checks of the numbers and switches that come as options and arguments, so that they are refused in one way and in the same words."""

from __future__ import annotations

import functools
import math
from typing import TypeGuard

from orbiter.errors import ConfigError


def is_number(value: object, *, infinite: bool = False) -> TypeGuard[int | float]:
    """Return whether ``value`` is a finite number; a bool is none, NaN never is, infinity only if allowed."""
    if not isinstance(value, float):
        return isinstance(value, int) and not isinstance(value, bool)
    return not math.isnan(value) if infinite else math.isfinite(value)


def check_number(name: str, value: object, interval: str, *, infinite: bool = False) -> float:
    """Return ``value`` if it is a number in an interval.

    Args:
        name: What is checked, for the message.
        value: The value.
        interval: As mathematicians write it: ``[0, 1)`` holds 0 but not 1; ``(0, inf)`` holds every number above 0.
        infinite: Infinity is a number too.

    Raises:
        ConfigError: It is anything else; a bool is no number.
    """
    if is_number(value, infinite=infinite) and _contains(interval, value):
        return value
    low, high = _ends(interval)
    if (low, high) == (-math.inf, math.inf):
        rule = "a number" if infinite else "a finite number"
    elif high == math.inf:
        sign = ">=" if interval.startswith("[") else ">"
        rule = f"a number {sign} {low:g}"
    else:
        rule = f"a number in {interval}"
    raise ConfigError(f"{name} must be {rule}, got {value!r}")


def check_whole_number(name: str, value: object, *, low: int, high: int | None = None) -> int:
    """Return ``value`` if it is an integer in [low, high], or >= low without ``high``.

    Raises:
        ConfigError: It is anything else; a bool is no integer.
    """
    if type(value) is int and low <= value and (high is None or value <= high):
        return value
    rule = f">= {low}" if high is None else f"in [{low}, {high}]"
    raise ConfigError(f"{name} must be an integer {rule}, got {value!r}")


def check_seed(seed: object) -> int:
    """Return ``seed`` if it is an integer that JSON holds: 64 bits with a sign.

    Raises:
        ConfigError: It is anything else.
    """
    return check_whole_number("seed", seed, low=-(2**63), high=2**63 - 1)


def check_bool(name: str, value: object) -> bool:
    """Return ``value`` if it is true or false.

    Raises:
        ConfigError: It is anything else; a text that says so is none.
    """
    if isinstance(value, bool):
        return value
    raise ConfigError(f"{name} must be true or false, got {value!r}")


@functools.cache
def _ends(interval: str) -> tuple[float, float]:
    low, _, high = interval[1:-1].partition(",")
    return float(low), float(high)


def _contains(interval: str, value: float) -> bool:
    low, high = _ends(interval)
    above = low <= value if interval.startswith("[") else low < value
    below = value <= high if interval.endswith("]") or high == math.inf else value < high
    return above and below
