"""Self-play games per second with rows written, beside a bare loop around the same C++ search that writes nothing.

    python benchmarks/selfplay.py [--games 1000] [--repeats 10] [--simulations 100] [--game tic_tac_toe]

The two alternate in one process; each figure is the best of the repeats. Bar: the framework's share is at least 0.9.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import pyspiel
from orbiter_openspiel.search import EXPLORATION, MEMORY_MB
from orbiter_openspiel.selfplay import SelfPlaySynthesiser

BAR = 0.9


def bare(game: str, games: int, simulations: int) -> int:
    """Play games with two C++ players that are made once, and keep nothing; return the moves played."""
    spiel = pyspiel.load_game(game)
    bots = [
        pyspiel.MCTSBot(
            spiel,
            pyspiel.RandomRolloutEvaluator(1, seat),
            EXPLORATION,
            simulations,
            MEMORY_MB,
            True,
            seat,
            False,
        )
        for seat in range(2)
    ]
    moves = 0
    for _ in range(games):
        state = spiel.new_initial_state()
        while not state.is_terminal():
            state.apply_action(bots[state.current_player()].step(state))
            moves += 1
    return moves


def main() -> None:
    """Measure, print and exit with 1 below the bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--games", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=10)
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
    best = {"bare": 0.0, "orbiter": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        for _ in range(options.repeats):
            start = time.perf_counter()
            moves = bare(options.game, options.games, options.simulations)
            middle = time.perf_counter()
            report = synthesiser.write(path, games=options.games)
            end = time.perf_counter()
            best["bare"] = max(best["bare"], options.games / (middle - start))
            best["orbiter"] = max(best["orbiter"], options.games / (end - middle))
        size = path.stat().st_size
    ratio = best["orbiter"] / best["bare"]
    print(
        f"{options.game}, {options.simulations} simulations, {options.games} games, "
        f"{moves / options.games:.1f} moves each"
    )
    print(f"bare loop, nothing kept     {best['bare']:8.0f} games/s")
    print(
        f"orbiter, {report.row_count} rows written {best['orbiter']:8.0f} games/s  ({size / 1e6:.1f} MB)"
    )
    print(f"ratio {ratio:.3f}  bar {BAR}  {'held' if ratio >= BAR else 'MISSED'}")
    raise SystemExit(0 if ratio >= BAR else 1)


if __name__ == "__main__":
    main()
