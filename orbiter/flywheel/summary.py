"""The summary of a round: the row that rounds.jsonl keeps, the table shows and the report plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orbiter.flywheel import odds
from orbiter.intervals import Estimate


def summarise_round(
    number: int,
    stages: Mapping[str, Mapping[str, Any]],
    *,
    before: Mapping[str, Any] | None,
    audit: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the figures of a round from the facts of its stages.

    Args:
        number: The round.
        stages: Facts by stage name; a stage that did not run is absent.
        before: The summary of the round before.
        audit: Facts of the audit of the verifier.
    """
    made, kept = stages.get("generate", {}), stages.get("curate", {})
    trained = stages.get("train") or stages.get("teach") or {}
    row: dict[str, Any] = {"round": number}
    row |= {k: made[k] for k in ("sampled", "passed", "failed", "invalid", "reasons") if k in made}
    row |= _rate("yield", fair_counts(made))
    row |= {k: kept[k] for k in ("kept", "decisions", "pairs", "rows", "dataset") if k in kept}
    row |= _held_out(stages.get("evaluate", {}), before)
    # Without a wrong answer of known label the bound would be 1, which says nothing.
    row["g_bound"] = audit.get("g_low") if audit.get("fpr") is not None else None
    row["g_forecast"] = audit.get("g")
    row |= {
        k: trained[k] for k in ("loss", "steps", "checkpoint", "trained_tokens") if k in trained
    }
    row["alarms"] = [*trained.get("alarms", ()), *_alarms(made)]
    row |= _costs(stages)
    return row


def fair_counts(made: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the counts that a yield is made of: those of the first attempts where adaptive sampling chose the others."""
    if "first_passed" not in made:
        return made
    return {"passed": made["first_passed"], "failed": made["first_failed"]}


def goodhart_reason(row: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]) -> str | None:
    """Return why a run should stop because its verifier is being gamed, or None.

    The verifier sees progress that the audit verifier does not: what rises is skill at the verifier. That is said of a round if,
    since some earlier round, the odds of the visible held-out rate rose and those of the audited one fell, both for certain: the
    intervals of the two odds ratios (95 %) lie above and below 1. Any earlier round will do, so that a slow decline is seen
    too. Both rounds answer the same tasks, so the intervals err on the wide side.

    Args:
        row: The summary of the round.
        earlier: The summaries of the rounds before it.
    """
    for before in earlier:
        if not all(
            row.get(name) and before.get(name) for name in ("held_out_valid", "audited_valid")
        ):
            continue
        visible, audited = (_multiplier(name, before, row) for name in ("held_out", "audited"))
        if visible.interval.low > 1 and audited.interval.high < 1:
            return (
                f"the visible pass rate rose from {before['held_out']:.3f} to {row['held_out']:.3f} while "
                f"the audited one fell from {before['audited']:.3f} to {row['audited']:.3f} "
                f"(since round {before['round']}, both beyond their 95 % intervals)"
            )
    return None


def _multiplier(name: str, before: Mapping[str, Any], row: Mapping[str, Any]) -> Estimate:
    """Return by how much the odds of a rate rose between two rounds."""
    return odds.measured_multiplier(
        (before[f"{name}_passed"], before[f"{name}_valid"]),
        (row[f"{name}_passed"], row[f"{name}_valid"]),
        effective=(before.get(f"{name}_effective"), row.get(f"{name}_effective")),
    )


def _rate(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pass rate over valid attempts, with its 95 % Wilson interval; nothing if there were none.

    Where a task had several attempts, ``effective`` of the facts says how many independent ones they are worth.
    """
    valid = facts.get("passed", 0) + facts.get("failed", 0)
    if valid == 0:
        return {}
    interval = odds.wilson(facts["passed"], valid, effective=facts.get("effective"))
    return {
        name: facts["passed"] / valid,
        f"{name}_low": interval.low,
        f"{name}_high": interval.high,
    }


def _held_out(facts: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    row = _rate("held_out", facts)
    if not row:
        return {}
    row |= _counts("held_out", facts["passed"], facts["passed"] + facts["failed"], facts)
    if audited := facts.get("audited_valid"):
        passed, effective = facts["audited_passed"], facts.get("audited_effective")
        second = {"passed": passed, "failed": audited - passed, "effective": effective}
        row |= _rate("audited", second) | _counts("audited", passed, audited, second)
    if before and before.get("held_out_valid"):
        g = _multiplier("held_out", before, row)
        row |= {"g": g.value, "g_low": g.interval.low, "g_high": g.interval.high}
    return row


def _counts(name: str, passed: int, valid: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    counts = {f"{name}_passed": passed, f"{name}_valid": valid}
    if facts.get("effective") is not None:
        counts[f"{name}_effective"] = facts["effective"]
    return counts


def _alarms(made: Mapping[str, Any]) -> list[str]:
    valid = made.get("passed", 0) + made.get("failed", 0)
    if valid and made["passed"] == 0:
        return ["yield is 0: no answer passed, so there is nothing to imitate"]
    if valid and made["failed"] == 0:
        return ["yield is 1: every answer passed, so there is nothing left to learn here"]
    return []


def _costs(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return seconds by kind of work; ``own_s`` is the time in which nothing was generated, verified or trained."""
    total = sum(facts.get("seconds", 0.0) for facts in stages.values())
    generate_s = sum(facts.get("generate_s", 0.0) for facts in stages.values())
    verify_s = sum(facts.get("verify_s", 0.0) for facts in stages.values())
    train_s = sum(facts.get("train_s", 0.0) for facts in stages.values())
    work_s = sum(facts.get("work_s", 0.0) for facts in stages.values())
    tokens = sum(facts.get("tokens", 0) for facts in stages.values())
    # What an interrupted stage had generated before took none of the time that is known.
    timed = sum(facts.get("timed_tokens", 0) for facts in stages.values())
    return {
        "seconds": round(total, 3),
        "generate_s": round(generate_s, 3),
        "verify_s": round(verify_s, 3),
        "train_s": round(train_s, 3),
        "own_s": round(total - work_s - train_s, 3),
        "tokens": tokens,
        "tokens_per_s": round(timed / generate_s, 1) if generate_s > 0 and timed else None,
    }
