"""Games between teachers as rows: one per game and seat, or one per move."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyspiel
from attrs import frozen

from orbiter import jsonl
from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError, OrbiterWarning
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.records import Trajectory
from orbiter.tasks.streams import item_seed, item_stream
from orbiter_openspiel.games import load_game
from orbiter_openspiel.teachers import make_teacher

TERMINAL = int(pyspiel.PlayerId.TERMINAL)

KEEP = ("winners", "all", "graded")
ROWS = ("games", "moves")

PATIENCE = 100
"""Games without a kept row, per row that is asked for, after which ``generate`` gives up."""

BLOCK_SIZE = 64
"""Games that are played before their rows are written: between two searches no processor cache holds the writing code."""


@frozen
class PlayedGame:
    """One finished game.

    Args:
        index: Number of the game.
        history: Every action, chance outcomes included.
        seats: Who took each action; negative for chance.
        returns: Utility per seat.
        outcomes: Per seat 1 for a win, 0.5 for a draw of all, 0 for a loss.
    """

    index: int
    history: list[int]
    seats: list[int]
    returns: list[float]
    outcomes: tuple[float, ...]


@frozen
class SelfPlayReport:
    """What ``write`` wrote.

    Args:
        game_count: Games that were played.
        row_count: Rows that were kept and written.
        win_counts: Games won per seat.
        draw_count: Games that nobody won.
    """

    game_count: int
    row_count: int
    win_counts: tuple[int, ...]
    draw_count: int


class SelfPlaySynthesiser(DataSynthesiser):
    """Plays games between teachers and keeps what they did well.

    The metadata of a row holds the game, its index and history, the seat, the returns and the teachers. With ``rows="moves"`` the
    history ends at the decision, and for a game whose positions can be listed the row has the id of that task of
    environment ``openspiel``.

    Game number n depends on the options, the seed and n alone, so that more games are the same games and more.

    Args:
        game: OpenSpiel's name, such as ``tic_tac_toe``.
        teacher: Who plays: ``mcts``, ``cfr``, ``minimax`` or ``random``; one name for all seats, or a list with one per seat.
        simulations: Simulations per move of ``mcts``.
        seed: Selects the games.
        keep: ``winners``: rows of seats that won; ``all``: every seat, scored 1, 0.5 or 0 for win, draw and loss; ``graded``:
            every seat, scored by its return, mapped from the game's range of utilities to [0, 1]. Where chance deals, winning
            is partly luck: sampling an equilibrium and keeping winners biases the moves, keeping all does not.
        rows: ``games``: one row per game and seat, user and assistant taking turns; ``moves``: one row per decision.
    """

    def __init__(
        self,
        *,
        game: str,
        teacher: str | Sequence[str] = "mcts",
        simulations: int = 100,
        seed: int = 0,
        keep: str = "winners",
        rows: str = "games",
    ) -> None:
        self.game = load_game(game)
        seats = self.game.spiel.num_players()
        names = [teacher] * seats if isinstance(teacher, str) else list(teacher)
        if len(names) != seats:
            raise ConfigError(
                f"teacher must be one name or one per seat of {game!r} ({seats}), got {teacher!r}"
            )
        if keep not in KEEP:
            raise ConfigError(f"keep must be one of {', '.join(KEEP)}, got {keep!r}")
        if rows not in ROWS:
            raise ConfigError(f"rows must be one of {', '.join(ROWS)}, got {rows!r}")
        if seats == 1 and keep != "graded":
            raise ConfigError(f"keep must be 'graded' in a game for one player, got {keep!r}")
        self.simulations = check_whole_number("simulations", simulations, low=2, high=10_000_000)
        self.seed = check_whole_number("seed", seed, low=-(2**63), high=2**63 - 1)
        self.keep, self.rows, self.teachers = keep, rows, names
        self._teachers = {
            name: make_teacher(name, self.game, simulations=simulations) for name in names
        }

    async def generate(self, count: int) -> list[Trajectory]:
        """Return the first ``count`` rows; fewer, with a warning, when the teachers seldom produce one that is kept."""
        rows: list[Trajectory] = []
        barren, index = 0, 0
        while len(rows) < count and barren <= PATIENCE * count:
            found = list(self._rows_of(self.play(index)))
            barren = 0 if found else barren + 1
            rows += [Trajectory.from_row(row) for row in found]
            index += 1
        if len(rows) < count:
            warnings.warn(
                f"self-play of {self.game.name!r} kept {len(rows)} rows of {index} games, of {count} asked for: "
                f"teachers {', '.join(self.teachers)} hardly ever give one with keep={self.keep!r}",
                OrbiterWarning,
                stacklevel=2,
            )
        return rows[:count]

    def write(self, path: Path, *, games: int) -> SelfPlayReport:
        """Play ``games`` games and write the kept rows as JSONL; the file appears when it is complete.

        Args:
            path: Where to; an existing file is replaced.
            games: How many games to play.
        """
        endings: Counter[tuple[float, ...]] = Counter()
        row_count = jsonl.write(path, self._rows_of_all(games, endings))
        wins = [
            sum(count for ending, count in endings.items() if ending[seat] == 1.0)
            for seat in range(len(self.teachers))
        ]
        draws = sum(count for ending, count in endings.items() if ending[0] == 0.5)
        return SelfPlayReport(games, row_count, tuple(wins), draws)

    def _rows_of_all(
        self, games: int, endings: Counter[tuple[float, ...]]
    ) -> Iterator[dict[str, Any]]:
        """Yield the kept rows of all games one by one, and count how the games end."""
        for start in range(0, games, BLOCK_SIZE):
            block = [self.play(index) for index in range(start, min(start + BLOCK_SIZE, games))]
            for played in block:
                endings[played.outcomes] += 1
                yield from self._rows_of(played)

    def play(self, index: int) -> PlayedGame:
        """Play game number ``index`` to its end."""
        # One teacher is one player, whichever seats it holds: making a search costs as much as a tenth of a move.
        started = {
            name: teacher.start(item_seed("selfplay", self.game.name, self.seed, index, name))
            for name, teacher in self._teachers.items()
        }
        players = [started[name] for name in self.teachers]
        chance: random.Random | None = None
        state, history, seats = self.game.start(), [], []
        while (seat := state.current_player()) != TERMINAL:
            if seat < 0:
                chance = chance or item_stream(
                    "selfplay", self.game.name, self.seed, index, "chance"
                )
                outcomes, weights = zip(*state.chance_outcomes())
                action = chance.choices(outcomes, weights=weights)[0]
            else:
                action = players[seat](state)
            state.apply_action(action)
            history.append(action)
            seats.append(seat)
        returns = state.returns()
        return PlayedGame(index, history, seats, returns, _outcomes(returns))

    def _rows_of(self, played: PlayedGame) -> Iterator[dict[str, Any]]:
        """Yield the kept rows of a game, as they stand in JSONL."""
        scores = self._scores(played)
        if self.keep == "winners" and max(scores) < 1.0:
            return
        messages, plies = self._write_down(played)
        for seat, score in enumerate(scores):
            if (self.keep == "winners" and score < 1.0) or not messages[seat]:
                continue
            if self.rows == "games":
                key = f"selfplay-{self.seed}-{played.index}-{seat}"
                yield self._row(played, seat, key, messages[seat], score, played.history)
                continue
            for turn, ply in enumerate(plies[seat]):
                pair = messages[seat][2 * turn : 2 * turn + 2]
                key = self.game.notation.key(pair[0]["content"])
                yield self._row(played, seat, key, pair, score, played.history[:ply])

    def _write_down(self, played: PlayedGame) -> tuple[list[list[dict[str, str]]], list[list[int]]]:
        """Return per seat its messages, user and assistant in turn, and how many actions came before each turn."""
        messages: list[list[dict[str, str]]] = [[] for _ in self.teachers]
        plies: list[list[int]] = [[] for _ in self.teachers]
        state, prompt, move = self.game.start(), self.game.notation.prompt, self.game.notation.move
        for ply, (seat, action) in enumerate(zip(played.seats, played.history)):
            if seat >= 0:
                messages[seat] += (
                    {"role": "user", "content": prompt(state)},
                    {"role": "assistant", "content": move(state, action)},
                )
                plies[seat].append(ply)
            state.apply_action(action)
        return messages, plies

    def _scores(self, played: PlayedGame) -> Sequence[float]:
        if self.keep != "graded":
            return played.outcomes
        lowest, scale = self.game.spiel.min_utility(), self.game.utility_range
        return [(own - lowest) / scale for own in played.returns]

    def _row(
        self,
        played: PlayedGame,
        seat: int,
        key: str,
        messages: list[dict[str, str]],
        score: float,
        history: list[int],
    ) -> dict[str, Any]:
        return {
            "messages": messages,
            "env": "openspiel",
            "task_id": f"openspiel:{self.game.name}:{key}",
            "score": score,
            "metadata": {
                "game": self.game.name,
                "history": history,
                "index": played.index,
                "seat": seat,
                "returns": played.returns,
                "teachers": self.teachers,
            },
            "generator": "selfplay",
            "seed": self.seed,
        }


def _outcomes(returns: list[float]) -> tuple[float, ...]:
    best = max(returns)
    if min(returns) == best:
        return (0.5,) * len(returns)
    return tuple([1.0 if own == best else 0.0 for own in returns])
