"""Positions that were written down before: games of good players begin alike, and text costs as much as a short search."""

from __future__ import annotations

from typing import Any

from orbiter.records import Verdict
from orbiter_openspiel.games import Game
from orbiter_openspiel.solvers import Solver
from orbiter_openspiel.verifier import judge_move

MAX_POSITIONS = 50_000
"""Positions that are remembered; then it begins anew."""

ILLEGAL = Verdict.failed("illegal move")


class Position:
    """One position, reached by one history: what was asked, and what each move was called and worth."""

    __slots__ = ("after", "asked", "key", "moves", "seat", "state")

    def __init__(self, game: Game, state: Any) -> None:
        self.state = state
        self.seat: int = state.current_player()
        self.asked: dict[str, str] = {}
        self.key = ""
        self.moves: dict[int, tuple[dict[str, str], Verdict | None]] = {}
        self.after: dict[int, Position] = {}
        if self.seat >= 0:
            prompt = game.prompt(state)
            self.asked = {"role": "user", "content": prompt}
            self.key = game.notation.key(prompt)


class Positions:
    """Remembers the positions of a game by history.

    Args:
        game: The game.
        solver: What judges moves; None: nothing does.
    """

    def __init__(self, game: Game, solver: Solver | None) -> None:
        self.game, self.solver = game, solver
        self._root, self._count = Position(game, game.start()), 1

    def start(self) -> Position:
        """Return the initial position."""
        if self._count > MAX_POSITIONS:
            self._root, self._count = Position(self.game, self.game.start()), 1
        return self._root

    def after(self, position: Position, action: int) -> Position:
        """Return the position that an action leads to."""
        child = position.after.get(action)
        if child is None:
            child = position.after[action] = Position(self.game, position.state.child(action))
            self._count += 1
        return child

    def move(self, position: Position, action: int) -> tuple[dict[str, str], Verdict | None]:
        """Return a move as a message, and the verdict on it."""
        found = position.moves.get(action)
        if found is None:
            state, verdict = position.state, None
            if self.solver is not None:
                verdict = judge_move(self.game, self.solver, state, action, graded=True)
            message = {"role": "assistant", "content": self.game.move(state, action)}
            found = position.moves[action] = (message, verdict)
        return found

    def illegal(self, answer: str) -> tuple[dict[str, str], Verdict | None]:
        """Return an illegal answer as a message, and the verdict on it."""
        message = {"role": "assistant", "content": answer}
        return message, None if self.solver is None else ILLEGAL
