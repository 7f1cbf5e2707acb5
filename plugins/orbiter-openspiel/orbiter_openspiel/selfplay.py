"""Games between teachers as rows: one per game and seat, or one per move."""

from __future__ import annotations

import os
import random
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from attrs import field, frozen

from orbiter.errors import ConfigError, OrbiterWarning
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.records import Trajectory
from orbiter.tasks.options import check_whole_number
from orbiter.tasks.streams import item_seed
from orbiter_openspiel.games import load_game
from orbiter_openspiel.teachers import make_teacher

KEEP = ("winners", "all", "graded")
ROWS = ("games", "moves")

PATIENCE = 100
"""Games without a kept row, per row that is asked for, after which ``generate`` gives up."""


@frozen
class Turn:
    """One decision: who moved, how many actions came before, what was shown and what was played."""

    seat: int
    ply: int
    prompt: str
    move: str


@frozen
class PlayedGame:
    """One finished game.

    Args:
        index: Number of the game.
        seed: Seed of the game, derived from the synthesiser's seed and the number.
        history: Every action, chance outcomes included.
        turns: Every decision.
        returns: Utility per seat.
    """

    index: int
    seed: int
    history: list[int]
    turns: list[Turn] = field(repr=False)
    returns: list[float]

    def outcome(self, seat: int) -> float:
        """Return 1 for a win, 0.5 for a draw of all, 0 for a loss."""
        best = max(self.returns)
        if self.returns[seat] < best:
            return 0.0
        return 0.5 if min(self.returns) == best else 1.0


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

    The metadata of a row holds the game, its history, the seat, the returns and the teachers. With ``rows="moves"`` the history
    is that of the decision, and the row is an answer to the task of the same id of environment ``openspiel``.

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
        self.keep, self.rows, self.teachers = keep, rows, tuple(names)
        made = {name: make_teacher(name, self.game, simulations=simulations) for name in names}
        self._seats = [made[name] for name in names]

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

    def games(self, count: int) -> Iterator[list[Trajectory]]:
        """Yield the kept rows of each of the first ``count`` games; a list may be empty."""
        for index in range(count):
            yield [Trajectory.from_row(row) for row in self._rows_of(self.play(index))]

    def write(self, path: Path | str, *, games: int) -> SelfPlayReport:
        """Play ``games`` games and write the kept rows as JSONL; the file appears when it is complete.

        Args:
            path: Where to; an existing file is replaced.
            games: How many games to play.
        """
        path = Path(path)
        wins, draws, rows = [0] * len(self._seats), 0, 0
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=path.name, suffix=".tmp", delete=False
        ) as file:
            try:
                for index in range(games):
                    played = self.play(index)
                    for row in self._rows_of(played):
                        file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                        rows += 1
                    outcomes = [played.outcome(seat) for seat in range(len(wins))]
                    wins = [won + (outcome == 1.0) for won, outcome in zip(wins, outcomes)]
                    draws += 0.5 in outcomes
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        return SelfPlayReport(games, rows, tuple(wins), draws)

    def play(self, index: int) -> PlayedGame:
        """Play game number ``index`` to its end."""
        seed = item_seed("selfplay", self.game.name, self.seed, index)
        players = [teacher.start(item_seed(seed, seat)) for seat, teacher in enumerate(self._seats)]
        chance: random.Random | None = None
        notation, state = self.game.notation, self.game.start()
        history: list[int] = []
        turns: list[Turn] = []
        while not state.is_terminal():
            seat = state.current_player()
            if seat < 0:
                chance = chance or random.Random(item_seed(seed, "chance"))
                outcomes, weights = zip(*state.chance_outcomes())
                action = chance.choices(outcomes, weights=weights)[0]
            else:
                action = players[seat](state)
                turns.append(
                    Turn(seat, len(history), notation.prompt(state), notation.move(state, action))
                )
            state.apply_action(action)
            history.append(action)
        return PlayedGame(index, seed, history, turns, state.returns())

    def _rows_of(self, played: PlayedGame) -> Iterator[dict[str, Any]]:
        """Yield the kept rows of a game, as they stand in JSONL."""
        for seat in range(len(self._seats)):
            score = self._score(played, seat)
            if score is None:
                continue
            turns = [turn for turn in played.turns if turn.seat == seat]
            if self.rows == "moves":
                for turn in turns:
                    yield self._move_row(played, turn, score)
            elif turns:
                yield self._game_row(played, seat, turns, score)

    def _score(self, played: PlayedGame, seat: int) -> float | None:
        """Return the score of a seat, or None if its rows are not kept."""
        if self.keep == "graded":
            lowest = self.game.spiel.min_utility()
            return float((played.returns[seat] - lowest) / self.game.utility_range)
        outcome = played.outcome(seat)
        return outcome if self.keep == "all" or outcome == 1.0 else None

    def _game_row(
        self, played: PlayedGame, seat: int, turns: list[Turn], score: float
    ) -> dict[str, Any]:
        messages = []
        for turn in turns:
            messages.append({"role": "user", "content": turn.prompt})
            messages.append({"role": "assistant", "content": turn.move})
        key = f"selfplay-{self.seed}-{played.index}-{seat}"
        return self._row(played, seat, key, messages, score, played.history)

    def _move_row(self, played: PlayedGame, turn: Turn, score: float) -> dict[str, Any]:
        messages = [
            {"role": "user", "content": turn.prompt},
            {"role": "assistant", "content": turn.move},
        ]
        key = self.game.notation.key(turn.prompt)
        return self._row(played, turn.seat, key, messages, score, played.history[: turn.ply])

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
                "seat": seat,
                "returns": played.returns,
                "teachers": self.teachers,
            },
            "generator": "selfplay",
            "seed": played.seed,
        }
