"""Exact values of moves in small two-player games of perfect information without chance, by alpha-beta."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyspiel

from orbiter.errors import ConfigError
from orbiter_openspiel.games import Game
from orbiter_openspiel.solvers import ROUNDING, MoveValues, Solver


class AlphaBetaSolver(Solver):
    """Values every move exactly: negamax with alpha-beta cuts, and bounds that are kept per position.

    The window begins as the range of utilities, so that a sure win ends the search of a position.

    Args:
        game: Its text must tell the whole position, repetition and move counts included.
        epsilon: Loss of value that is forgiven.
        max_positions: Bound on the positions that are kept in memory.
    """

    def __init__(
        self, game: Game, *, epsilon: float = ROUNDING, max_positions: int = 300_000
    ) -> None:
        kind = game.spiel.get_type()
        if (
            not game.is_zero_sum
            or kind.information != pyspiel.GameType.Information.PERFECT_INFORMATION
            or game.has_chance
        ):
            raise ConfigError(
                "game must be a two-player zero-sum game of perfect information without chance for alpha_beta, "
                f"got {game.name!r}"
            )
        self.game, self.epsilon, self.max_positions = game, epsilon, max_positions
        self._lowest, self._highest = game.spiel.min_utility(), game.spiel.max_utility()
        self._bounds: dict[tuple[int, str], tuple[float, float]] = {}
        self._known: dict[tuple[int, str], MoveValues] = {}

    def evaluate(self, state: Any) -> MoveValues:
        """Return the exact values."""
        player = state.current_player()
        key = (player, str(state))
        known = self._known.get(key)
        if known is None:
            values = {a: self._exact(state.child(a), player) for a in state.legal_actions()}
            known = self._known[key] = MoveValues(values, self.epsilon, self.epsilon)
        return known

    def positions(self) -> Iterator[Any]:
        """Yield every position with a choice of two moves or more, breadth first, by its first history."""
        layer, seen = [self.game.start()], set()
        while layer:
            children = []
            for state in layer:
                actions = state.legal_actions()
                if len(actions) > 1:
                    yield state
                for action in actions:
                    child = state.child(action)
                    key = (child.current_player(), str(child))
                    if key not in seen and not child.is_terminal():
                        seen.add(key)
                        children.append(child)
            if len(seen) > self.max_positions:
                raise self._too_large()
            layer = children

    def _exact(self, state: Any, player: int) -> float:
        """Return the value of ``state`` for ``player``."""
        if state.is_terminal():
            return float(state.returns()[player])
        value = self._search(state, self._lowest, self._highest)
        return value if state.current_player() == player else -value

    def _search(self, state: Any, alpha: float, beta: float) -> float:
        """Return the value of ``state`` for the player to move if it is in [alpha, beta], else a bound beyond that end."""
        mover = state.current_player()
        key = (mover, str(state))
        low, high = self._bounds.get(key, (self._lowest, self._highest))
        if low >= beta or low == high:
            return low
        if high <= alpha:
            return high
        alpha, beta = max(alpha, low), min(beta, high)
        best, floor = self._lowest, alpha
        for action in state.legal_actions():
            child = state.child(action)
            if child.is_terminal():
                value = float(child.returns()[mover])
            elif child.current_player() == mover:
                value = self._search(child, floor, beta)
            else:
                value = -self._search(child, -beta, -floor)
            best, floor = max(best, value), max(floor, value)
            if best >= beta:
                break
        if len(self._bounds) >= self.max_positions and key not in self._bounds:
            raise self._too_large()
        # At an end of the range of utilities a bound is the value.
        self._bounds[key] = (best if best > alpha else low, best if best < beta else high)
        return best

    def _too_large(self) -> ConfigError:
        return ConfigError(
            f"game must have at most {self.max_positions} positions for alpha_beta, got {self.game.name!r}",
            hint="use solver 'mcts'",
        )
