"""The report of an audit on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from orbiter.cli.text import printable
from orbiter.flywheel.audit_report import EXAMPLES, AuditReport
from orbiter.flywheel.forecast import Cost, Forecast
from orbiter.intervals import Estimate
from orbiter.verify.audit import Audit, Confusion
from orbiter.verify.audit.bounds import Bound

MOST_REASONS = 5
"""Reasons of invalid verdicts that are printed."""

_NAMES = {"fpr": "FPR", "fnr": "FNR"}


def print_audit(report: AuditReport) -> None:
    """Print the tables, what follows from them, and whether the stated bounds are kept."""
    console = Console(highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False)

    say(f"audit of {printable(report.verifier)} {printable(report.version)}")
    for source, audit in report.audits.items():
        _print_source(console, source, audit)
    for line in _lines(report):
        say(line)


def _print_source(console: Console, source: str, audit: Audit) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column(source, no_wrap=True, max_width=24)
    for column in ("right", "wrong", "invalid", "FPR", "FNR"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, family in audit.families.items():
        table.add_row(printable(name, limit=24), *_cells(family))
    table.add_row("all", *_cells(audit), style="bold")
    console.print(
        f"\nanswers passed, right and wrong, and {audit.confidence:.0%} intervals of the rates"
    )
    console.print(table)
    console.print()


def _cells(family: Confusion) -> Iterator[str]:
    yield f"{family.true_positives}/{family.right}" if family.right else ""
    yield f"{family.false_positives}/{family.wrong}" if family.wrong else ""
    invalid = family.invalid_right + family.invalid_wrong
    yield str(invalid) if invalid else ""
    for found, count in ((family.fpr, family.wrong), (family.fnr, family.right)):
        low, high = found.interval.low, found.interval.high
        yield f"[{low:.3f}, {high:.3f}]" if count else ""


def _rate(found: Estimate) -> str:
    if found.value is None:
        return "unknown"
    return f"{found.value:.4f} [{found.interval.low:.4f}, {found.interval.high:.4f}]"


def _lines(report: AuditReport) -> Iterator[str]:
    audit = report.audit
    g = audit.g
    shown = "unknown" if g.value is None else f"{g.value:.4g}"
    yield f"{report.source}: FPR {_rate(audit.fpr)}, FNR {_rate(audit.fnr)} at {audit.confidence:.0%}"
    yield f"g = TPR/FPR: {shown} [{g.interval.low:.4g}, {g.interval.high:.4g}]"
    if report.source == "probes":
        yield "these are rates on made probes; how often a model's own answers are misjudged takes --labelled"
    for name, count, worth in (
        ("right", audit.right, audit.effective_right),
        ("wrong", audit.wrong, audit.effective_wrong),
    ):
        if worth is not None:
            yield f"{count} {name} answers, several to a task, are worth {worth:.0f} independent ones"
    for source, one in report.audits.items():
        yield from _wrong_verdicts(one)
        yield from _invalid(one, source)
    for part in report.stability:
        ids = ", ".join(printable(c.task_id, limit=40) for c in part.changes[:EXAMPLES])
        changed = f"{len(part.changes)} CHANGED: {ids}" if part.changes else "the same"
        yield f"judged {part.name}: {changed} (of {part.count})"
    yield f"speed: {report.verdicts_per_s:,.0f} verdicts/s"
    if report.forecast is not None:
        yield from _forecast(report.forecast, source=report.source)
    for source, bounds in report.bounds.items():
        for bound in bounds:
            yield from _bound(source, bound)
    if not report.measured:
        yield "the audit FAILED: most answers could not be judged, and the rates are those of the others alone"


def _invalid(audit: Audit, source: str) -> Iterator[str]:
    """Count errors by their type, since their text may differ with every answer, each with its commonest text."""
    kinds: Counter[str] = Counter()
    texts: dict[str, list[str]] = {}
    for reason, count in audit.reasons.items():
        head, name, *_ = (*reason.split(": ", 2), "")
        kind = f"{head}: {name}" if head in ("error", "crash") else reason
        kinds[kind] += count
        texts.setdefault(kind, []).append(reason)
    if 2 * kinds.total() > audit.count:
        yield f"invalid: {kinds.total():,} of {audit.count:,} {source}, MOST OF THEM"
    for kind, count in kinds.most_common(MOST_REASONS):
        shown = texts[kind][0] if len(texts[kind]) == 1 else f"{kind}, such as: {texts[kind][0]}"
        yield f"invalid: {count} x {printable(shown)}"
    if len(kinds) > MOST_REASONS:
        yield f"invalid: {len(kinds) - MOST_REASONS} more reasons"


def _wrong_verdicts(audit: Audit) -> Iterator[str]:
    """Say of the first wrong verdicts of each family what they were."""
    said: dict[tuple[str, bool], int] = {}
    order = {name: place for place, name in enumerate(audit.families)}
    for found in sorted(audit.disagreements, key=lambda d: order[d.labelled.family]):
        item = found.labelled
        key = (item.family, item.correct)
        said[key] = said.get(key, 0) + 1
        if said[key] > EXAMPLES:
            continue
        verb = "failed the right" if item.correct else "passed the wrong"
        answer = printable(repr(item.trajectory.answer), limit=80)
        yield f"{printable(item.family)}: {verb} {answer} for {printable(item.task.task_id, limit=60)}"


def _forecast(found: Forecast, *, source: str) -> Iterator[str]:
    made = ", if the model erred as the probes do" if source == "probes" else ""
    if found.unknown:
        yield f"at an observed yield of {found.observed:g} nothing can be told: {found.unknown}"
        return
    yield (
        f"at an observed yield of {found.observed:g}{made}: true pass rate {_rate(found.pass_rate)}, "
        f"right survivors {_rate(found.precision)}"
    )
    if found.right_row_samples is not None:
        yield f"a right survivor costs {found.right_row_samples:,.1f} samples"
    if found.target is not None:
        yield f"to a pass rate of {found.target:g}, at {found.rows:,} survivors a round and at best:"
        for cost in (found.at_best, found.at_least_g):
            if cost is not None:
                yield f"  {_cost(cost)}"


def _cost(cost: Cost) -> str:
    if cost.rounds is None or cost.samples is None:
        return f"g = {cost.multiplier:.4g}: never"
    rounds = "1 round" if cost.rounds == 1 else f"{cost.rounds} rounds"
    return f"g = {cost.multiplier:.4g}: {rounds}, {cost.samples:,.0f} samples"


def _bound(source: str, bound: Bound) -> Iterator[str]:
    name, found = _NAMES[bound.rate], bound.estimate
    stated = f"bound on {source}: {name} <= {bound.limit:g}"
    if bound.kept:
        yield f"{stated} kept: the interval ends at {found.interval.high:.4g}"
        return
    if found.value is None:
        yield f"{stated} MISSED: nothing measures it"
    elif not bound.measured:
        yield f"{stated} MISSED: only {bound.judged:,} of {bound.count:,} answers could be judged"
    elif not bound.shown and found.value <= bound.limit:
        yield (
            f"{stated} MISSED: the interval reaches {found.interval.high:.4g}; "
            "more answers would narrow it"
        )
    elif not bound.shown:
        yield f"{stated} MISSED: it is {_rate(found)}"
    if bound.families:
        named = ", ".join(printable(family) for family in bound.families)
        yield f"{stated} MISSED for certain by: {named}"
