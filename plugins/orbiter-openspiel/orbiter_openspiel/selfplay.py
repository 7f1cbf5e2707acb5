"""Games between players as rows: one per move or one per game and seat, graded by what the moves were worth."""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson
from attrs import frozen

from orbiter.checks import check_seed, check_whole_number
from orbiter.errors import ConfigError, OrbiterWarning
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.jsonl.writing import replace_file
from orbiter.records import Trajectory
from orbiter_openspiel.arena import Arena, PlayedGame
from orbiter_openspiel.games import load_game
from orbiter_openspiel.players import Spec, label_of, make_player
from orbiter_openspiel.rows import KEEP, ROWS, RowWriter
from orbiter_openspiel.solvers import SOLVERS, solver_for
from orbiter_openspiel.verifier import GameMoveVerifier

PATIENCE = 100
"""Games without a kept row, per row that is asked for, after which ``generate`` gives up."""

BLOCK_SIZE = 256
"""Games that are played before their rows are written: between two searches no processor cache holds the writing code."""

LINES_TOGETHER = 256
"""Lines that are written at once: fewer are slower, and more take memory where each tells a long game."""


@frozen
class SelfPlayReport:
    """What ``write`` wrote.

    Args:
        game_count: Games that were played.
        row_count: Rows that were kept and written.
        win_counts: Games won, per entry of ``players`` where games are mirrored, else per seat.
        draw_count: Games for several that nobody won.
        illegal_count: Answers of policies that were no legal move.
        broken_count: Games that were broken off because a policy had no answer.
    """

    game_count: int
    row_count: int
    win_counts: tuple[int, ...]
    draw_count: int
    illegal_count: int
    broken_count: int


class SelfPlaySynthesiser(DataSynthesiser):
    """Plays games and keeps what was done well.

    The metadata of a row holds the game, its index and history, the seat, the returns and who played. With ``rows="moves"`` the
    history ends at the decision, and for a game whose positions can be listed the row has the id of that task of
    environment ``openspiel``. An illegal answer scores 0 however the others are scored.

    Game number n depends on the options, the seed, what policies answer and n alone, so that more games are the same games and more.

    Args:
        game: OpenSpiel's name, such as ``tic_tac_toe``.
        players: Who plays: one player for all seats, or a list with one per seat. A player is a teacher's name (``mcts``,
            ``alpha_beta``, ``cfr``, ``cfr+``, ``mccfr``, ``snapshot``, ``uniform``), a name with options, or a policy; see
            :func:`~orbiter_openspiel.players.make_player`.
        simulations: Simulations per move of ``mcts``.
        seed: Selects the games.
        keep: ``graded``: every move, scored by the solver: 1 if it throws no value away, else 1 - loss / range of utilities, and
            null if the solver cannot tell; ``duplicate``: every seat, scored by how much more it earned than who sat there in the
            mirrored games, from 0 to 1; ``returns``: every seat, scored by its return, from 0 for the worst of the game to 1;
            ``all``: every seat, scored 1, 0.5 or 0 for win, draw and loss; ``winners``: the seats that won alone. Winning is partly
            luck: where chance deals, keeping winners moves data away from good play.
        rows: ``moves``: one row per decision; ``games``: one row per game and seat, user and assistant taking turns, which
            ``graded`` scores by all the value that was lost.
        solver: What grades moves; see :class:`~orbiter_openspiel.verifier.GameMoveVerifier`.
        mirror: Play each deal once per seat, with the players moved on by one seat; None: where there is chance.
        illegal: What follows an illegal answer of a policy: ``replace`` plays a random legal move instead, ``forfeit`` loses the game.
        instructions: Explain the game and the notation in a system message.
        games_at_once: Games whose moves a policy is asked for together.
    """

    def __init__(
        self,
        *,
        game: str,
        players: Spec | Sequence[Spec] = "mcts",
        simulations: int = 100,
        seed: int = 0,
        keep: str = "graded",
        rows: str = "moves",
        solver: str = "auto",
        mirror: bool | None = None,
        illegal: str = "replace",
        instructions: bool = False,
        games_at_once: int = 64,
    ) -> None:
        self.game = load_game(game)
        seats = self.game.seat_count
        listed = isinstance(players, list | tuple)
        specs: list[Spec] = list(players) if listed else [players] * seats  # type: ignore[arg-type, list-item]
        if len(specs) != seats:
            raise ConfigError(
                f"players must be one player or one per seat of {game!r} ({seats}), got {players!r}"
            )
        for name, value, known in (
            ("keep", keep, KEEP),
            ("rows", rows, ROWS),
            ("solver", solver, ("auto", *SOLVERS)),
            ("mirror", mirror, (None, True, False)),
            ("instructions", instructions, (True, False)),
        ):
            if value not in known or type(value) is int:
                raise ConfigError(
                    f"{name} must be one of {', '.join(map(str, known))}, got {value!r}"
                )
        if seats == 1 and keep not in ("graded", "returns"):
            raise ConfigError(
                f"keep must be 'graded' or 'returns' in a game for one player, got {keep!r}"
            )
        mirrored = (self.game.has_chance if mirror is None else mirror) and seats > 1
        if keep == "duplicate" and not mirrored:
            raise ConfigError(f"keep must not be 'duplicate' in games of {game!r} without mirror")
        self.simulations = check_whole_number("simulations", simulations, low=2, high=10_000_000)
        self.seed = check_seed(seed)
        self.games_at_once = check_whole_number("games_at_once", games_at_once, low=1, high=100_000)
        self.keep, self.labels = keep, [label_of(spec) for spec in specs]
        self.options = {
            "game": game, "players": specs, "simulations": simulations, "seed": seed, "keep": keep, "rows": rows,
            "solver": solver, "mirror": mirror, "illegal": illegal, "instructions": instructions,
        }  # fmt: skip
        grader = solver_for(self.game, solver) if keep == "graded" else None
        if keep == "graded" and grader is None:
            raise ConfigError(
                f"game {game!r} must have a solver for keep 'graded', and none fits it",
                hint="use another keep: " + ", ".join(KEEP[1:]),
            )
        made: dict[int, Any] = {}
        seated = []
        for spec in specs:
            # One name in two seats is one player.
            key = specs.index(spec)
            if key not in made:
                made[key] = make_player(spec, self.game, simulations=simulations)
            seated.append(made[key])
        self.arena = Arena(
            self.game, seated, seed=seed, mirror=mirrored, illegal=illegal, instructions=instructions
        )  # fmt: skip
        self._writer = RowWriter(
            self.game, keep=keep, rows=rows, seed=seed, solver=grader, labels=self.labels,
            version=GameMoveVerifier(solver=solver, graded=True).version, instructions=instructions,
        )  # fmt: skip

    async def generate(self, count: int) -> list[Trajectory]:
        """Return the first ``count`` rows; fewer, with a warning, when the players seldom produce one that is kept."""
        rows: list[Trajectory] = []
        barren, index = 0, 0
        # A policy is asked for many games together; a game between teachers may be longer than all that is asked for.
        size = self.games_at_once if self.arena.has_policies else 1
        while len(rows) < count and barren <= PATIENCE * count:
            block = self._block(index, index + size)
            size = min(2 * size, self.games_at_once)
            played = await self.arena.play(block)
            for group in self._groups(played):
                found = self._writer.lines(group)
                barren = 0 if found else barren + len(group)
                rows += [Trajectory.from_row(orjson.loads(line)) for line in found]
            index = block.stop
        if len(rows) < count:
            warnings.warn(
                f"self-play of {self.game.name!r} kept {len(rows)} rows of {index} games, of {count} asked for: "
                f"players {', '.join(self.labels)} hardly ever give one with keep={self.keep!r}",
                OrbiterWarning,
                stacklevel=2,
            )
        return rows[:count]

    def write(self, path: Path, *, games: int, workers: int = 1) -> SelfPlayReport:
        """Play games between teachers and write the kept rows as JSONL; the file appears when it is complete.

        Args:
            path: Where to; an existing file is replaced.
            games: How many games to play; a multiple of the seats where they are mirrored.
            workers: Processes that play; the file is the same whatever their number.

        Raises:
            ConfigError: A player is a policy, which ``generate`` waits for.
        """
        from orbiter_openspiel.workers import write_in_parallel

        check_whole_number("games", games, low=0)
        check_whole_number("workers", workers, low=1, high=1024)
        if games % self.arena.group_size:
            raise ConfigError(
                f"games must be a multiple of {self.arena.group_size} where each deal is played in all seats, got {games!r}"
            )
        if self.arena.has_policies:
            raise ConfigError("write plays teachers alone", hint="await generate(count), and write its rows")  # fmt: skip
        counts: Counter[str] = Counter()
        if workers == 1:
            with replace_file(path) as file, _no_collection():
                for lines in self.lines_of(range(games), counts):
                    file.write(lines)
        else:
            write_in_parallel(self, path, games=games, workers=workers, counts=counts)
        wins = [counts[f"won by {number}"] for number in range(len(self.labels))]
        return SelfPlayReport(
            games, counts["rows"], tuple(wins), counts["draw"], counts["illegal"], counts["broken"]
        )

    def lines_of(self, games: range, counts: Counter[str]) -> Iterator[bytes]:
        """Yield the lines of the kept rows of games between teachers, many together, and count them and how the games end."""
        start = games.start
        while start < games.stop:
            block = self._block(start, min(start + BLOCK_SIZE, games.stop))
            played = self.arena.play_at_once(block)
            self._count(played, counts)
            lines = chain.from_iterable(map(self._writer.lines, self._groups(played)))
            while part := list(islice(lines, LINES_TOGETHER)):
                counts["rows"] += len(part)
                # Teachers' rows are plain text and finite numbers: what jsonl looks for is not in them.
                yield "".join(part).encode()
            start = block.stop

    def _count(self, played: Iterable[PlayedGame], counts: Counter[str]) -> None:
        """Add to ``counts`` how games ended, and their illegal answers."""
        for one in played:
            counts["illegal"] += len(one.illegal)
            if one.error is not None:
                counts["broken"] += 1
            elif min(one.outcomes) == 0.5:
                counts["draw"] += len(one.outcomes) > 1  # who plays alone draws with nobody
            else:
                turned = one.index % self.arena.group_size
                for seat, outcome in enumerate(one.outcomes):
                    if outcome == 1.0:
                        counts[f"won by {(seat + turned) % len(self.labels)}"] += 1

    def _block(self, start: int, stop: int) -> range:
        """Return game numbers from ``start`` on in whole groups."""
        size = self.arena.group_size
        return range(start, start + max(size, (stop - start) // size * size))

    def _groups(self, played: Sequence[PlayedGame]) -> Iterator[Sequence[PlayedGame]]:
        size = self.arena.group_size
        for start in range(0, len(played), size):
            yield played[start : start + size]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from looking through the remembered positions again and again; nothing here is a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
