"""``orbiter plan``: say what a recipe will cost, from a short timed probe."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from orbiter.cli.run_command import add_recipe_arguments

if TYPE_CHECKING:
    from orbiter.flywheel import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_recipe_arguments(parser)
    parser.add_argument(
        "--probe", type=int, default=64, metavar="N", help="tasks to probe (default: 64)"
    )


def main(options: argparse.Namespace) -> int:
    """Probe, and print samples, tokens, expected rows and time."""
    from orbiter.cli.text import printable
    from orbiter.errors import ConfigError
    from orbiter.flywheel import Flywheel, load_recipe
    from orbiter.flywheel.probe import estimate, expected_kept

    if options.probe < 1:
        raise ConfigError(f"--probe must be >= 1, got {options.probe}")
    recipe = load_recipe(options.recipe, options.overrides, scale=options.scale)
    wheel = Flywheel(recipe, runs_dir=options.runs, base_dir=options.recipe.parent)
    if not recipe.asks:
        print(f"{recipe.name}: {_walk(recipe)}\n  samples   none: its policy is not asked")
        return 0
    found = estimate(wheel, tasks=options.probe)
    print(f"{recipe.name}: {_walk(recipe)}")
    stages = recipe.graph.values()
    bound = ", and all that engines may make" if any(stage.synthesise for stage in stages) else ""
    print(f"  samples   {found.samples:,} (held-out ones included{bound})")
    print(f"  tokens    {found.tokens:,} generated")
    print(f"  time      {_duration(found.seconds)}: sampling {_duration(found.sample_s)}", end="")
    print("" if found.train_s is None else f", training {_duration(found.train_s)}")
    if found.pass_rate is None or found.pass_rate_interval is None:
        print(
            f"  probe     {found.probed} answers, none with a valid verdict: {printable(found.reason)}"
        )
        return 0
    low, high = found.pass_rate_interval.low, found.pass_rate_interval.high
    print(
        f"  probe     {found.probed} answers, pass rate {found.pass_rate:.3f} [{low:.3f}, {high:.3f}]"
    )
    if recipe.teach is not None:
        print(
            "            (of the model before its cold start, unless the run has a checkpoint already)"
        )
    if bound and not any(stage.generate for stage in stages):
        return 0  # how much of what an engine makes is kept, no answer to an old task tells
    print(
        f"  kept      {found.kept_per_round:,.0f} rows a round at the probed pass rate; at most",
        end=" ",
    )
    print(", ".join(f"{expected_kept(wheel, p):,.0f} at {p:g}" for p in (0.1, 0.5, 0.9)))
    return 0


def _walk(recipe: Recipe) -> str:
    """Return the rounds of a recipe, stage by stage where it has some."""
    said = []
    for name, stage in recipe.graph.items():
        rounds = f"{stage.rounds} rounds" if stage.rounds > 1 or not recipe.stages else "1 round"
        what = [] if stage.train is None else [stage.train.algorithm]
        if (made := stage.generate) is not None:
            what.insert(0, f"{made.tasks} tasks x {made.samples} samples")
        if (engine := stage.synthesise) is not None:
            what.insert(0, f"{engine.name} of {engine.tasks} tasks")
        if (shown := stage.demonstrate) is not None:
            what.insert(0, f"{shown.count} demonstrations")
        if not recipe.stages:
            return f"{rounds} of {what[0]}"
        said.append(f"{name} ({rounds}{''.join(f', {one}' for one in what)})")
    return ", ".join(said)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
