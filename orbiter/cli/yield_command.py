"""``orbiter yield``: print the account of a run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_run_arguments(parser)
    parser.add_argument(
        "--target",
        type=float,
        default=0.9,
        metavar="RATE",
        help="held-out pass rate that the outlook is on (default: 0.9)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that every command on a run takes."""
    parser.add_argument("run", help="the run's folder or name")
    add_runs_argument(parser)


def add_runs_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says where runs are."""
    parser.add_argument(
        "--runs", type=_folder, default=Path("runs"), help="folder of runs (default: runs)"
    )


def _folder(given: str) -> Path:
    path = Path(given)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder, got {given!r}")
    return path


def main(options: argparse.Namespace) -> int:
    """Print the account: every attempt, by round and engine, and what the yield means."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from orbiter.checks import check_number
    from orbiter.cli.text import printable
    from orbiter.convert import unstructure
    from orbiter.flywheel.account import find_run, read_account
    from orbiter.flywheel.outlook import outlook, told
    from orbiter.flywheel.spending import in_words as spent_in_words

    check_number("--target", options.target, "(0, 1)")
    account = read_account(find_run(options.run, runs_dir=options.runs))
    ahead = outlook(account.summaries, account.audit, target=options.target)
    if options.json:
        row = unstructure(account) | {"outlook": unstructure(ahead)}
        row.pop("summaries", None)
        print(json.dumps(row, indent=2))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    title = f"{account.name}  {account.state}  ({account.path})"
    console.print(printable(title), markup=False)
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column in (
        "round",
        "engine",
        "planned",
        "passed",
        "failed",
        "invalid",
        "pending",
        "yield [95% CI]",
    ):
        if column == "engine":
            # It goes on in the next line where there is no room, so that no number is cut.
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, justify="right", no_wrap=True)
    for row in account.rounds:
        invalid = str(sum(row["invalid"].values()))
        counts = [str(row[k]) for k in ("planned", "passed", "failed")]
        engine = Text(printable(row["engine"], limit=40))  # a file's, and no markup
        table.add_row(str(row["round"]), engine, *counts, invalid, str(row["pending"]), rate(row))
    console.print(table, soft_wrap=False)
    for row in account.rounds:
        if row["decisions"]:
            parts = ", ".join(f"{count} {name}" for name, count in sorted(row["decisions"].items()))
            console.print(f"round {row['round']} funnel: {printable(parts)}", markup=False)
        if row.get("dropped"):
            counts = row["dropped"].items()
            parts = ", ".join(f"{count} {name}" for name, count in counts)
            said = f"round {row['round']} given up by {row['by']} before a verdict: {parts}"
            console.print(printable(said), markup=False)
        if beside := spent_in_words(row.get("beside", {})):
            console.print(f"round {row['round']} beside its attempts: {beside}", markup=False)
    for done in account.summaries:
        if "demonstrations" in done:
            console.print(
                f"round {done['round']} demonstrated {done['demonstrations']} rows that the verifier passed",
                markup=False,
            )
        if done.get("repeated"):
            console.print(
                f"round {done['round']} trained on {done['rows']} rows; {done['repeated']} more say what "
                "earlier ones say, and are not in it again",
                markup=False,
            )
        if done.get("contaminated"):
            console.print(
                f"round {done['round']} left {done['contaminated']} rows of files out that repeat held-out tasks",
                markup=False,
            )
    for model, row in account.by_model.items():
        if len(account.by_model) > 1:
            console.print(
                f"model {printable(model) or '(unnamed)'}: {rate(row)}, {row['invalid']} invalid",
                markup=False,
            )
    reasons: dict[str, int] = {}
    for row in account.rounds:
        for reason, count in row["invalid"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    for reason, count in sorted(reasons.items(), key=lambda kv: -kv[1]):
        console.print(f"invalid: {count} x {printable(reason)}", markup=False)
    if account.audit.get("tpr") is not None:
        console.print(f"verifier audit: {_audit(account.audit)}", markup=False)
    for sentence in told(ahead):
        console.print(f"outlook: {printable(sentence)}", markup=False)
    total = account.total
    if spent := spent_in_words(account.spent):
        console.print(f"spent: {spent}", markup=False)
    console.print(
        f"planned {total.planned} = passed {total.passed} + failed {total.failed} + "
        f"invalid {total.invalid_count} + pending {total.pending}",
        markup=False,
    )
    return 0


def rate(row: Mapping[str, Any]) -> str:
    """Return a yield with its interval, or a dash."""
    if row.get("yield") is None:
        return "-"
    return f"{row['yield']:.3f} [{row['yield_low']:.3f}, {row['yield_high']:.3f}]"


def _audit(audit: Mapping[str, Any]) -> str:
    right = f"TPR {audit['tpr']:.3f} [{audit['tpr_low']:.3f}, {audit['tpr_high']:.3f}]"
    if audit.get("fpr") is None:
        return f"{right}, FPR unknown: no wrong answers to be judged"
    return (
        f"{right}, "
        f"FPR {audit['fpr']:.3f} [{audit['fpr_low']:.3f}, {audit['fpr_high']:.3f}], "
        f"g at least {audit['g_low']:.0f}"
    )
