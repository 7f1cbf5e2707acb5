"""``orbiter export``: write the data of a run in another tool's format."""

from __future__ import annotations

import argparse
from pathlib import Path

from orbiter.cli.yield_command import add_run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_run_arguments(parser)
    parser.add_argument("format", help="name of an exporter; orbiter plugins lists them")
    parser.add_argument(
        "--out", type=Path, help="file to write (default: exports/FORMAT in the run)"
    )
    parser.add_argument(
        "--skip-unfit", action="store_true", help="leave out rows that the format cannot express"
    )


def main(options: argparse.Namespace) -> int:
    """Write the files and print what they hold."""
    from orbiter.cli.text import printable
    from orbiter.flywheel.account import find_run
    from orbiter.flywheel.export import export_run
    from orbiter.plugin import registry

    run = find_run(options.run, runs_dir=options.runs)
    given = {"skip_unfit": True} if options.skip_unfit else {}
    exporter = registry().create("exporter", options.format, given)
    target = options.out or run / "exports" / f"{exporter.name}{exporter.suffix}"
    report = export_run(run, exporter, target)
    print(f"{report.count} rows as {exporter.name}: {', '.join(map(str, report.files))}")
    for reason, count in report.skipped.items():
        print(f"left out: {count} x {printable(reason)}")
    return 0
