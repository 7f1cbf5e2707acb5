"""Lengths of chosen and rejected answers: where one side is longer, a preference teaches length before it teaches anything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from attrs import frozen

from orbiter.checks import check_number
from orbiter.intervals import Estimate, estimate_rate
from orbiter.records import Message, Pair

Length: TypeAlias = Callable[[tuple[Message, ...]], int]
"""Length of an answer; characters, unless a tokenizer is at hand."""


def characters(messages: tuple[Message, ...]) -> int:
    """Return how many characters the texts of the messages have."""
    return sum(len(message.text) for message in messages)


@frozen(kw_only=True)
class LengthReport:
    """How the lengths of chosen and rejected answers compare.

    Args:
        count: Number of pairs.
        chosen_mean: Mean length of the chosen; None without pairs.
        rejected_mean: Mean length of the rejected; None without pairs.
        log_ratio_mean: Mean of ln((chosen + 1) / (rejected + 1)); 0 where neither side is longer, None without pairs.
        chosen_longer: Share of the chosen among the longer of each pair, equal lengths left out, with its 95 % interval. An interval
            without 1/2 says that length alone predicts the preference.
        equal: Pairs of equal length.
    """

    count: int
    chosen_mean: float | None
    rejected_mean: float | None
    log_ratio_mean: float | None
    chosen_longer: Estimate
    equal: int


def length_report(pairs: Sequence[Pair], *, length: Length = characters) -> LengthReport:
    """Return how the lengths of the two sides compare."""
    sizes = [(length(pair.chosen), length(pair.rejected)) for pair in pairs]
    count, equal = len(sizes), sum(chosen == rejected for chosen, rejected in sizes)
    longer = sum(chosen > rejected for chosen, rejected in sizes)
    ratios = [math.log((chosen + 1) / (rejected + 1)) for chosen, rejected in sizes]
    return LengthReport(
        count=count,
        chosen_mean=sum(chosen for chosen, _ in sizes) / count if count else None,
        rejected_mean=sum(rejected for _, rejected in sizes) / count if count else None,
        log_ratio_mean=math.fsum(ratios) / count if count else None,
        chosen_longer=estimate_rate(longer, count - equal),
        equal=equal,
    )


def length_matched(
    pairs: Iterable[Pair], *, max_ratio: float = 1.25, length: Length = characters
) -> list[Pair]:
    """Return the pairs whose longer answer is at most ``max_ratio`` times as long as the shorter one.

    Lengths count from 1, so that an empty answer matches one of a character or less.

    Args:
        pairs: Any pairs.
        max_ratio: >= 1
        length: Length of an answer.
    """
    check_number("max_ratio", max_ratio, "[1, inf)")
    kept = []
    for pair in pairs:
        short, long = sorted(max(1, length(side)) for side in (pair.chosen, pair.rejected))
        if long <= max_ratio * short:
            kept.append(pair)
    return kept
