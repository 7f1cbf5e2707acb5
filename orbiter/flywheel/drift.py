"""How answers look, whether right or wrong: their length, and how many refuse; and by how much that changed for certain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from orbiter.intervals import Interval, effective_size, wilson
from orbiter.verify.refusals import is_refusal

if TYPE_CHECKING:
    from orbiter.flywheel.rollout import RolloutResult

_Z = NormalDist().inv_cdf(0.975)


def looks_of(result: RolloutResult) -> dict[str, Any]:
    """Return how many answers of a rollout there are, the sum and the sum of squares of their lengths in characters, and how many refuse.

    Where several are to one task, they are alike: ``length_variance`` is then the variance of their mean length, from the sums of the
    tasks, and ``refusals_effective`` how many independent answers they are worth.
    """
    tasks: dict[tuple[str, str], list[str]] = {}
    for key, row in result.judged.items():
        if key not in result.unanswered:
            tasks.setdefault((key.env, key.task_id), []).append(row.answer)
    texts = [text for some in tasks.values() for text in some]
    looks: dict[str, Any] = {
        "answers": len(texts),
        "length_sum": sum(map(len, texts)),
        "length_squares": sum(len(text) ** 2 for text in texts),
        "refusals": sum(map(is_refusal, texts)),
    }
    if len(tasks) < len(texts):
        refusals = ((sum(map(is_refusal, some)), len(some)) for some in tasks.values())
        looks["refusals_effective"] = effective_size(refusals)
        mean, k = looks["length_sum"] / len(texts), len(tasks)
        between = sum((sum(map(len, some)) - mean * len(some)) ** 2 for some in tasks.values())
        looks["length_variance"] = k / (k - 1) * between / len(texts) ** 2 if k > 1 else None
    return looks


def length_ratio(before: Mapping[str, Any], after: Mapping[str, Any]) -> Interval | None:
    """Return by how much the mean length of answers was multiplied, as a 95 % interval; None if nothing tells.

    Normal approximation on the log scale (delta method): se^2 = v / m^2 for each of both means m, whose variance v is s^2 / n of n answers
    to as many tasks. Lengths count from 1, so that empty answers have a ratio too.
    """
    logs, variance = [], 0.0
    for looks in (before, after):
        n = looks.get("answers") or 0
        if n < 2:
            return None
        mean = looks["length_sum"] / n
        spread = max(0.0, looks["length_squares"] / n - mean**2) * n / (n - 1)
        found = looks.get("length_variance", spread / n)
        if found is None:
            return None
        logs.append(math.log(mean + 1))
        variance += found / (mean + 1) ** 2
    half = _Z * math.sqrt(variance)
    middle = logs[1] - logs[0]
    return Interval(math.exp(middle - half), math.exp(middle + half), 0.95)


def refusal_rise(before: Mapping[str, Any], after: Mapping[str, Any]) -> Interval | None:
    """Return by how much the share of refusals rose, as a 95 % interval; None if nothing tells.

    The hybrid score interval for a difference of two shares (Newcombe 1998, method 10), from their Wilson intervals.
    """
    shares, ends = [], []
    for looks in (before, after):
        n = looks.get("answers") or 0
        if not n:
            return None
        shares.append(looks["refusals"] / n)
        ends.append(wilson(looks["refusals"], n, effective=looks.get("refusals_effective")))
    rise = shares[1] - shares[0]
    low = rise - math.hypot(shares[1] - ends[1].low, ends[0].high - shares[0])
    high = rise + math.hypot(ends[1].high - shares[1], shares[0] - ends[0].low)
    return Interval(low, high, 0.95)
