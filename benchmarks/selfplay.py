"""Self-play games per second with rows written, beside a bare loop around the same C++ search that writes nothing.

    python benchmarks/selfplay.py [--games 1000] [--repeats 15] [--simulations 100] [--game tic_tac_toe]

Both make a game's players from a seed of the game's own, so that a game can be played again. The two alternate
in one process. Speeds are the best of the repeats; the ratio is the median of the pairs, which a busy machine slows alike.
Bar: at least 0.9.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import pyspiel
from orbiter_openspiel.search import EXPLORATION, MEMORY_MB
from orbiter_openspiel.selfplay import SelfPlaySynthesiser

BAR = 0.9


def bare(game: str, games: int, simulations: int) -> int:
    """Play games between two C++ players, seeded for each game, and keep nothing; return the moves played."""
    spiel = pyspiel.load_game(game)
    moves = 0
    for index in range(games):
        bots = [player(spiel, simulations, seed=2 * index + seat) for seat in range(2)]
        state = spiel.new_initial_state()
        while not state.is_terminal():
            state.apply_action(bots[state.current_player()].step(state))
            moves += 1
    return moves


def player(spiel: pyspiel.Game, simulations: int, *, seed: int) -> pyspiel.MCTSBot:
    """Return OpenSpiel's search with the settings that the framework gives it."""
    evaluator = pyspiel.RandomRolloutEvaluator(1, seed)
    return pyspiel.MCTSBot(spiel, evaluator, EXPLORATION, simulations, MEMORY_MB, True, seed, False)


def main() -> None:
    """Measure, print and exit with 1 below the bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--games", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--simulations", type=int, default=100)
    parser.add_argument("--game", default="tic_tac_toe")
    options = parser.parse_args()
    synthesiser = SelfPlaySynthesiser(
        game=options.game, simulations=options.simulations, keep="all"
    )
    print(
        f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"open_spiel {version('open_spiel')}, orbiter-openspiel {version('orbiter-openspiel')}"
    )
    bare_s, own_s = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        for _ in range(options.repeats):
            start = time.perf_counter()
            moves = bare(options.game, options.games, options.simulations)
            middle = time.perf_counter()
            report = synthesiser.write(path, games=options.games)
            end = time.perf_counter()
            bare_s.append(middle - start)
            own_s.append(end - middle)
        size = path.stat().st_size
    ratio = statistics.median(b / o for b, o in zip(bare_s, own_s))
    print(
        f"{options.game}, {options.simulations} simulations, {options.games} games, "
        f"{moves / options.games:.1f} moves each"
    )
    print(f"bare loop, nothing kept     {options.games / min(bare_s):8.0f} games/s")
    print(
        f"orbiter, {report.row_count} rows written {options.games / min(own_s):8.0f} games/s  ({size / 1e6:.1f} MB)"
    )
    print(f"ratio {ratio:.3f}  bar {BAR}  {'held' if ratio >= BAR else 'MISSED'}")
    raise SystemExit(0 if ratio >= BAR else 1)


if __name__ == "__main__":
    main()
