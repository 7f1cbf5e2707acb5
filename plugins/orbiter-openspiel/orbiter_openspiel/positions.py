"""Positions that were written down before: games of good players meet again, and text costs as much as a short search."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from orbiter.records import Verdict
from orbiter_openspiel.alpha_beta import AlphaBetaSolver
from orbiter_openspiel.games import Game
from orbiter_openspiel.solvers import Solver
from orbiter_openspiel.verifier import judge_move

MAX_BYTES = 100_000_000
"""Memory that remembered moves may take, about; then it begins anew."""

MOVE_BYTES, ACTION_BYTES = 1_500, 16
"""What a move takes, about, and what each action before it adds, of which OpenSpiel's state keeps a list."""

ILLEGAL = Verdict.failed("illegal move")


def json_of(value: Any) -> str:
    """Return a value as JSON."""
    return orjson.dumps(value).decode()


class Position:
    """One position: the question and the task's id as JSON, and the moves that were made in it."""

    __slots__ = ("asked", "moves", "seat", "state", "task_id")

    def __init__(self, game: Game, state: Any) -> None:
        self.state = state
        self.seat: int = state.current_player()
        self.moves: dict[int, Move] = {}
        if self.seat >= 0:
            prompt = game.prompt(state)
            self.asked = json_of({"role": "user", "content": prompt})
            self.task_id = json_of(f"openspiel:{game.name}:{game.notation.key(prompt)}")


class Move:
    """One answer in one position: what judging gave, a row's text before and after what each game adds, and the position that follows.

    A chance outcome is one too, of which nothing is said.
    """

    __slots__ = ("after", "head", "tail", "verdict")

    def __init__(
        self, after: Position, verdict: Verdict | None = None, head: str = "", tail: str = ""
    ) -> None:
        self.after, self.verdict, self.head, self.tail = after, verdict, head, tail


class RowText(Protocol):
    """Says of an answer what is the same in every game."""

    def __call__(
        self, messages: str, task_id: str, verdict: Verdict | None, illegal: bool, /
    ) -> tuple[str, str]:
        """Return a row's text before and after what each game adds; messages and id of the task are JSON."""
        ...


class Positions:
    """Remembers the positions of a game: by what is on the board where that tells all, else by history.

    Args:
        game: The game.
        solver: What judges moves; None: nothing does.
        row: What a row says of an answer.
    """

    def __init__(self, game: Game, solver: Solver | None, row: RowText) -> None:
        self.game, self.solver, self.row = game, solver, row
        # What alpha-beta solves is told by its text alone; a search, or a rule on repetition, may look at the history.
        self._merges = game.solver == "alpha_beta" and isinstance(solver, AlphaBetaSolver | None)
        self._begin()

    def start(self) -> Position:
        """Return the initial position."""
        if self._bytes > MAX_BYTES:
            self._begin()
        return self._root

    def move(self, position: Position, action: int) -> Move:
        """Return a legal move or a chance outcome, and remember it."""
        state = position.state
        self._bytes += MOVE_BYTES + ACTION_BYTES * state.move_number()
        after = self._at(state.child(action))
        if position.seat < 0:
            move = Move(after)
        else:
            verdict = None
            if self.solver is not None:
                verdict = judge_move(self.game, self.solver, state, action, graded=True)
            text = self._text(position, self.game.move(state, action), verdict, illegal=False)
            move = Move(after, verdict, *text)
        position.moves[action] = move
        return move

    def illegal(self, position: Position, answer: str) -> Move:
        """Return an answer that is no legal move, with which the game would stand still."""
        verdict = None if self.solver is None else ILLEGAL
        return Move(position, verdict, *self._text(position, answer, verdict, illegal=True))

    def _text(
        self, position: Position, answer: str, verdict: Verdict | None, *, illegal: bool
    ) -> tuple[str, str]:
        messages = f"{position.asked},{json_of({'role': 'assistant', 'content': answer})}"
        return self.row(messages, position.task_id, verdict, illegal)

    def _begin(self) -> None:
        self._bytes = 0
        self._met: dict[tuple[int, str], Position] = {}
        self._root = self._at(self.game.start())

    def _at(self, state: Any) -> Position:
        if not self._merges:
            return Position(self.game, state)
        key = (state.current_player(), str(state))
        found = self._met.get(key)
        if found is None:
            found = self._met[key] = Position(self.game, state)
        return found
