"""The outlook of a run: what a target still takes, why a round gained less than the one before, and whether the verifier is being gamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from attrs import field, frozen

from orbiter.flywheel import odds
from orbiter.flywheel.gates import goodhart_reason

NOTABLE = 0.5
"""Share from which duplicates, or tasks that every answer solves, count as a reason."""


@frozen(kw_only=True)
class Way:
    """What it takes to a target pass rate if every round multiplies the odds by one g.

    Args:
        multiplier: The g.
        rounds: Rounds; 0 if the target is reached, None if it never is.
        samples: Their samples, at the mean of the rounds so far.
        seconds: Their seconds, likewise.
    """

    multiplier: float
    rounds: int | None
    samples: float | None
    seconds: float | None


@frozen(kw_only=True)
class Outlook:
    """What the rounds of a run say of those to come.

    Args:
        target: The pass rate that is wanted.
        rate: The last held-out pass rate; None if none was measured.
        measured: The way at the odds multiplier of the last round; None if it has none.
        least: The way at the lower end of its interval.
        forecast: The way at the least TPR/FPR that the audit leaves: the most that imitation of survivors can be counted on for.
        slower: Round to why it gained less than the one before it.
        goodhart: Why the verifier seems to be gamed, or None.
    """

    target: float
    rate: float | None
    measured: Way | None = None
    least: Way | None = None
    forecast: Way | None = None
    slower: Mapping[int, tuple[str, ...]] = field(factory=dict)
    goodhart: str | None = None


def outlook(
    rows: Sequence[Mapping[str, Any]], audit: Mapping[str, Any], *, target: float = 0.9
) -> Outlook:
    """Return what the summaries of a run's rounds say of those to come.

    Args:
        rows: The summaries, oldest first.
        audit: What the audit of the verifier measured; empty if there was none.
        target: Held-out pass rate that is wanted, in (0, 1).
    """
    measured = [row for row in rows if row.get("held_out") is not None]
    if not measured:
        return Outlook(target=target, rate=None)
    last = measured[-1]
    cost = {
        name: fmean(found)
        for name in ("samples", "seconds")
        if (found := [r["spent"][name] for r in rows if r["round"] and r.get("spent")])
    }
    bounds = {
        "measured": last.get("g"),
        "least": last.get("g_low"),
        "forecast": last.get("g_bound"),
    }
    ways = {
        name: _way(last["held_out"], target, g, cost) if g is not None and g > 0 else None
        for name, g in bounds.items()
    }
    slower = {
        row["round"]: tuple(why_slower(row, before, audit))
        for before, row in pairwise(measured)
        if row.get("g") is not None and before.get("g") is not None and row["g"] < before["g"]
    }
    reasons = (goodhart_reason(row, measured[:i]) for i, row in enumerate(measured))
    goodhart = next(filter(None, reasons), None)
    return Outlook(target=target, rate=last["held_out"], slower=slower, goodhart=goodhart, **ways)


def _way(rate: float, target: float, g: float, cost: Mapping[str, float]) -> Way:
    rounds = odds.rounds_for_target(rate, target=target, multiplier=g)
    samples, seconds = (
        None if rounds is None or name not in cost else rounds * cost[name]
        for name in ("samples", "seconds")
    )
    return Way(multiplier=g, rounds=rounds, samples=samples, seconds=seconds)


def why_slower(
    row: Mapping[str, Any], before: Mapping[str, Any], audit: Mapping[str, Any]
) -> list[str]:
    """Return what in the figures of a round would explain that it gained less than the one before; empty if nothing does.

    In this order: saturated tasks, duplicates, errors of the verifier, the model's capacity. If the intervals of both gains overlap, that
    is said first, since there may be nothing to explain.

    Args:
        row: The summary of the round.
        before: That of the round before it.
        audit: What the audit of the verifier measured.
    """
    found = []
    if row["g_high"] >= before["g_low"]:
        found.append(
            f"perhaps chance: g is {row['g']:.2f} [{row['g_low']:.2f}, {row['g_high']:.2f}] after "
            f"{before['g']:.2f} [{before['g_low']:.2f}, {before['g_high']:.2f}]"
        )
    return [
        *found,
        *filter(None, (_saturated(row), _repeated(row), _noise(row, audit), _full(row, before))),
    ]


def _saturated(row: Mapping[str, Any]) -> str | None:
    tasks, solved = row.get("tasks"), row.get("solved_tasks")
    if not tasks or solved is None or solved < NOTABLE * tasks:
        return None
    return (
        f"saturated tasks: every answer to {solved} of {tasks} tasks passed, so they teach nothing that is not known; "
        "ask harder ones"
    )


def _repeated(row: Mapping[str, Any]) -> str | None:
    repeats, passed = (row.get("decisions") or {}).get("duplicate", 0), row.get("passed")
    if not passed or repeats < NOTABLE * passed:
        return None
    return (
        f"duplicates: {repeats} of {passed} passing answers repeat another; ask more tasks with fewer samples each, "
        "or sample at a higher temperature"
    )


def _noise(row: Mapping[str, Any], audit: Mapping[str, Any]) -> str | None:
    """Say how many survivors may be wrong at the upper end of the FPR's interval, if more of them than the round lacks."""
    tpr, worst, found = audit.get("tpr"), audit.get("fpr_high"), row.get("yield")
    if tpr is None or worst is None or found is None or audit.get("fpr") is None:
        return None
    if tpr <= worst:
        return "the verifier's errors: its audit does not tell it from one that passes right and wrong alike"
    right = odds.survivor_precision(
        odds.corrected_pass_rate(found, tpr=tpr, fpr=worst), tpr=tpr, fpr=worst
    )
    wrong = 1 - (right or 0)
    if wrong < 1 - row["held_out"]:
        return None
    return (
        f"the verifier's errors: up to {wrong:.1%} of what passed may be wrong (95 %), no less than the "
        f"{1 - row['held_out']:.1%} that the model gets wrong; audit it with more answers"
    )


def _full(row: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
    """Say that training fits its rows no better although they are more."""
    loss, earlier = row.get("loss"), before.get("loss")
    more = (row.get("rows") or 0) > (before.get("rows") or 0) > 0
    if loss is None or earlier is None or not more or loss < 1.05 * earlier:
        return None
    return (
        f"capacity: the loss rose from {earlier:.4f} to {loss:.4f} on {row['rows']} rows instead of {before['rows']}; "
        "train for more steps, or a larger model"
    )


def told(found: Outlook) -> list[str]:
    """Return the outlook in sentences."""
    lines = []
    names = {
        "measured": "the g of the last round",
        "least": "its least g (95 %)",
        "forecast": "the audit's least g",
    }
    if found.rate == 0:
        lines.append(
            f"to a held-out pass rate of {found.target:g}: no answer passed, and odds of 0 grow by no factor"
        )
        names = {}
    for name, what in names.items():
        way: Way | None = getattr(found, name)
        if way is None or way.rounds == 0:
            continue
        to = f"to a held-out pass rate of {found.target:g} at {what}, {way.multiplier:.2f}"
        if way.rounds is None:
            lines.append(f"{to}: never")
        else:
            price = (
                "" if way.samples is None else f", {way.samples:,.0f} samples, {way.seconds:,.0f} s"
            )
            rounds = "1 round" if way.rounds == 1 else f"{way.rounds} rounds"
            lines.append(f"{to}: {rounds}{price}")
    if found.rate is not None and found.rate >= found.target:
        lines.append(f"the held-out pass rate of {found.rate:.3f} has reached {found.target:g}")
    for number, reasons in found.slower.items():
        why = "; ".join(reasons) or "nothing in its figures says why"
        lines.append(f"round {number} gained less than the one before it: {why}")
    if found.goodhart is not None:
        lines.append(f"the verifier may be gamed: {found.goodhart}")
    return lines
