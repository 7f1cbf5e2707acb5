"""What ``orbiter verify`` prints: counts with intervals, reasons, flipped labels and what rests on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orbiter.cli.text import printable
from orbiter.flywheel.rescore import Rescored
from orbiter.verify.scoring import Count, Summary
from orbiter.verify.verifier import Verifier

SHOWN = 10
"""Reasons and flipped labels that are printed; --json and --out have all."""


def print_summary(summary: Summary, verifier: Verifier) -> None:
    """Print a row per env and model, and why rows are invalid."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"verifier {printable(f'{verifier.name} {verifier.version}')}", markup=False)
    table = Table(box=None, pad_edge=False)
    for column in ("env", "model", "rows", "passed", "failed", "invalid", "pass rate [95% CI]"):
        is_text = column in ("env", "model")
        # Where there is no room for all, names go on in the next line, so that no number is cut.
        table.add_column(
            column,
            justify="left" if is_text else "right",
            no_wrap=not is_text,
            overflow="fold" if is_text else "ellipsis",
        )
    rows = [(env, model, count) for (env, model), count in summary.counts.items()]
    if len(rows) > 1:
        rows.append(("all", "", summary.total))
    for env, model, count in rows:
        names = (Text(printable(name, limit=40)) for name in (env, model))
        numbers = (count.total, count.passed, count.failed, count.invalid)
        table.add_row(*names, *map(str, numbers), _rate(count))
    console.print(table)
    _print_reasons(console, summary.reasons)


def summary_row(summary: Summary, verifier: Verifier) -> dict[str, Any]:
    """Return the summary as JSON data; a rate that is unknown is None."""
    return {
        "verifier": verifier.name,
        "version": verifier.version,
        **_count_row(summary.total),
        "reasons": dict(summary.reasons),
        "groups": [
            {"env": env, "model": model, **_count_row(count)}
            for (env, model), count in summary.counts.items()
        ],
    }


def _count_row(count: Count) -> dict[str, Any]:
    rate = count.pass_rate
    known = rate.value is not None
    return {
        "rows": count.total,
        "passed": count.passed,
        "failed": count.failed,
        "invalid": count.invalid,
        "pass_rate": rate.value,
        "pass_rate_low": rate.interval.low if known else None,
        "pass_rate_high": rate.interval.high if known else None,
    }


def _rate(count: Count) -> str:
    rate = count.pass_rate
    if rate.value is None:
        return "-"
    return f"{rate.value:.3f} [{rate.interval.low:.3f}, {rate.interval.high:.3f}]"


def _print_reasons(console: Console, reasons: Mapping[str, int]) -> None:
    for reason, count in list(reasons.items())[:SHOWN]:
        console.print(f"invalid: {count} x {printable(reason)}", markup=False)
    if len(reasons) > SHOWN:
        console.print(f"invalid: {len(reasons) - SHOWN} more reasons", markup=False)


def print_rescored(found: Rescored, *, name: str) -> None:
    """Print what was judged, the labels that flipped, and the data and models that rest on them."""
    console = Console(highlight=False, soft_wrap=True)

    def say(text: str) -> None:
        console.print(text, markup=False)

    by = printable(f"{found.verifier} {found.version}")
    say(f"run {name}: {found.judged} attempts judged with {by}, {found.known} judged before")
    if not found.judged and found.known:
        say("a verifier whose code has changed judges again once its version has changed, too")
    if found.pending:
        say(f"left out: {found.pending} attempts without a verdict of the run itself")
    faults = Counter(found.faults).most_common()
    for reason, count in faults[:SHOWN]:
        say(f"not judged, and not recorded: {count} x {printable(reason)}")
    if len(faults) > SHOWN:
        say(f"not judged, and not recorded: {len(faults) - SHOWN} more reasons; --json has all")
    if found.taint is None:
        return
    kinds = Counter((flip.before, flip.after) for flip in found.taint.flips)
    shown = ", ".join(f"{n} {before} -> {after}" for (before, after), n in sorted(kinds.items()))
    say(f"flipped: {shown or 'none'} of {found.taint.judged}")
    for flip in found.taint.flips[:SHOWN]:
        key = flip.attempt.key
        say(
            f"  {flip.attempt.id}  round {key.round} {printable(key.engine)} {printable(key.task_id, limit=60)}: "
            f"{flip.before} -> {flip.after}"
        )
    if len(found.taint.flips) > SHOWN:
        say(f"  and {len(found.taint.flips) - SHOWN} more; --out writes them all")
    for dataset, count in found.taint.datasets:
        say(f"tainted dataset {dataset.path}: {count} rows whose verdict was taken back")
    for checkpoint in found.taint.checkpoints:
        say(f"tainted checkpoint {checkpoint.path} (round {checkpoint.round})")


def flip_rows(found: Rescored) -> Iterator[dict[str, Any]]:
    """Yield a JSON object per flipped label: its attempt, its row's id, and the outcome before and after."""
    for flip in found.taint.flips if found.taint is not None else ():
        key, row = flip.attempt.key.to_row(), flip.attempt.id
        yield {**key, "id": row, "before": flip.before, "after": flip.after}


def rescored_row(found: Rescored) -> dict[str, Any]:
    """Return the result as JSON data."""
    row: dict[str, Any] = {
        "verifier": found.verifier,
        "version": found.version,
        "judged": found.judged,
        "known": found.known,
        "pending": found.pending,
        "faults": found.faults,
        "flips": list(flip_rows(found)),
        "datasets": [],
        "checkpoints": [],
    }
    if found.taint is not None:
        row["datasets"] = [
            {"path": dataset.path, "hash": dataset.hash, "rows": count}
            for dataset, count in found.taint.datasets
        ]
        row["checkpoints"] = [checkpoint.path for checkpoint in found.taint.checkpoints]
    return row
