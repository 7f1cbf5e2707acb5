"""Judge a move: it must be legal and must throw no value away."""

from __future__ import annotations

import functools
from typing import Any

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.verifier import Verifier, version_of
from orbiter_openspiel.games import Game, load_game
from orbiter_openspiel.solvers import SOLVERS, Solver, solver_for


class GameMoveVerifier(Verifier):
    """Passes a move that keeps the value of the position.

    The position is rebuilt from the task's metadata (``game``, ``history``). The verdicts:

        pass                            the move is as good as the best
        fail     illegal move           the answer is no legal move of the position
        fail     loses value            another move is worth more
        invalid  search cannot tell     the game is too large to be solved and the search is in doubt
        invalid  no solver              the move is legal, and no solver fits the game
        invalid  no game position       the task's metadata does not hold one

    Args:
        solver: ``alpha_beta`` (exact), ``cfr+``, ``cfr`` or ``mccfr`` (value against the equilibrium opponent), ``mcts`` (search), or
            ``auto``.
        simulations: Simulations per legal move of ``mcts``.
        epsilon: Loss of value, in the game's utility, that still passes; None: the game's own.
        graded: Give a losing legal move the score 1 - loss / range of utilities instead of 0.
    """

    name = "game_move"

    def __init__(
        self,
        *,
        solver: str = "auto",
        simulations: int = 1000,
        epsilon: float | None = None,
        graded: bool = False,
    ) -> None:
        if solver != "auto" and solver not in SOLVERS:
            raise ConfigError(f"solver must be one of auto, {', '.join(SOLVERS)}, got {solver!r}")
        if epsilon is not None and not (type(epsilon) in (int, float) and 0 <= epsilon < 1e9):
            raise ConfigError(f"epsilon must be a number >= 0, got {epsilon!r}")
        if type(graded) is not bool:
            raise ConfigError(f"graded must be true or false, got {graded!r}")
        simulations = check_whole_number("simulations", simulations, low=2, high=10_000_000)
        self.solver, self.simulations, self.epsilon, self.graded = (
            solver,
            simulations,
            epsilon,
            graded,
        )
        self.version = version_of(self, "3")
        self.solver_for = functools.partial(
            solver_for, name=solver, simulations=simulations, epsilon=epsilon
        )

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict on the last assistant message."""
        try:
            game, state = position_of(task)
        except ConfigError as error:
            return Verdict.invalid("no game position", details={"problem": error.message})
        action = game.parse(state, trajectory.answer)
        if action is None:
            return Verdict.failed("illegal move")
        solver = self.solver_for(game)
        if solver is None:
            return Verdict.invalid("no solver")
        return judge_move(game, solver, state, action, graded=self.graded)


def judge_move(game: Game, solver: Solver, state: Any, action: int, *, graded: bool) -> Verdict:
    """Return the verdict on a legal move.

    Args:
        game: The game.
        solver: What values its moves.
        state: The position.
        action: The move.
        graded: Give a losing move the score 1 - loss / range of utilities instead of 0.
    """
    values = solver.evaluate(state)
    regret = values.regret(action)
    details = {"regret": regret, "best": values.best}
    good = values.is_good(action)
    if good is None:
        return Verdict.invalid("search cannot tell", details=details)
    if good:
        return Verdict.passed(details=details)
    score = max(0.0, 1 - regret / game.utility_range) if graded else 0.0
    return Verdict.failed("loses value", score=score, details=details)


def position_of(task: Task) -> tuple[Game, Any]:
    """Return the game and the decision state that a task's metadata holds.

    Raises:
        ConfigError: It holds none.
    """
    name, history = task.metadata.get("game"), task.metadata.get("history")
    if not isinstance(name, str) or not isinstance(history, list | tuple):
        raise ConfigError(
            f"metadata of task {task.task_id!r} must hold a game and a history, got {name!r} and {history!r}"
        )
    game = load_game(name)
    state = game.rebuild(history)
    if state.is_terminal() or state.is_chance_node():
        raise ConfigError(f"history of task {task.task_id!r} must end where a player moves")
    return game, state
