"""Self-play games per second with rows written, beside a bare loop around the same C++ search that writes nothing.

    python benchmarks/selfplay.py [--repeats 7] [--seconds 3]

The bare loop plays the very same games: it makes a game's player from the seed that the framework gives it. All alternate in one process.
On one core the ratio is the median of processor times, slice by slice, since a busy machine is not as busy all the time. On two it is of
wall times, the shortest of each kind, since what else the machine does only ever adds to one; beside it the median of the ratios, and
what two bare loops in two forks of this process reach, which is all that the machine gives.
Bars: 0.95 on one core and 1.85 on two, or what two bare loops reach where that is less ("busy"). The shortest game takes 0.4 ms.
What the positions of a small game are worth is found out in a first pass that is not timed.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from attrs import frozen
from orbiter_openspiel.games import load_game
from orbiter_openspiel.search import make_mcts_bot
from orbiter_openspiel.selfplay import SelfPlaySynthesiser

from orbiter.tasks.streams import item_seed

ONE_CORE, TWO_CORES = 0.95, 1.85

SLICES = 8
"""Parts of a repeat on one core, in which the bare loop and the framework alternate."""


@frozen
class Setting:
    """A game, simulations per move, and what is kept."""

    game: str
    simulations: int
    keep: str = "all"
    rows: str = "games"


SETTINGS = (
    Setting("tic_tac_toe", 100),
    Setting("tic_tac_toe", 100, keep="graded", rows="moves"),
    Setting("tic_tac_toe", 400),
    Setting("tic_tac_toe", 400, keep="graded", rows="moves"),
    Setting("connect_four", 100),
    Setting("breakthrough(rows=6,columns=6)", 100),
)


def bare(setting: Setting, games: range) -> None:
    """Play games between a C++ player and itself, seeded for each game, and keep nothing."""
    game = load_game(setting.game)
    for index in games:
        bot = make_mcts_bot(game, simulations=setting.simulations, seed=seed_of(game.name, index))
        state = game.spiel.new_initial_state()
        while not state.is_terminal():
            state.apply_action(bot.step(state))


@functools.cache
def seed_of(game: str, index: int) -> int:
    """Return the seed of a player in one game, which the framework derives anew."""
    return item_seed("selfplay", game, 0, index, 0)


def bare_twice(setting: Setting, games: int) -> None:
    """Play half of the games in each of two processes."""
    fork = multiprocessing.get_context("fork")
    halves = range(games // 2), range(games // 2, games)
    started = [fork.Process(target=bare, args=(setting, half)) for half in halves]
    for process in started:
        process.start()
    for process in started:
        process.join()


def measure(setting: Setting, *, repeats: int, seconds: float) -> bool:
    """Print the ratios of a setting, and return whether its bars are held."""
    synthesiser = SelfPlaySynthesiser(
        game=setting.game, simulations=setting.simulations, keep=setting.keep, rows=setting.rows
    )
    start = time.process_time()
    bare(setting, range(20))
    games = max(20, 2 * int(10 * seconds / (time.process_time() - start)))
    bare(setting, range(games))  # derives the seeds
    one, walls = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        report = synthesiser.write(path, games=games)
        size = max(20, games // SLICES)
        spent = 0.0
        for _ in range(repeats):
            for _ in range(SLICES):
                clocks = [time.process_time()]
                bare(setting, range(size))
                clocks.append(time.process_time())
                synthesiser.write(path, games=size)
                clocks.append(time.process_time())
                cpu = [b - a for a, b in itertools.pairwise(clocks)]
                one.append(cpu[0] / cpu[1])
                spent += cpu[1]
            clocks = [time.perf_counter()]
            bare(setting, range(games))
            clocks.append(time.perf_counter())
            synthesiser.write(path, games=games, workers=2)
            clocks.append(time.perf_counter())
            bare_twice(setting, games)
            clocks.append(time.perf_counter())
            walls.append([b - a for a, b in itertools.pairwise(clocks)])
    alone, ours, bare_ones = map(min, zip(*walls))
    ratio, two, ceiling = statistics.median(one), alone / ours, alone / bare_ones
    median = statistics.median(wall[0] / wall[1] for wall in walls)
    busy = two < TWO_CORES and two >= ONE_CORE * ceiling
    held = ratio >= ONE_CORE and (busy or two >= TWO_CORES)
    verdict = "MISSED" if not held else "busy" if busy else "held"
    print(
        f"{setting.game:30}  {setting.simulations:11}  {setting.keep:6}  {games:5}  {report.row_count:6}  "
        f"{size * SLICES * repeats / spent:9.0f}  {ratio:8.3f}  {two:9.2f}  {median:6.2f}  {ceiling:8.2f}  {verdict}",
        flush=True,
    )
    return held


def main() -> None:
    """Measure, print and exit with 1 below a bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of the bare loop")
    options = parser.parse_args()
    print(
        f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"open_spiel {version('open_spiel')}, orbiter-openspiel {version('orbiter-openspiel')}"
    )
    print(
        f"{'game':30}  simulations  keep    games    rows  games/cpu-s  one core  two cores  median  two bare"
    )
    held = [measure(each, repeats=options.repeats, seconds=options.seconds) for each in SETTINGS]
    raise SystemExit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
