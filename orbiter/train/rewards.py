"""RewardSpec: a named, weighted reward function. (To be completed: combination with unscored samples.)"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen


@frozen
class RewardSpec:
    """A named reward with a weight."""

    name: str
    fn: Callable[..., float | None]
    weight: float = 1.0
