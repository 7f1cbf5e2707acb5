"""What a run has spent on answers of policies, as the facts of its steps keep it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orbiter.generate.policy import Spending

FIELDS = ("samples", "tokens", "cost", "priced")


def spending_facts(spent: Spending) -> dict[str, Any]:
    """Return what was spent as plain facts; a cost that nobody told is null and not 0."""
    return {
        "samples": spent.samples,
        "tokens": spent.tokens,
        "cost": spent.cost if spent.priced else None,
        "priced": spent.priced,
    }


def spending_of(facts: Mapping[str, Any]) -> Spending:
    """Return what plain facts say was spent."""
    return Spending(**{name: facts.get(name) or 0 for name in FIELDS})


def total_of(facts: Iterable[Mapping[str, Any]]) -> Spending:
    """Return what several steps spent together."""
    return sum(map(spending_of, facts), Spending())


def asked_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what the data of some rounds took, by their summaries; None if one of them does not say, as those of older versions."""
    given = list(rows)
    if not all("asked" in row for row in given):
        return None
    return spending_facts(total_of(row["asked"] for row in given))


def in_words(facts: Mapping[str, Any]) -> str:
    """Return what was spent in words, with the cost beside how many answers it is known of; nothing if no answer was asked for."""
    if not facts.get("samples"):
        return ""
    parts = [f"{facts['samples']:,} answers"]
    if facts["tokens"]:  # a policy that counts none does not work for free
        parts.append(f"{facts['tokens']:,} tokens")
    if facts["priced"]:
        parts.append(f"cost {facts['cost']:.6g}{unpriced(facts)}")
    return ", ".join(parts)


def unpriced(facts: Mapping[str, Any]) -> str:
    """Return how many answers have no known cost, where some have one; nothing if all have."""
    missing = facts["samples"] - facts["priced"]
    return f" (unknown of {missing:,} of {facts['samples']:,} answers)" if missing else ""
