"""The summary of a round: the row that rounds.jsonl keeps, the table shows and the report plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orbiter.flywheel import odds
from orbiter.flywheel.gates import multiplier
from orbiter.flywheel.spending import spending_facts, total_of
from orbiter.generate.policy import Spending
from orbiter.intervals import clustered_size
from orbiter.ledger import AttemptKey
from orbiter.records import Outcome, Verdict

ASKING = ("teach", "demonstrate", "generate", "synthesise")
"""The steps that ask policies for data."""

LOOKS = (
    "answers",
    "length_sum",
    "length_squares",
    "length_variance",
    "refusals",
    "refusals_effective",
)
"""What is told of how held-out answers look."""


def summarise_round(
    number: int,
    stages: Mapping[str, Mapping[str, Any]],
    *,
    name: str = "",
    before: Mapping[str, Any] | None,
    audit: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the figures of a round from the facts of its stages.

    Args:
        number: The round.
        stages: Facts by step; one that did not run is absent.
        name: The recipe's stage.
        before: The summary of the round before.
        audit: Facts of the audit of the verifier.
    """
    made, kept = stages.get("generate", {}), stages.get("curate", {})
    trained = stages.get("train") or stages.get("teach") or {}
    row: dict[str, Any] = {"round": number}
    if name:
        row["name"] = name
    engine = stages.get("synthesise", {})
    counts = ("sampled", "passed", "failed", "invalid", "reasons")
    row |= {k: (made or engine)[k] for k in counts if k in (made or engine)}
    row |= _rate("yield", fair_counts(made))
    if "demonstrate" in stages:
        row["demonstrations"] = stages["demonstrate"]["demonstrations"]
    row |= {
        k: kept[k]
        for k in ("kept", "decisions", "pairs", "rows", "repeated", "contaminated", "dataset")
        if k in kept
    }
    row |= _held_out(stages.get("evaluate", {}), before)
    row |= {k: v for k, v in stages.get("distance", {}).items() if k.startswith("kl")}
    row |= {k: made[k] for k in ("tasks", "solved_tasks", "hinted", "hinted_passed") if k in made}
    if engine:
        # Of its attempts there is no yield, since some are made to fail.
        row["synthesised"] = {"by": engine["by"], "dropped": engine["dropped"]}
    # Without a wrong answer of known label the bound would be 1, which says nothing.
    row["g_bound"] = audit.get("g_low") if audit.get("fpr") is not None else None
    row["g_forecast"] = audit.get("g")
    row |= {
        k: trained[k]
        for k in ("loss", "steps", "checkpoint", "trained_tokens", "trained_samples")
        if k in trained
    }
    row["alarms"] = [*trained.get("alarms", ()), *_alarms(made)]
    row |= _costs(stages)
    asked = total_of(stages[name] for name in ASKING if name in stages)
    row["asked"] = spending_facts(asked)
    row["spent"] = _spent(stages, asked)
    return row


def fair_counts(made: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the counts that a yield is made of: those of the first attempts where adaptive sampling chose the others."""
    if "first_passed" not in made:
        return made
    return {"passed": made["first_passed"], "failed": made["first_failed"]}


def effective_answers(verdicts: Mapping[AttemptKey, Verdict]) -> float | None:
    """Return how many independent answers these are worth, where several are to one task; None: as many as they are."""
    tasks: dict[tuple[int, str, str], list[bool]] = {}
    for key, verdict in verdicts.items():
        if verdict.outcome is not Outcome.INVALID:
            passed = tasks.setdefault((key.round, key.env, key.task_id), [])
            passed.append(verdict.outcome is Outcome.PASS)
    return clustered_size((sum(passed), len(passed)) for passed in tasks.values())


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
    row["looks"] = {name: facts[name] for name in LOOKS if name in facts}
    if audited := facts.get("audited_valid"):
        passed, effective = facts["audited_passed"], facts.get("audited_effective")
        second = {"passed": passed, "failed": audited - passed, "effective": effective}
        row |= _rate("audited", second) | _counts("audited", passed, audited, second)
    if before and before.get("held_out_valid"):
        g = multiplier("held_out", before, row)
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


def _spent(stages: Mapping[str, Mapping[str, Any]], asked: Spending) -> dict[str, Any]:
    """Return what a round spent on data and training: neither its measurement nor the audit is a cost of a method."""
    counted = [
        facts for name, facts in stages.items() if name not in ("evaluate", "audit", "distance")
    ]

    def total(name: str) -> float:
        return sum(facts.get(name) or 0 for facts in counted)

    return {
        **spending_facts(asked),
        "samples": asked.samples + total("trained_samples"),
        "tokens": asked.tokens + total("trained_tokens"),
        "seconds": round(total("seconds"), 3),
    }


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
