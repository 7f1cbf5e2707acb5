"""SynthesisPipeline: synthesisers in a row, then what is too poor or too near to another item is left out."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from attrs import frozen

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError, OrbiterError, OrbiterWarning, UserCodeError
from orbiter.generate.item import at_item, score_of, text_of
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.similarity import near_duplicates


@frozen(kw_only=True)
class SynthesisConfig:
    """How much data to make, and how good.

    Args:
        target_size: Number of items wanted, >= 1.
        min_score: Least score of an item that is kept; None to keep all. An item without a score cannot be shown to reach it,
            so it is left out as well, and counted as unscored.
        dedup_threshold: Similarity in (0, 1] from which an item is a near-duplicate of an earlier one; None to keep
            all. See :func:`orbiter.similarity.near_duplicates`.
        seed: Seed for the steps that draw.
    """

    target_size: int
    min_score: float | None = None
    dedup_threshold: float | None = None
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        check_whole_number("target_size", self.target_size, low=1)
        if self.min_score is not None:
            check_number("min_score", self.min_score, "(-inf, inf)")
        if self.dedup_threshold is not None:
            check_number("dedup_threshold", self.dedup_threshold, "(0, 1]")
        check_whole_number("seed", self.seed, low=0)


@frozen(kw_only=True)
class SynthesisResult:
    """What a pipeline made, and what became of the rest.

    ``generated_count == len(items) + filtered_count + unscored_count + duplicate_count + surplus_count``.

    Args:
        items: The data, in the order in which the last step gave it.
        generated_count: Items that the last step gave.
        filtered_count: Items with a score below ``min_score``.
        unscored_count: Items without a score, left out because there is a ``min_score``.
        duplicate_count: Items too near to an earlier one.
        surplus_count: Items beyond ``target_size``.
        step_counts: Items that each step gave.
    """

    items: list[Any]
    generated_count: int
    filtered_count: int
    unscored_count: int
    duplicate_count: int
    surplus_count: int
    step_counts: tuple[int, ...]


class SynthesisPipeline:
    """Runs synthesisers one after the other, each on what the one before it gave.

        pipeline = SynthesisPipeline(config=SynthesisConfig(target_size=100, dedup_threshold=0.9))
        pipeline.add_step(first).add_step(second)
        result = await pipeline.run(seed_data)

    The items of the last step are scored against ``min_score``, then compared with each other, and the first
    ``target_size`` that remain are the result. An item is a text, a dict, a TrajectoryItem or a Trajectory; its score
    and text are found as :mod:`orbiter.generate.item` says.

    Args:
        config: How much data to make, and how good.
    """

    def __init__(self, *, config: SynthesisConfig) -> None:
        self.config = config
        self.steps: list[DataSynthesiser] = []

    def add_step(self, synthesiser: DataSynthesiser) -> Self:
        """Append a step, and return the pipeline.

        Raises:
            ConfigError: It is no DataSynthesiser.
        """
        if not isinstance(synthesiser, DataSynthesiser):
            raise ConfigError(f"a step must be a DataSynthesiser, got {synthesiser!r}")
        self.steps.append(synthesiser)
        return self

    async def run(self, seed_data: Iterable[Any] = ()) -> SynthesisResult:
        """Make data from ``seed_data``.

        Raises:
            ConfigError: There are no steps, or the seed data is no list or other series of items.
            RecordError: A score or text of an item cannot be read; names the item.
            UserCodeError: A step raised, or gave no list.
        """
        if isinstance(seed_data, str | Mapping) or not isinstance(seed_data, Iterable):
            raise ConfigError(f"seed_data must be a list, got {seed_data!r}")
        if not self.steps:
            raise ConfigError("pipeline must have a step, got none", hint="call add_step first")
        items: list[Any] = list(seed_data)
        step_counts = []
        for number, step in enumerate(self.steps, start=1):
            items = await self._run_step(number, step, items)
            step_counts.append(len(items))
        fates = self._fates(items)
        counts = Counter(fates)
        if counts["unscored"]:
            warnings.warn(
                f"{counts['unscored']} of {len(items)} items have no score and are left out by "
                f"min_score={self.config.min_score}",
                OrbiterWarning,
                stacklevel=2,
            )
        return SynthesisResult(
            items=[item for item, fate in zip(items, fates) if fate == "kept"],
            generated_count=len(items),
            filtered_count=counts["filtered"],
            unscored_count=counts["unscored"],
            duplicate_count=counts["duplicate"],
            surplus_count=counts["surplus"],
            step_counts=tuple(step_counts),
        )

    def _fates(self, items: list[Any]) -> list[str]:
        """Return what becomes of each item: kept, filtered, unscored, duplicate or surplus."""
        fates = [self._fate_of_score(number, item) for number, item in enumerate(items)]
        kept = [number for number, fate in enumerate(fates) if fate == "kept"]
        if self.config.dedup_threshold is not None:
            texts = [at_item(number, text_of, items[number]) for number in kept]
            twins = near_duplicates(
                texts, threshold=self.config.dedup_threshold, seed=self.config.seed
            )
            for number, twin in zip(kept, twins):
                if twin is not None:
                    fates[number] = "duplicate"
            kept = [number for number in kept if fates[number] == "kept"]
        for number in kept[self.config.target_size :]:
            fates[number] = "surplus"
        return fates

    def _fate_of_score(self, number: int, item: Any) -> str:
        if self.config.min_score is None:
            return "kept"
        score = at_item(number, score_of, item)
        if score is None:
            return "unscored"
        return "kept" if score >= self.config.min_score else "filtered"

    async def _run_step(self, number: int, step: DataSynthesiser, source: list[Any]) -> list[Any]:
        name = f"step {number} ({type(step).__name__})"
        try:
            items = await step.synthesise(source, self.config)
        except OrbiterError:
            raise
        except Exception as error:
            raise UserCodeError(f"{name} raised {type(error).__name__}: {error}") from error
        if isinstance(items, str) or not isinstance(items, Sequence):
            raise UserCodeError(f"{name} must return a list, got {items!r}")
        return list(items)
