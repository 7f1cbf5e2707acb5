"""The whole audit of a verifier: judge every probe, and say what it means, as JSON data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any

import attrs
from attrs import frozen

from orbiter.errors import BudgetExceededError
from orbiter.flywheel.forecast import Cost, Forecast, forecast
from orbiter.intervals import Estimate
from orbiter.records import Outcome, Verdict
from orbiter.tasks.streams import item_stream
from orbiter.verify.audit import Audit, Confusion, LabelledAnswer, tally
from orbiter.verify.audit.bounds import Bound, check_bound, check_limit
from orbiter.verify.audit.stability import Answers, Judging, Stability, check_stability
from orbiter.verify.pool.transport import is_fault

EXAMPLES = 3
"""Wrong verdicts that are shown of each family."""

REASONS = 20
"""Reasons of invalid verdicts that are shown."""

_FIRST_CHUNK, _LARGEST_CHUNK = 4, 1_024
_MOST_LOST = 4


@frozen(kw_only=True)
class AuditReport:
    """What an audit found, and what follows.

    Args:
        verifier: Name of the verifier.
        version: Its version.
        audits: What was counted, by source: ``probes`` of an environment, ``labelled`` answers of a file.
        stability: How the repetitions went.
        verdicts_per_s: Verdicts a second, of the first pass over all answers.
        bounds: The stated bounds by source, and whether each is kept.
        forecast: What follows at the given yield, or None if none was given.
    """

    verifier: str
    version: str
    audits: Mapping[str, Audit]
    stability: tuple[Stability, ...]
    verdicts_per_s: float
    bounds: Mapping[str, tuple[Bound, ...]]
    forecast: Forecast | None = None

    @property
    def source(self) -> str:
        """Where the rates that stand for the verifier come from: labelled answers, which are real ones, before probes."""
        return "labelled" if "labelled" in self.audits else "probes"

    @property
    def audit(self) -> Audit:
        """The counts of that source."""
        return self.audits[self.source]

    @property
    def kept(self) -> bool:
        """Whether every stated bound is kept by every source."""
        return all(bound.kept for bounds in self.bounds.values() for bound in bounds)

    @property
    def measured(self) -> bool:
        """Whether at least half of the answers of every source were validly judged: the rates are not those of a few easy ones."""
        return all(
            2 * (audit.invalid_right + audit.invalid_wrong) <= audit.count
            for audit in self.audits.values()
        )

    def to_row(self) -> dict[str, Any]:
        """Return the report as JSON data; what is unknown or infinite is None."""
        return {
            "verifier": self.verifier,
            "version": self.version,
            "confidence": self.audit.confidence,
            "source": self.source,
            "kept": self.kept,
            "measured": self.measured,
            "bounds": [
                {"source": source, **_bound_row(bound)}
                for source, bounds in self.bounds.items()
                for bound in bounds
            ],
            "audits": {source: _audit_row(audit) for source, audit in self.audits.items()},
            "stability": [_stability_row(part) for part in self.stability],
            "verdicts_per_s": round(self.verdicts_per_s, 1),
            "forecast": None if self.forecast is None else _forecast_row(self.forecast),
        }


def examine(
    open_judging: Callable[[], AbstractContextManager[Judging]],
    answers: Mapping[str, Sequence[LabelledAnswer]],
    *,
    verifier: str,
    version: str,
    confidence: float = 0.95,
    seed: int = 0,
    limits: Mapping[str, float] | None = None,
    observed: float | None = None,
    target: float | None = None,
    rows: int = 1_000,
    on_progress: Callable[[int, int], None] | None = None,
) -> AuditReport:
    """Judge answers of known label and return what that says of the verifier.

    Args:
        open_judging: Starts the verifier anew, in another process where it can, and gives what judges with it.
        answers: Labelled answers by source, ``probes`` or ``labelled``; at least one.
        verifier: Name of the verifier.
        version: Its version.
        confidence: Of every interval, in (0, 1).
        seed: Selects the order of judging and the sample that is judged again.
        limits: Stated bounds, by ``fpr`` and ``fnr``.
        observed: Share of answers that the verifier passes now, for the forecast.
        target: True pass rate that is wanted.
        rows: Survivors wanted of each round.
        on_progress: Told how many of how many answers are judged.

    Raises:
        ConfigError: An argument is out of range.
        BudgetExceededError: The verifier runs out of time or memory, or crashes, on most answers.
    """
    limits = limits or {}
    for rate, limit in limits.items():
        check_limit(rate, limit)
    if observed is not None:  # bad arguments are refused before anything is judged
        forecast(Confusion(), observed, target=target, rows=rows)
    every = [item for items in answers.values() for item in items]
    pairs = [(item.task, item.trajectory) for item in every]
    with open_judging() as judging:
        verdicts, verdicts_per_s = _judge_all(
            judging, pairs, seed=seed, verifier=verifier, tell=on_progress
        )
    audits: dict[str, Audit] = {}
    place = 0
    for source, items in answers.items():
        audits[source] = tally(
            items,
            verdicts[place : place + len(items)],
            verifier=verifier,
            version=version,
            by_task=source == "labelled",
            confidence=confidence,
        )
        place += len(items)
    valid = [p for p, v in zip(pairs, verdicts) if v.outcome is not Outcome.INVALID]
    report = AuditReport(
        verifier=verifier,
        version=version,
        audits=audits,
        stability=check_stability(open_judging, valid, seed=seed),
        verdicts_per_s=verdicts_per_s,
        bounds={
            source: tuple(check_bound(audit, rate, limit) for rate, limit in limits.items())
            for source, audit in audits.items()
        },
    )
    if observed is None:
        return report
    return attrs.evolve(report, forecast=forecast(report.audit, observed, target=target, rows=rows))


def _judge_all(
    judging: Judging,
    pairs: Answers,
    *,
    seed: int,
    verifier: str,
    tell: Callable[[int, int], None] | None,
) -> tuple[list[Verdict], float]:
    """Return the verdicts and how many came in a second.

    They are judged in an order of chance, so that a verifier that mostly hangs or crashes is given up on early. The first few, for which
    its process has to start, are not timed unless there are no others.
    """
    order = item_stream("audit order", seed).sample(range(len(pairs)), len(pairs))
    verdicts: dict[int, Verdict] = {}
    lost = untimed = 0
    started = perf_counter()
    for part in _chunks(order):
        if len(verdicts) == _FIRST_CHUNK:
            started, untimed = perf_counter(), _FIRST_CHUNK
        for index, verdict in zip(part, judging([pairs[i] for i in part]), strict=True):
            verdicts[index] = verdict
            lost += is_fault(verdict)
        if tell is not None:
            tell(len(verdicts), len(pairs))
        if lost >= _MOST_LOST and 2 * lost > len(verdicts):
            reason = next(v.reason for v in verdicts.values() if is_fault(v))
            raise BudgetExceededError(
                f"verifier {verifier!r} must judge most answers, and was lost on {lost} of {len(verdicts)}: {reason}",
                hint="mend it, or give it more with --timeout-s and --memory-mb",
            )
    verdicts_per_s = (len(pairs) - untimed) / max(perf_counter() - started, 1e-9)
    return [verdicts[i] for i in range(len(pairs))], verdicts_per_s


def _chunks(order: Sequence[int]) -> Iterator[Sequence[int]]:
    place, size = 0, _FIRST_CHUNK
    while place < len(order):
        yield order[place : place + size]
        place, size = place + size, min(2 * size, _LARGEST_CHUNK)


def _audit_row(audit: Audit) -> dict[str, Any]:
    return {
        **audit.summary(),
        **_estimate_row("fnr", audit.fnr),
        "effective_right": audit.effective_right,
        "effective_wrong": audit.effective_wrong,
        "reasons": dict(list(audit.reasons.items())[:REASONS]),
        "families": {name: _family_row(name, audit) for name in audit.families},
    }


def _family_row(name: str, audit: Audit) -> dict[str, Any]:
    family: Confusion = audit.families[name]
    wrong = [d for d in audit.disagreements if d.labelled.family == name]
    return {
        **family.counts,
        **_estimate_row("fpr", family.fpr),
        **_estimate_row("fnr", family.fnr),
        "examples": [
            {
                "task_id": found.labelled.task.task_id,
                "answer": found.labelled.trajectory.answer[:500],
                "correct": found.labelled.correct,
                "outcome": found.verdict.outcome.value,
                "reason": found.verdict.reason,
            }
            for found in wrong[:EXAMPLES]
        ],
    }


def _estimate_row(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {
        name: _finite(estimate.value),
        f"{name}_low": _finite(estimate.interval.low),
        f"{name}_high": _finite(estimate.interval.high),
    }


def _bound_row(bound: Bound) -> dict[str, Any]:
    return {
        "rate": bound.rate,
        "limit": bound.limit,
        "kept": bound.kept,
        "shown": bound.shown,
        "judged": bound.judged,
        "count": bound.count,
        "families": list(bound.families),
        **_estimate_row("measured", bound.estimate),
    }


def _stability_row(part: Stability) -> dict[str, Any]:
    return {
        "name": part.name,
        "count": part.count,
        "changed": len(part.changes),
        "examples": [
            {
                "task_id": change.task_id,
                "before": change.before.outcome.value,
                "after": change.after.outcome.value,
            }
            for change in part.changes[:EXAMPLES]
        ],
    }


def _forecast_row(found: Forecast) -> dict[str, Any]:
    def cost(given: Cost | None) -> dict[str, Any] | None:
        return None if given is None else {k: _finite(v) for k, v in attrs.asdict(given).items()}

    return {
        "observed": found.observed,
        "unknown": found.unknown,
        **_estimate_row("pass_rate", found.pass_rate),
        **_estimate_row("precision", found.precision),
        "right_row_samples": found.right_row_samples,
        "target": found.target,
        "rows": found.rows,
        "at_best": cost(found.at_best),
        "at_least_g": cost(found.at_least_g),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) < float("inf") else None
