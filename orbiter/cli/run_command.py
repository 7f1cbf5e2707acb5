"""``orbiter run``: turn the loop that a recipe describes, or go on with it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from orbiter.cli.stopping import stop_code, terminable
from orbiter.cli.yield_command import add_runs_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_recipe_arguments(parser)
    parser.add_argument(
        "--plain", action="store_true", help="print plain lines instead of a live table"
    )
    parser.add_argument("--no-report", action="store_true", help="do not write report.html")


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that every command on a recipe takes."""
    parser.add_argument("recipe", type=Path, help="recipe file (YAML)")
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],  # or else argparse calls them required
        metavar="field=value",
        help="replace a field, such as policy.temperature=0.8",
    )
    parser.add_argument(
        "--scale",
        action="store_true",
        help="lay the recipe's section scale over it: a real model instead of a small one",
    )
    add_runs_argument(parser)


def main(options: argparse.Namespace) -> int:
    """Run, show progress, and end with what it cost and where things are."""
    from orbiter.cli.progress import Progress, print_ending
    from orbiter.flywheel import Flywheel, load_recipe
    from orbiter.plugin import plugin_manager

    recipe = load_recipe(options.recipe, options.overrides, scale=options.scale)
    wheel = Flywheel(recipe, runs_dir=options.runs, base_dir=options.recipe.parent)
    progress = Progress(recipe, live=not options.plain and sys.stdout.isatty())
    plugin_manager().register(progress)
    try:
        with progress, terminable():
            result = wheel.run()
    except KeyboardInterrupt as stop:
        print(
            f"\nstopped; what is done is in {wheel.path}. The same command goes on from there.",
            file=sys.stderr,
        )
        return stop_code(stop)
    finally:
        plugin_manager().unregister(progress)
    if not options.no_report and not result.was_finished:
        from orbiter.flywheel.report import write_report

        write_report(result.path)
    print_ending(recipe, result, recipe_path=options.recipe, overrides=options.overrides)
    return 0
