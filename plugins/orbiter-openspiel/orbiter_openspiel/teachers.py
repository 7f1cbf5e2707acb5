"""Who plays by itself: teachers that are right by construction, and a uniform one to be wrong on purpose.

A teacher is started once per game with a seed of its own; the same seed plays the same game.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orbiter.errors import ConfigError, did_you_mean
from orbiter_openspiel.games import Game
from orbiter_openspiel.search import make_mcts_bot
from orbiter_openspiel.snapshot import ALGORITHMS, Snapshot, solve
from orbiter_openspiel.solvers import Solver, solver_for

Player = Callable[[Any], int]
"""Takes a decision state and returns a legal action."""

TEACHERS = ("mcts", "alpha_beta", *ALGORITHMS, "snapshot", "uniform")
"""The names of the teachers."""


class Teacher(ABC):
    """Plays one game of OpenSpiel."""

    @abstractmethod
    def start(self, seed: int) -> Player:
        """Return a player for one game, whose every choice follows from ``seed``."""


class UniformTeacher(Teacher):
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
    """Plays any of the moves that an exact solver finds best.

    Args:
        solver: The solver of the game.
    """

    def __init__(self, solver: Solver) -> None:
        self.solver = solver

    def start(self, seed: int) -> Player:
        """Return a player for one game."""
        stream = random.Random(seed)
        return lambda state: self.solver.choose(state, stream)


class SnapshotTeacher(Teacher):
    """Plays a policy that is a table, each move drawn from it and never its likeliest.

    Args:
        snapshot: The policy.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def start(self, seed: int) -> Player:
        """Return a player for one game."""
        stream = random.Random(seed)
        return lambda state: self.snapshot.choose(state, stream)


def make_teacher(
    name: str,
    game: Game,
    *,
    simulations: int = 100,
    iterations: int | None = None,
    seed: int = 0,
    path: str | Path | None = None,
) -> Teacher:
    """Return a teacher by name.

    Args:
        name: ``mcts`` (search), ``alpha_beta`` (exact), ``cfr``, ``cfr+`` or ``mccfr`` (equilibrium, sampled), ``snapshot``
            (a policy in a file, sampled) or ``uniform``.
        game: The game that it plays.
        simulations: Simulations per move of ``mcts``.
        iterations: Iterations of ``cfr``, ``cfr+`` and ``mccfr``; None: see :func:`~orbiter_openspiel.snapshot.solve`.
        seed: Of what ``mccfr`` samples while it learns.
        path: File of ``snapshot``.

    Raises:
        ConfigError: There is no such teacher, or it cannot play this game.
    """
    if name == "uniform":
        return UniformTeacher()
    if name == "mcts":
        return SearchTeacher(game, simulations=simulations)
    if name == "alpha_beta":
        solver = solver_for(game, name)
        assert solver is not None  # noqa: S101  # the name makes one or raises
        return SolverTeacher(solver)
    if name in ALGORITHMS:
        return SnapshotTeacher(solve(game, name, iterations=iterations, seed=seed))
    if name == "snapshot":
        return SnapshotTeacher(_loaded(game, path))
    raise ConfigError(
        f"teacher must be one of {', '.join(TEACHERS)}, got {name!r}{did_you_mean(str(name), TEACHERS)}"
    )


def _loaded(game: Game, path: str | Path | None) -> Snapshot:
    if path is None:
        raise ConfigError("teacher 'snapshot' must have a path", hint="path: policy.json")
    snapshot = Snapshot.load(path)
    if snapshot.game != game.name:
        raise ConfigError(
            f"snapshot {str(path)!r} must be a policy of {game.name!r}, got one of {snapshot.game!r}"
        )
    return snapshot
