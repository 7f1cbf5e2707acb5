"""Checks of the options that environments take."""

from __future__ import annotations

from orbiter.errors import ConfigError


def check_whole_number(name: str, value: object, *, low: int, high: int) -> int:
    """Return ``value`` if it is an integer in [low, high], both included.

    Raises:
        ConfigError: It is anything else; a bool is no integer.
    """
    if type(value) is not int or not low <= value <= high:
        raise ConfigError(f"{name} must be an integer in [{low}, {high}], got {value!r}")
    return value
