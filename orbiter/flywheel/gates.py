"""Gates: whether what a stage made may go on to the next, and why not. Each takes plain figures and gives a reason or None.

A gate closes only on what is certain: on the near end of a 95 % interval, not on a figure that chance may have made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from orbiter.flywheel import odds
from orbiter.flywheel.drift import length_ratio, refusal_rise
from orbiter.flywheel.sections import Gates
from orbiter.intervals import Estimate

_Z = NormalDist().inv_cdf(0.995)


def budget_reason(gates: Gates, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return which budget the rounds so far have used up, or None.

    Args:
        gates: ``max_samples``, ``max_tokens``, ``max_seconds`` and ``max_cost``.
        rows: The summaries of all rounds so far.
    """
    spent = total_spent(rows)
    for name, unit in (
        ("samples", " samples"),
        ("tokens", " tokens"),
        ("seconds", " s"),
        ("cost", ""),
    ):
        most = getattr(gates, f"max_{name}")
        if most is not None and spent[name] >= most:
            shown = f"{spent[name]:,.6g}" if name == "cost" else f"{spent[name]:,.0f}"
            what = "a cost of " if name == "cost" else ""
            return f"the budget of {what}{most:,g}{unit} is used up: {shown}{unit} so far"
    asked = sum(row.get("asked", {}).get("samples", 0) for row in rows)
    if gates.max_cost is not None and asked and not spent["priced"]:
        return f"gates.max_cost is {gates.max_cost:g}, and of no answer the cost is known: give the policy its prices, or bound samples or tokens"
    return None


def total_spent(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what some rounds spent together on their data and training, not on their measurement; the cost is that of what has a price."""
    return {
        name: sum(row.get("spent", {}).get(name) or 0 for row in rows)
        for name in ("samples", "tokens", "seconds", "cost", "priced")
    }


def audit_reason(gates: Gates, audit: Mapping[str, Any]) -> str | None:
    """Return why the verifier is not good enough to learn from, or None; one that was not audited is not."""
    if gates.max_fpr is None:
        return None
    high = audit.get("fpr_high") if audit.get("fpr") is not None else None
    if high is None:
        return "the verifier was not audited on wrong answers, and gates.max_fpr wants a bound on its errors"
    if high > gates.max_fpr:
        return (
            f"the audit leaves a false positive rate of up to {high:.4f}, and gates.max_fpr is {gates.max_fpr:g}: "
            "audit it with more answers, or mend it"
        )
    return None


def yield_reason(gates: Gates, row: Mapping[str, Any]) -> str | None:
    """Return why the samples of a round are too poor to train on, or None."""
    high = row.get("yield_high")
    if gates.min_yield is None or high is None or high >= gates.min_yield:
        return None
    return f"the yield is {row['yield']:.4f}, at most {high:.4f} (95 %), and gates.min_yield is {gates.min_yield:g}"


def drift_reason(
    gates: Gates, row: Mapping[str, Any], before: Mapping[str, Any] | None
) -> str | None:
    """Return how far a stage has led the model from where it was, if that is too far, or None.

    Args:
        gates: ``max_kl``, ``max_length_ratio`` and ``max_refusal_rise``.
        row: The summary of the round.
        before: The last summary from before the stage; None if there is none.
    """
    if gates.max_kl is not None and row.get("kl") is not None and row["kl_low"] > gates.max_kl:
        return (
            f"the model is {row['kl']:.2f} nats per answer from where the stage began, at least {row['kl_low']:.2f} (95 %), "
            f"and gates.max_kl is {gates.max_kl:g}"
        )
    looks, looked = row.get("looks"), (before or {}).get("looks")
    if not looks or not looked:
        return None
    return _length_reason(gates.max_length_ratio, looked, looks) or _refusal_reason(
        gates.max_refusal_rise, looked, looks
    )


def _length_reason(
    bound: float | None, before: Mapping[str, Any], after: Mapping[str, Any]
) -> str | None:
    ratio = None if bound is None else length_ratio(before, after)
    if ratio is None or bound is None or (ratio.low <= bound and ratio.high >= 1 / bound):
        return None
    end = f"at least {ratio.low:.2f}" if ratio.low > bound else f"at most {ratio.high:.2f}"
    return f"held-out answers are {end} times as long as before the stage (95 %), and gates.max_length_ratio is {bound:g}"


def _refusal_reason(
    bound: float | None, before: Mapping[str, Any], after: Mapping[str, Any]
) -> str | None:
    rise = None if bound is None else refusal_rise(before, after)
    if rise is None or bound is None or rise.low <= bound:
        return None
    return (
        f"refusals among held-out answers rose by at least {rise.low:.3f} since before the stage (95 %), and "
        f"gates.max_refusal_rise is {bound:g}"
    )


def goodhart_reason(
    row: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], *, rounds: int = 2
) -> str | None:
    """Return why a run should stop because its verifier is being gamed, or None.

    The verifier sees progress that the audit verifier does not: what rises is skill at the verifier. Two findings close the gate, both
    about the held-out rates since an earlier round, by 95 % intervals; those of odds are Woolf's (1955):

    1. since any earlier round, the visible odds rose and the audited ones fell;
    2. since a round at least ``rounds`` before, the visible odds rose, the audited ones are not seen to have risen, and the visible rate
       gained more than the audited one. An audit verifier that errs shows less of a true rise, but it shows it.

    All these rounds answer the same tasks, so the intervals err on the wide side.

    Args:
        row: The summary of the round.
        earlier: The summaries of the rounds before it.
        rounds: Over how many rounds the audited rate must follow.
    """
    for before in earlier:
        if not all(
            row.get(name) and before.get(name) for name in ("held_out_valid", "audited_valid")
        ):
            continue
        visible, audited = (multiplier(name, before, row) for name in ("held_out", "audited"))
        if visible.interval.low <= 1:
            continue
        story = (
            f"the visible pass rate rose from {before['held_out']:.3f} to {row['held_out']:.3f} while "
            f"the audited one {{}} from {before['audited']:.3f} to {row['audited']:.3f} "
            f"(since round {before['round']}, {{}} their 95 % intervals)"
        )
        if audited.interval.high < 1:
            return story.format("fell", "both beyond")
        late = row["round"] - before["round"] >= rounds
        if late and audited.interval.low <= 1 and _parted(before, row):
            return story.format("did not rise", "by")
    return None


def _parted(before: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Return whether the visible rate gained more than the audited one.

    By the normal interval of the difference of both gains; at 99 %, as many pairs of rounds are looked at. Rates and not odds: an audit
    verifier that errs shows a fixed share of a gain in rate, but ever less of one in odds as its rate nears its ceiling. The four rates are
    taken as independent, which answers to the same tasks make cautious; each is shrunk by one pass and one failure.
    """
    gap, variance = 0.0, 0.0
    for name, sign in (("held_out", 1), ("audited", -1)):
        for facts, when in ((row, 1), (before, -1)):
            valid = facts[f"{name}_valid"]
            size = facts.get(f"{name}_effective") or valid
            rate = (facts[f"{name}_passed"] / valid * size + 1) / (size + 2)
            gap += sign * when * rate
            variance += rate * (1 - rate) / size
    return gap > _Z * math.sqrt(variance)


def multiplier(name: str, before: Mapping[str, Any], row: Mapping[str, Any]) -> Estimate:
    """Return by how much the odds of a rate rose between two rounds."""
    return odds.measured_multiplier(
        (before[f"{name}_passed"], before[f"{name}_valid"]),
        (row[f"{name}_passed"], row[f"{name}_valid"]),
        effective=(before.get(f"{name}_effective"), row.get(f"{name}_effective")),
    )
