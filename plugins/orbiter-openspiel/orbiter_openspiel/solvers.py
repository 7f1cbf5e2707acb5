"""The Solver ABC: what each legal move of a position is worth to the player who makes it."""

from __future__ import annotations

import functools
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from orbiter.errors import ConfigError
from orbiter_openspiel.games import Game

SOLVERS = ("alpha_beta", "cfr", "cfr+", "mccfr", "mcts")
"""The names of the solvers."""

ROUNDING = 1e-9
"""Difference of exact values that is none, in the game's utility."""

APPROXIMATION = 0.01
"""Difference of values against an approximate equilibrium that is none, as a share of the range of utilities."""


@frozen
class MoveValues:
    """What the legal moves of one position are worth.

    Args:
        values: Legal action to value for the player to move, in the game's utility.
        epsilon: A move that loses at most this much against the best one is as good.
        doubt: A move that loses more than this is worse. Between the two the solver cannot tell; an exact solver has
            doubt = epsilon.
    """

    values: Mapping[int, float]
    epsilon: float
    doubt: float

    @property
    def best(self) -> float:
        """Value of the best move, that is, of the position."""
        return max(self.values.values())

    def regret(self, action: int) -> float:
        """Return the value that the move throws away, >= 0."""
        return self.best - self.values[action]

    def is_good(self, action: int) -> bool | None:
        """Return whether the move keeps the value of the position; None if that cannot be told."""
        regret = self.regret(action)
        if regret <= self.epsilon:
            return True
        return False if regret > self.doubt else None

    @property
    def good(self) -> list[int]:
        """The moves that keep the value; never empty."""
        return [action for action in self.values if self.is_good(action)]

    @property
    def is_critical(self) -> bool:
        """Whether the choice matters: some legal move is surely worse."""
        return any(self.is_good(action) is False for action in self.values)


class Solver(ABC):
    """Values moves. ``evaluate`` depends on the constructor's arguments and the position alone."""

    @abstractmethod
    def evaluate(self, state: Any) -> MoveValues:
        """Return the values of the legal moves of a decision state."""

    def choose(self, state: Any, stream: random.Random) -> int:
        """Return a move that the solver stands for; the default is any good one, each as likely."""
        return stream.choice(self.evaluate(state).good)

    def another(self, state: Any, stream: random.Random) -> Any:  # noqa: ARG002
        """Return a state that the player to move cannot tell from this one; by default this one, which hides nothing."""
        return state

    def positions(self) -> Iterator[Any] | None:
        """Return one state for each position that can be asked, or None if there are too many to list."""
        return None


@functools.lru_cache(maxsize=64)
def solver_for(
    game: Game, name: str = "auto", *, simulations: int = 1000, epsilon: float | None = None
) -> Solver | None:
    """Return the solver of a game, the same object for the same arguments, or None if no solver fits the game.

    Args:
        game: The game.
        name: ``alpha_beta`` (exact, small games of perfect information), ``cfr+``, ``cfr`` or ``mccfr`` (equilibrium of small
            two-player games), ``mcts`` (search, with a bound), or ``auto``: the one that fits.
        simulations: Simulations per legal move of ``mcts``; per position in a game that pays on the way.
        epsilon: Loss of value that is forgiven, in the game's utility; None: the game's own, else none where values are exact, and a
            hundredth of the range of utilities where they are measured against an equilibrium that is approximate.
    """
    from orbiter_openspiel.alpha_beta import AlphaBetaSolver
    from orbiter_openspiel.equilibrium import EquilibriumSolver
    from orbiter_openspiel.scores import ScoreSolver
    from orbiter_openspiel.search import SearchSolver

    if name != "auto" and name not in SOLVERS:
        raise ConfigError(f"solver must be one of auto, {', '.join(SOLVERS)}, got {name!r}")
    chosen = game.solver if name == "auto" else name
    if chosen is None:
        return None
    forgiven = game.epsilon if epsilon is None else epsilon
    if forgiven is None:
        exact = chosen in ("alpha_beta", "mcts")
        forgiven = ROUNDING if exact else APPROXIMATION * game.utility_range
    if chosen == "alpha_beta":
        return AlphaBetaSolver(game, epsilon=forgiven)
    if chosen == "mcts" and game.pays_on_the_way:
        return ScoreSolver(game, simulations=simulations, epsilon=forgiven)
    if chosen == "mcts":
        return SearchSolver(game, simulations=simulations, epsilon=forgiven)
    return EquilibriumSolver(game, epsilon=forgiven, algorithm=chosen)
