"""``orbiter compare``: run recipes from the same start on the same budget, and say which comes how far."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from orbiter.cli.stopping import terminable
from orbiter.cli.yield_command import add_runs_argument

if TYPE_CHECKING:
    from orbiter.flywheel.comparison import Course, Standing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("recipes", nargs="+", type=Path, help="recipe files (YAML)")
    parser.add_argument(
        "--task",
        type=Path,
        metavar="RECIPE",
        help="a recipe whose start all of them take: its environment, verifiers, model, policy, cold start and measurement",
    )
    parser.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="seeds 1 to N (default: 5)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="field=value",
        help="replace a field in every recipe that has it; may be given again",
    )
    for name, what in (
        ("samples", "answers sampled"),
        ("tokens", "tokens generated and trained on"),
        ("seconds", "seconds of making data and training"),
    ):
        parser.add_argument(
            f"--{name}", type=float, metavar="N", help=f"budget of each run: {what}"
        )
    parser.add_argument(
        "--target", type=float, default=0.9, help="held-out pass rate (default: 0.9)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the plot")
    add_runs_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Run what is not finished yet, and print the table."""
    from orbiter.checks import check_number, check_whole_number
    from orbiter.cli.text import one_line
    from orbiter.flywheel.comparison import Budget, compare, standings, to_json
    from orbiter.flywheel.comparison_chart import comparison_chart
    from orbiter.flywheel.recipe_file import load_recipe
    from orbiter.jsonl import replace_file

    check_whole_number("--seeds", options.seeds, low=1)
    check_number("--target", options.target, "(0, 1]")
    for name in ("samples", "tokens", "seconds"):
        if (most := getattr(options, name)) is not None:
            check_number(f"--{name}", most, "(0, inf)" if name == "seconds" else "[1, inf)")
    budget = Budget(samples=options.samples, tokens=options.tokens, seconds=options.seconds)
    recipes = [load_recipe(path, options.overrides, start=options.task) for path in options.recipes]

    def tell(course: Course) -> None:
        if not options.json:
            rates = " ".join(f"{mark.rate:.3f}" for mark in course.marks)
            why = f"  ({one_line(course.stopped)})" if course.stopped else ""
            print(f"{course.recipe} seed {course.seed}: {rates}{why}", flush=True)

    with terminable():
        courses = compare(
            recipes,
            seeds=range(1, options.seeds + 1),
            budget=budget,
            runs_dir=options.runs,
            base_dirs=[path.parent for path in options.recipes],
            on_course=tell,
        )
    found = standings(courses, target=options.target)
    if options.json:
        print(json.dumps(to_json(found, target=options.target, budget=budget), indent=2))
    else:
        print(table(found, target=options.target))
    if options.svg is not None:
        title = f"Held-out pass rate on {recipes[0].environment.name}, {options.seeds} seed{'s' * (options.seeds > 1)}"
        with replace_file(options.svg) as file:
            file.write(comparison_chart(found, target=options.target, title=title).encode())
    return 0


def table(found: list[Standing], *, target: float) -> str:
    """Return the table as text: the mean rate, and the median costs to the target, the best first."""
    from orbiter.cli.text import printable

    head = ["recipe", "held-out [95% CI]", f"reached {target:g}", "samples", "tokens", "seconds"]
    lines = [head]
    for standing in sorted(found, key=lambda one: one.rate.value or 0, reverse=True):
        interval = standing.rate.interval
        costs = [
            "-" if (cost := standing.costs[name]) is None else f"{cost:,.0f}"
            for name in ("samples", "tokens", "seconds")
        ]
        lines.append(
            [
                printable(standing.recipe),
                f"{standing.rate.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]",
                f"{standing.reached} of {len(standing.courses)}",
                *costs,
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )
