"""Equilibrium play of small two-player zero-sum games with hidden information, and the value of a move against it."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from typing import Any

import pyspiel
from attrs import frozen

from orbiter_openspiel.games import Game
from orbiter_openspiel.snapshot import (
    MAX_SOLVED,
    Snapshot,
    check_solvable,
    information_states,
    solve,
)
from orbiter_openspiel.solvers import MoveValues, Solver


@frozen
class Information:
    """One information state of the solved game.

    Args:
        state: One state of it.
        policy: Legal action to its probability in equilibrium.
        values: Legal action to its value.
        reach: Probability that chance and the opponent lead here, in [0, 1].
        histories: Every history of it, and the probability w(h) that chance and the opponent lead there.
    """

    state: Any
    policy: dict[int, float]
    values: dict[int, float]
    reach: float
    histories: dict[tuple[int, ...], float]


class EquilibriumSolver(Solver):
    """Values a move against the equilibrium opponent, by counterfactual enumeration.

    The value of action a in information state I is

        Q(I, a) = sum over h in I of w(h) V(h a) / sum over h in I of w(h)

    where w(h) is the probability that chance and the opponent's equilibrium policy lead to history h, and V the value when
    the opponent keeps to equilibrium and the player answers it best from there on.

    Args:
        game: A two-player zero-sum game, small enough to be walked through.
        epsilon: Loss of value that is forgiven; an approximate equilibrium needs some.
        algorithm: ``cfr``, ``cfr+`` or ``mccfr``.
        max_histories: Bound on the size of the game.
        min_reach: Information states that are reached more seldom than this are not asked: the opponent never goes there,
            and what it would hold there is an accident of the solver.
    """

    def __init__(
        self,
        game: Game,
        *,
        epsilon: float = 0.1,
        algorithm: str = "cfr+",
        max_histories: int = MAX_SOLVED,
        min_reach: float = 1e-3,
    ) -> None:
        self.game, self.epsilon, self.algorithm = game, epsilon, algorithm
        self.min_reach = min_reach
        check_solvable(game, algorithm)
        information_states(game, max_histories=max_histories, purpose=algorithm)

    def evaluate(self, state: Any) -> MoveValues:
        """Return the values against the equilibrium opponent."""
        known = self.table[state.information_state_string()]
        return MoveValues(known.values, self.epsilon, self.epsilon)

    def policy(self, state: Any) -> dict[int, float]:
        """Return the equilibrium's probabilities of the legal actions.

        Where play arrives, actions that lose more than epsilon are left out: they are what the average keeps of the first
        iterations. Elsewhere nothing is: there a losing action may be what keeps the opponent away.
        """
        known = self.table[state.information_state_string()]
        if known.reach < self.min_reach:
            return known.policy
        good = self.evaluate(state).good
        kept = {action: known.policy[action] for action in good}
        total = sum(kept.values())
        if total <= 0:
            return {action: 1 / len(good) for action in good}
        return {action: share / total for action, share in kept.items()}

    def choose(self, state: Any, stream: random.Random) -> int:
        """Return an action drawn from the equilibrium."""
        policy = self.policy(state)
        return stream.choices(list(policy), weights=list(policy.values()))[0]

    def another(self, state: Any, stream: random.Random) -> Any:
        """Return a state of the same information state, each as likely as chance and the equilibrium opponent make it.

        It is this one where they never lead.
        """
        known = self.table[state.information_state_string()]
        if known.reach <= 0:
            return state
        drawn = stream.choices(list(known.histories), weights=list(known.histories.values()))[0]
        return self.game.rebuild(drawn)

    def positions(self) -> Iterator[Any]:
        """Yield one state for each information state that equilibrium play reaches, in a fixed order."""
        for known in self.table.values():
            if known.reach >= self.min_reach and len(known.values) > 1:
                yield known.state

    @functools.cached_property
    def snapshot(self) -> Snapshot:
        """The average policy of the algorithm."""
        return solve(self.game, self.algorithm)

    @functools.cached_property
    def table(self) -> dict[str, Information]:
        """All information states by OpenSpiel's text."""
        policy = self.snapshot.policy
        average = self.snapshot.spiel_policy()
        best = [
            pyspiel.TabularBestResponse(self.game.spiel, player, average) for player in range(2)
        ]
        sums: dict[str, dict[int, float]] = {}
        reach: dict[str, float] = {}
        first: dict[str, Any] = {}
        histories: dict[str, dict[tuple[int, ...], float]] = {}

        def walk(state: Any, weights: tuple[float, float]) -> None:
            """Visit all histories; ``weights[p]`` is the probability that all but player p lead here."""
            if state.is_terminal():
                return
            if state.is_chance_node():
                for action, share in state.chance_outcomes():
                    walk(state.child(action), (weights[0] * share, weights[1] * share))
                return
            player = state.current_player()
            key, weight = state.information_state_string(), weights[player]
            first.setdefault(key, state)
            reach[key] = reach.get(key, 0.0) + weight
            histories.setdefault(key, {})[tuple(state.history())] = weight
            row = sums.setdefault(key, dict.fromkeys(state.legal_actions(), 0.0))
            for action in row:
                child = state.child(action)
                row[action] += weight * best[player].value_from_state(child)
                share = policy[key].get(action, 0.0)
                w0, w1 = weights
                walk(child, (w0, w1 * share) if player == 0 else (w0 * share, w1))

        walk(self.game.start(), (1.0, 1.0))
        return {
            key: Information(
                state,
                {action: policy[key].get(action, 0.0) for action in sums[key]},
                {action: total / reach[key] for action, total in sums[key].items()}
                if reach[key] > 0
                else dict.fromkeys(sums[key], 0.0),
                reach[key],
                histories[key],
            )
            for key, state in first.items()
        }
