"""What imitating chosen moves makes of a policy, exactly: every game of a small game, weighted by its probability.

Keeping the winners rewards what the cards did. Against a uniform opponent in Kuhn poker the winners' moves win more and more
games, and lose more and more to an opponent who knows the game; see the tutorial on self-play.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
from attrs import frozen

from orbiter_openspiel.games import Game, load_game
from orbiter_openspiel.snapshot import Snapshot
from orbiter_openspiel.solvers import solver_for


@frozen
class Line:
    """One way through a game.

    Args:
        probability: Of this way, in (0, 1].
        moves: Seat, state and action of every decision.
        returns: Utility per seat.
    """

    probability: float
    moves: tuple[tuple[int, Any, int], ...]
    returns: tuple[float, ...]


Weight = Callable[[Line, int, Any, int], float]
"""(line, seat, state, action) to how often that move is kept, in [0, 1]."""


def winners(line: Line, seat: int, state: Any, action: int) -> float:  # noqa: ARG001
    """Keep the moves of the seat that won."""
    return float(line.returns[seat] > 0)


def graded(game: Game) -> Weight:
    """Return what keeps the moves that throw no value away, whoever won."""
    solver = solver_for(game)

    def weight(line: Line, seat: int, state: Any, action: int) -> float:  # noqa: ARG001
        return float(solver is not None and solver.evaluate(state).is_good(action) is True)

    return weight


def lines_of(game: Game, policies: tuple[Snapshot, Snapshot]) -> Iterator[Line]:
    """Yield every way through a game for two that the policies can take."""

    def walk(
        state: Any, probability: float, moves: tuple[tuple[int, Any, int], ...]
    ) -> Iterator[Line]:
        if state.is_terminal():
            yield Line(probability, moves, tuple(state.returns()))
            return
        seat = state.current_player()
        chance = state.is_chance_node()
        shares = state.chance_outcomes() if chance else policies[seat].probabilities(state).items()
        for action, share in shares:
            if share > 0:
                more = moves if chance else (*moves, (seat, state, action))
                yield from walk(state.child(action), probability * share, more)

    yield from walk(game.start(), 1.0, ())


def imitated(policy: Snapshot, weight: Weight, *, opponent: Snapshot | None = None) -> Snapshot:
    """Return the policy that imitates the kept moves, each as often as it was kept; where none was, the old policy stays.

    Args:
        policy: Who played.
        weight: What is kept.
        opponent: Who held the second seat; its moves are not imitated. None: the policy played itself.
    """
    game = load_game(policy.game)
    kept: dict[str, dict[int, float]] = {}
    for line in lines_of(game, (policy, opponent or policy)):
        for seat, state, action in line.moves:
            if seat == 1 and opponent is not None:
                continue
            share = line.probability * weight(line, seat, state, action)
            row = kept.setdefault(
                state.information_state_string(), dict.fromkeys(state.legal_actions(), 0.0)
            )
            row[action] += share
    table: dict[str, Mapping[int, float]] = dict(policy.policy)
    for key, row in kept.items():
        if (total := sum(row.values())) > 0:
            table[key] = {action: share / total for action, share in row.items()}
    return attrs.evolve(policy, policy=table, algorithm="imitated")


def win_rate(policy: Snapshot, opponent: Snapshot) -> float:
    """Return how often a policy in the first seat wins, exactly."""
    lines = lines_of(load_game(policy.game), (policy, opponent))
    return sum(line.probability for line in lines if line.returns[0] > 0)
