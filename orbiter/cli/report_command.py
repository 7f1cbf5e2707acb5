"""``orbiter report``: write the report of a run as one HTML page."""

from __future__ import annotations

import argparse

from orbiter.cli.yield_command import add_run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_run_arguments(parser)


def main(options: argparse.Namespace) -> int:
    """Write report.html in the run's folder and print where it is."""
    from orbiter.flywheel.account import find_run
    from orbiter.flywheel.report import write_report

    print(write_report(find_run(options.run, runs_dir=options.runs)))
    return 0
