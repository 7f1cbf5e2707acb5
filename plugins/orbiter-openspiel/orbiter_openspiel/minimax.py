"""Exact values of small two-player games of perfect information without chance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyspiel

from orbiter.errors import ConfigError
from orbiter_openspiel.games import Game
from orbiter_openspiel.solvers import MoveValues, Solver


class MinimaxSolver(Solver):
    """Values every move exactly by negamax over all positions, each visited once.

    Args:
        game: Its text must tell the whole position, repetition and move counts included.
        epsilon: Loss of value that is forgiven.
        max_positions: Bound on the positions that are kept in memory.
    """

    def __init__(self, game: Game, *, epsilon: float = 1e-9, max_positions: int = 300_000) -> None:
        kind, spiel = game.spiel.get_type(), game.spiel
        if (
            spiel.num_players() != 2
            or kind.utility != pyspiel.GameType.Utility.ZERO_SUM
            or kind.information != pyspiel.GameType.Information.PERFECT_INFORMATION
            or kind.chance_mode != pyspiel.GameType.ChanceMode.DETERMINISTIC
        ):
            raise ConfigError(
                f"game must be a two-player zero-sum game of perfect information without chance for minimax, got {game.name!r}"
            )
        self.game, self.epsilon, self.max_positions = game, epsilon, max_positions
        self._values: dict[tuple[int, str], float] = {}

    def evaluate(self, state: Any) -> MoveValues:
        """Return the exact values."""
        player = state.current_player()
        values = {a: self._value(state.child(a), player) for a in state.legal_actions()}
        return MoveValues(values, self.epsilon, self.epsilon)

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

    def _value(self, state: Any, player: int) -> float:
        """Return the value of ``state`` for ``player``."""
        if state.is_terminal():
            return float(state.returns()[player])
        mover = state.current_player()
        key = (mover, str(state))
        value = self._values.get(key)
        if value is None:
            if len(self._values) >= self.max_positions:
                raise self._too_large()
            value = max(self._value(state.child(a), mover) for a in state.legal_actions())
            self._values[key] = value
        return value if mover == player else -value

    def _too_large(self) -> ConfigError:
        return ConfigError(
            f"game must have at most {self.max_positions} positions for minimax, got {self.game.name!r}",
            hint="use solver 'mcts'",
        )
