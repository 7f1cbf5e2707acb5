"""Confidence: how likely each preference is right, and what training makes of it.

pairs = calibrated(pairs, calibration)               # margin -> confidence
kept = confident_pairs(pairs, min_confidence=0.75)   # abstain rather than guess
pairs = weighted_pairs(kept.kept)                    # confidence -> weight, for trainers that take weights
pairs = oversampled_pairs(pairs, seed=0)             # weight -> copies, for those that do not
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs
from attrs import frozen

from orbiter.checks import check_number
from orbiter.curate.calibration import Calibration
from orbiter.errors import ConfigError
from orbiter.records import Pair
from orbiter.tasks.streams import item_stream


@frozen(kw_only=True)
class Confident:
    """The pairs that are sure enough, and how many were not.

    Args:
        kept: The pairs at or above the threshold, in the order they were given.
        doubtful: Pairs below the threshold.
        unknown: Pairs without a confidence, which are neither above nor below it.
    """

    kept: tuple[Pair, ...]
    doubtful: int
    unknown: int


def calibrated(pairs: Iterable[Pair], calibration: Calibration) -> list[Pair]:
    """Return the pairs with the confidence that their margin has; without a margin it is None.

    Raises:
        ConfigError: A margin is in another unit than the calibration was learnt in.
    """
    found = []
    for pair in pairs:
        if pair.margin is None:
            found.append(attrs.evolve(pair, confidence=None))
            continue
        unit = pair.metadata.get("unit", "score")
        if unit != calibration.unit:
            raise ConfigError(
                f"margin of pair {pair.task_id!r} must be in {calibration.unit!r}, as those that the "
                f"calibration was learnt from, got {unit!r}",
                hint="learn a calibration for each unit, and calibrate the pairs of each by itself",
            )
        found.append(attrs.evolve(pair, confidence=calibration.probability(pair.margin)))
    return found


def confident_pairs(pairs: Iterable[Pair], *, min_confidence: float) -> Confident:
    """Return the pairs whose preference is right with at least a probability; all others are left out.

    Args:
        pairs: Pairs with a confidence; see :func:`calibrated`.
        min_confidence: In [0.5, 1]: below 1/2 the opposite is the better guess.

    Raises:
        ConfigError: ``min_confidence`` is out of range.
    """
    check_number("min_confidence", min_confidence, "[0.5, 1]")
    kept: list[Pair] = []
    doubtful = unknown = 0
    for pair in pairs:
        if pair.confidence is None:
            unknown += 1
        elif pair.confidence < min_confidence:
            doubtful += 1
        else:
            kept.append(pair)
    return Confident(kept=tuple(kept), doubtful=doubtful, unknown=unknown)


def weighted_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with weights in proportion to ``max(0, 2 confidence - 1)``, with mean 1.

    A pair that is right with probability c pulls the right way c of the time and the wrong way 1 - c, which is 2c - 1 on balance: the
    gradient of DPO at the reference under labels that are flipped so often. Mean 1 leaves the learning rate as it is.

    Raises:
        ConfigError: A pair has no confidence, or none has one above 1/2.
    """
    raw = []
    for pair in pairs:
        if pair.confidence is None:
            raise ConfigError(
                f"confidence of pair {pair.task_id!r} must be known, got None",
                hint="calibrate the pairs, and leave out those without a margin: confident_pairs does",
            )
        raw.append(max(0.0, 2 * pair.confidence - 1))
    mean = math.fsum(raw) / len(raw) if raw else 0.0
    if raw and mean == 0:
        raise ConfigError("confidence must be above 1/2 for some pair, got none")
    return [attrs.evolve(pair, weight=weight / mean) for pair, weight in zip(pairs, raw)]


def oversampled_pairs(pairs: Sequence[Pair], *, seed: int = 0) -> list[Pair]:
    """Return each pair about as often as its weight says, with weight 1; the number of pairs stays, up to one.

    Systematic sampling: with the weights scaled to mean 1, a pair of weight w comes floor(w) or ceil(w) times, w times on average over
    seeds. Copies stand side by side: shuffle before training.

    Raises:
        ConfigError: All weights are 0.
    """
    total = math.fsum(pair.weight for pair in pairs)
    if pairs and total == 0:
        raise ConfigError("weight must be above 0 for some pair, got none")
    start = item_stream("oversampled_pairs", seed).random()
    copies: list[Pair] = []
    position = start
    for pair in pairs:
        following = position + pair.weight * len(pairs) / total
        times = math.floor(following) - math.floor(position)
        copies += [attrs.evolve(pair, weight=1.0)] * times
        position = following
    return copies
