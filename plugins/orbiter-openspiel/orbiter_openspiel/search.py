"""Values of moves by Monte Carlo tree search, for games that are too large to be solved."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import pyspiel

from orbiter.errors import ConfigError
from orbiter.tasks.streams import item_seed
from orbiter_openspiel.games import Game
from orbiter_openspiel.solvers import ROUNDING, MoveValues, Solver

EXPLORATION = 2.0
"""The constant c of UCT (Kocsis & Szepesvari 2006), for utilities from -1 to 1: as large as their range."""

MEMORY_MB = 200
"""Bound on the tree of one search, in megabytes."""


def make_mcts_bot(game: Game, *, simulations: int, seed: int) -> Any:
    """Return OpenSpiel's C++ MCTS player: UCT, random rollouts, and proofs of won and lost positions."""
    seed %= 2**31 - 1
    evaluator = pyspiel.RandomRolloutEvaluator(1, seed)
    if not game.pays_on_the_way:
        return pyspiel.MCTSBot(
            game.spiel, evaluator, EXPLORATION, simulations, MEMORY_MB, True, seed, False
        )
    # The search looks at the returns at the end alone, which are the sum of all that was paid, yet refuses such a game by its type.
    # Of the game that it is given it wants to know the type and the highest return, which only proofs need.
    return pyspiel.MCTSBot(
        pyspiel.load_game("catch"), evaluator, game.utility_range, simulations, MEMORY_MB, False, seed, False
    )  # fmt: skip


def check_searchable(game: Game) -> None:
    """Raise ConfigError unless a search can value moves of games of this kind."""
    kind = game.spiel.get_type()
    perfect = kind.information == pyspiel.GameType.Information.PERFECT_INFORMATION
    if not perfect or not (game.seat_count == 1 or game.is_zero_sum):
        raise ConfigError(
            f"game must be a zero-sum game of perfect information for mcts, got {game.name!r}"
        )


CACHE_SIZE = 20_000
"""Positions whose values are kept: a position is judged once per sample of it."""


class SearchingSolver(Solver):
    """Searches each position once, and remembers what was found."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], MoveValues] = {}

    def evaluate(self, state: Any) -> MoveValues:
        """Return the values that were found; from a cache if the position was asked before."""
        key = tuple(state.history())
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= CACHE_SIZE:
                del self._known[next(iter(self._known))]
            known = self._known[key] = self._search(state)
        return known

    @abstractmethod
    def _search(self, state: Any) -> MoveValues:
        """Return what a position's legal moves are worth."""


class SearchSolver(SearchingSolver):
    """Values each legal move by a search of its own, with as many simulations for each.

    A value is exact where the search proved it, else a mean of rollouts. So a difference of means counts only when it is
    large: up to ``epsilon`` the move is as good, from ``doubt`` on it is worse, between them the solver cannot tell.

    Args:
        game: A zero-sum game of perfect information for two, or a game for one.
        simulations: Simulations per legal move.
        epsilon: Loss that is forgiven even between proven values, in the game's utility.
        near: Share of the utility range up to which means count as equal.
        far: Share of the utility range from which means count as different.
    """

    def __init__(
        self,
        game: Game,
        *,
        simulations: int = 1000,
        epsilon: float = ROUNDING,
        near: float = 0.05,
        far: float = 0.2,
    ) -> None:
        check_searchable(game)
        super().__init__()
        self.game, self.simulations = game, simulations
        self.epsilon, self.near, self.far = epsilon, near, far

    def _search(self, state: Any) -> MoveValues:
        player = state.current_player()
        found = {a: self._value(state.child(a), player) for a in state.legal_actions()}
        values = {action: value for action, (value, _) in found.items()}
        if all(proven for _, proven in found.values()):
            return MoveValues(values, self.epsilon, self.epsilon)
        scale = self.game.utility_range
        return MoveValues(values, max(self.epsilon, self.near * scale), self.far * scale)

    def _value(self, state: Any, player: int) -> tuple[float, bool]:
        """Return the value of ``state`` for ``player``, and whether it is proven."""
        if state.is_terminal():
            return float(state.returns()[player]), True
        if state.is_chance_node():
            parts = [
                (share, self._value(state.child(action), player))
                for action, share in state.chance_outcomes()
            ]
            return sum(s * v for s, (v, _) in parts), all(proven for _, (_, proven) in parts)
        seed = item_seed("search", self.game.name, *state.history())
        root = make_mcts_bot(self.game, simulations=self.simulations, seed=seed).mcts_search(state)
        if root.outcome:
            return float(root.outcome[player]), True
        mean = root.total_reward / root.explore_count
        return (mean if state.current_player() == player else -mean), False
