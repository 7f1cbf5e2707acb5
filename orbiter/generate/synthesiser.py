"""The DataSynthesiser ABC: an engine that makes rows without being asked task by task."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orbiter.errors import ConfigError

if TYPE_CHECKING:
    from orbiter.generate.pipeline import SynthesisConfig


class DataSynthesiser(ABC):  # noqa: B024  # either method may be the one that a subclass has
    """Makes data from nothing (``generate``), from other data (``synthesise``), or both.

    A subclass overrides at least one of the two; the pipeline calls ``synthesise``. A small complete subclass:

        class Shout(DataSynthesiser):
            async def synthesise(self, source, config):
                return [item.upper() for item in source]

    Contract: with the same seed in the constructor or the config, the same call gives the same items in the same order.
    """

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        own = (cls.generate, cls.synthesise)
        if own == (DataSynthesiser.generate, DataSynthesiser.synthesise):
            raise TypeError(
                f"{cls.__name__} must override generate(count) or synthesise(source, config)"
            )

    async def generate(self, count: int) -> list[Any]:  # noqa: ARG002  # for those that override it
        """Return up to ``count`` new items; fewer, with a warning, when there are no more distinct ones."""
        raise ConfigError(
            f"{type(self).__name__} cannot generate from nothing",
            hint="give it source data: synthesise(source, config)",
        )

    async def synthesise(self, source: Sequence[Any], config: SynthesisConfig) -> list[Any]:
        """Return new items made from ``source``; the default ignores it and generates what is still missing."""
        return list(source) + await self.generate(max(0, config.target_size - len(source)))
