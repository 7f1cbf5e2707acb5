"""Kill runs of a recipe at random moments until a number of kills has hit, and go on with each; a script of its own.

What is forked must be small: a test process that has loaded torch takes longer to fork than a small run takes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import NoReturn

from orbiter.errors import LedgerWarning
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.flywheel.account import read_account


def main(recipe: Path, runs: Path, kills: int) -> None:
    """Print a JSON object: the folder of a run never stopped, and those of the runs that were."""
    # What is imported on first use would make every wait too long.
    turn(recipe, runs / "first").run()
    started = time.monotonic()
    whole = turn(recipe, runs / "whole").run().path
    long = time.monotonic() - started
    chance, hits, stopped = random.Random(5), 0, []
    while hits < kills:
        folder = runs / f"run-{len(stopped) + 1}"
        tries = 0
        while hit_one(recipe, folder, chance.uniform(0, long) * (1 + tries / 20)):
            hits += 1
            # A start that is killed before it gets anywhere must not be repeated for ever.
            tries += 1
        stopped.append(str(turn(recipe, folder).run().path))
    account = read_account(whole).total
    for path in stopped:
        assert read_account(Path(path)).total == account, path
    print(json.dumps({"whole": str(whole), "stopped": stopped, "kills": hits}))


def turn(recipe: Path, folder: Path) -> Flywheel:
    return Flywheel(load_recipe(recipe), runs_dir=folder, base_dir=recipe.parent)


def hit_one(recipe: Path, folder: Path, wait_s: float) -> bool:
    """Start the run and kill it after a while; return whether it was still running."""
    child = os.fork()
    if child == 0:
        run_to_its_end(turn(recipe, folder))
    time.sleep(wait_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def run_to_its_end(wheel: Flywheel) -> NoReturn:
    status = 1
    try:
        wheel.run()
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    warnings.simplefilter("ignore", LedgerWarning)  # torn lines are cut, as they should be
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
