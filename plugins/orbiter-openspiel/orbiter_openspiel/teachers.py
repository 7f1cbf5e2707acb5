"""Who plays: teachers that are right by construction, and a random one to be wrong on purpose.

A teacher is started once per game with a seed of its own; the same seed plays the same game.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from orbiter.errors import ConfigError, did_you_mean
from orbiter_openspiel.games import Game
from orbiter_openspiel.search import make_mcts_bot
from orbiter_openspiel.solvers import Solver, solver_for

Player = Callable[[Any], int]
"""Takes a decision state and returns a legal action."""

TEACHERS = ("mcts", "cfr", "minimax", "random")
"""The names of the teachers."""


class Teacher(ABC):
    """Plays one game of OpenSpiel."""

    @abstractmethod
    def start(self, seed: int) -> Player:
        """Return a player for one game, whose every choice follows from ``seed``."""


class RandomTeacher(Teacher):
    """Plays any legal move, each as likely."""

    def start(self, seed: int) -> Player:
        """Return a player for one game."""
        stream = random.Random(seed)
        return lambda state: int(stream.choice(state.legal_actions()))


class SearchTeacher(Teacher):
    """Plays the move that OpenSpiel's C++ MCTS prefers.

    Args:
        game: A game of perfect information.
        simulations: Simulations per move.
    """

    def __init__(self, game: Game, *, simulations: int) -> None:
        solver_for(game, "mcts")  # refuses a game that cannot be searched
        self.game, self.simulations = game, simulations

    def start(self, seed: int) -> Player:
        """Return a player for one game."""
        bot = make_mcts_bot(self.game, simulations=self.simulations, seed=seed)
        return bot.step  # type: ignore[no-any-return]  # pyspiel has no types


class SolverTeacher(Teacher):
    """Plays what a solver stands for: any best move, or a draw from the equilibrium.

    Args:
        solver: The solver of the game.
    """

    def __init__(self, solver: Solver) -> None:
        self.solver = solver

    def start(self, seed: int) -> Player:
        """Return a player for one game."""
        stream = random.Random(seed)
        return lambda state: self.solver.choose(state, stream)


def make_teacher(name: str, game: Game, *, simulations: int) -> Teacher:
    """Return a teacher by name.

    Args:
        name: ``mcts`` (search), ``cfr`` (equilibrium, sampled), ``minimax`` (exact) or ``random``.
        game: The game that it plays.
        simulations: Simulations per move of ``mcts``.

    Raises:
        ConfigError: There is no such teacher, or it cannot play this game.
    """
    if name == "random":
        return RandomTeacher()
    if name == "mcts":
        return SearchTeacher(game, simulations=simulations)
    if name in ("cfr", "minimax"):
        solver = solver_for(game, name)
        assert solver is not None  # noqa: S101  # both names make one or raise
        return SolverTeacher(solver)
    raise ConfigError(
        f"teacher must be one of {', '.join(TEACHERS)}, got {name!r}{did_you_mean(str(name), TEACHERS)}"
    )
