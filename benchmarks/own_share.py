"""The share of a demo round that is neither generating, verifying nor training: what orbiter itself costs.

    python benchmarks/own_share.py [--rounds 3]

Runs the sorting recipe for some rounds in a temporary folder. A round lasts from the end of the one before to its own end, so what
is done between its stages counts as orbiter's own too. Bar: at most 3 % of a round, in the best of the rounds' ratios and in their
median, which a busy machine disturbs alike above and below the line of the fraction.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from datetime import datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from orbiter.flywheel import Flywheel, load_recipe

BAR = 0.03
RECIPE = Path(__file__).parent.parent / "examples" / "recipes" / "sorting.yaml"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"python {platform.python_version()}, torch {version('torch')}, trl {version('trl')}")
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        recipe = load_recipe(RECIPE, [f"rounds={options.rounds}"])
        rows = Flywheel(recipe, runs_dir=Path(folder)).run().rounds
    shares = []
    for before, row in pairwise(rows):
        began, ended = (datetime.fromisoformat(one["time"]) for one in (before, row))
        seconds = (ended - began).total_seconds()
        between = seconds - row["seconds"]
        shares.append((row["own_s"] + between) / seconds)
        print(
            f"round {row['round']}: {seconds:.2f} s with generate {row['generate_s']:.2f}, verify {row['verify_s']:.2f}, "
            f"train {row['train_s']:.2f}, own {row['own_s']:.2f} in stages and {between:.2f} between ({shares[-1]:.1%})"
        )
    median = statistics.median(shares)
    print(
        f"own share: median {median:.1%}, best {min(shares):.1%}; bar {BAR:.0%}: {'holds' if median <= BAR else 'missed'}"
    )
    print(f"load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
