"""Values of moves in games that pay on the way, such as 2048, by several searches that know nothing of each other."""

from __future__ import annotations

import math
from statistics import fmean, variance
from typing import Any

from orbiter.tasks.streams import item_seed
from orbiter_openspiel.games import Game
from orbiter_openspiel.search import SearchingSolver, check_searchable, make_mcts_bot
from orbiter_openspiel.solvers import ROUNDING, MoveValues

SEARCHES = 8
"""Searches of a position; how far they differ says how far their mean can be trusted."""

FAR = 3.0
"""Standard errors of a difference from which on a move is worse."""


class ScoreSolver(SearchingSolver):
    """Values each legal move by the mean of several searches of the position, in the points of the game.

    What is at stake in one move is little beside all that a game can pay, and nothing is proven. So a difference counts by its
    standard error: up to one the move is as good, from three on it is worse, between them the solver cannot tell.

    Args:
        game: A game of perfect information for one, or a zero-sum game for two.
        simulations: Simulations per position, of all the searches together.
        epsilon: Loss that is forgiven in any case, in points.
    """

    def __init__(self, game: Game, *, simulations: int = 1000, epsilon: float = ROUNDING) -> None:
        check_searchable(game)
        super().__init__()
        self.game, self.simulations, self.epsilon = game, simulations, epsilon

    def _search(self, state: Any) -> MoveValues:
        actions = state.legal_actions()
        # Each move is to be tried twice by each search.
        size = max(2 * len(actions), self.simulations // SEARCHES)
        found: dict[int, list[float]] = {action: [] for action in actions}
        for number in range(SEARCHES):
            seed = item_seed("score", self.game.name, *state.history(), number)
            bot = make_mcts_bot(self.game, simulations=size, seed=seed)
            for child in bot.mcts_search(state).children:
                found[child.action].append(child.total_reward / child.explore_count)
        values = {action: fmean(means) for action, means in found.items()}
        error = math.sqrt(2 * fmean(variance(means) for means in found.values()) / SEARCHES)
        return MoveValues(values, max(self.epsilon, error), max(self.epsilon, FAR * error))
