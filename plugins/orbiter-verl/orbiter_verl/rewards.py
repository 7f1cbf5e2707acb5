"""Rewards on their way to the processes that score: pickled by value, and opened only if they are what was written."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import cloudpickle
from attrs import frozen

from orbiter.errors import BackendError, ConfigError
from orbiter.records import Task, Trajectory
from orbiter.train.rewards import BatchReward, RewardSpec


@frozen
class SealedRewards:
    """A file of rewards.

    Args:
        path: The file.
        digest: What its bytes must hash to; travels apart from the file.
    """

    path: str
    digest: str

    def open(self) -> tuple[RewardSpec, ...]:
        """Return the rewards.

        Raises:
            BackendError: The file is not the one that was written.
        """
        data = Path(self.path).read_bytes()
        if _digest(data) != self.digest:
            raise BackendError(f"{self.path} must be the file that this run wrote, got another")
        specs: tuple[RewardSpec, ...] = cloudpickle.loads(data)
        return specs


def seal_rewards(specs: Sequence[RewardSpec], path: Path) -> SealedRewards:
    """Write rewards to a file that only this user can read.

    Raises:
        ConfigError: A reward cannot be pickled; names it.
    """
    with _by_value():
        for spec in specs:
            try:
                cloudpickle.dumps(spec)
            except Exception as error:  # whatever an object raises when it is pickled
                raise ConfigError(
                    f"reward {spec.name!r} must be a function that other processes can be given, got {spec.fn!r}: {error}",
                    hint="a reward may not hold open files, locks or connections; make them when it is first called",
                ) from error
        data = cloudpickle.dumps(tuple(specs))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return SealedRewards(str(path), _digest(data))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@contextmanager
def _by_value() -> Iterator[None]:
    """Have what the user's own modules define pickled whole, since another process may not find them."""
    mine = [module for module in list(sys.modules.values()) if _is_the_users(module)]
    known = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in mine if module.__name__ not in known]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def _is_the_users(module: Any) -> bool:
    """Return whether a module is neither installed nor Python's own."""
    file, name = getattr(module, "__file__", None), getattr(module, "__name__", "")
    if not file or name in ("__main__", "__mp_main__") or sys.modules.get(name) is not module:
        return False
    if name.split(".")[0].startswith("orbiter"):
        return False
    return not file.startswith(_installed())


@functools.cache
def _installed() -> tuple[str, ...]:
    """Return the folders of what is installed, and of Python's own modules."""
    paths = sysconfig.get_paths()
    return tuple({paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")})


class Recorded:
    """A reward function that keeps the traceback of the first error that it raises.

    Args:
        fn: The function.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        functools.update_wrapper(self, fn)
        self._fn: Any = fn
        self.traceback: str | None = None
        self.told = False

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Return what the function returns."""
        return self._watched(self._fn, *args, **named)

    def _watched(self, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        try:
            return call(*args, **named)
        except Exception:
            if self.traceback is None:
                self.traceback = traceback.format_exc()
            raise


class RecordedBatch(Recorded):
    """The same of what scores many answers at once."""

    def score_batch(self, pairs: Sequence[tuple[Task, Trajectory]]) -> Any:
        """Return what the function returns."""
        return self._watched(self._fn.score_batch, pairs)


def recorded(specs: Sequence[RewardSpec]) -> tuple[RewardSpec, ...]:
    """Return the rewards, each keeping its first traceback."""
    return tuple(
        attrs.evolve(
            spec, fn=(RecordedBatch if isinstance(spec.fn, BatchReward) else Recorded)(spec.fn)
        )
        for spec in specs
    )
