"""Games on a board as one line: rows from the top, ``/`` between them, ``.`` for what is empty, then who moves."""

from __future__ import annotations

import string
from typing import Any

from orbiter_openspiel.notation import Notation

_BOARD = "".join(sorted(string.ascii_lowercase + string.digits + " ./:"))
"""Characters of boards of any size with squares such as b3."""


_LAYOUT = "The prompt is the board by rows from the top, then who moves; '.' is empty."


class BoardNotation(Notation):
    """A board of lettered columns and numbered rows, and who moves: ``hex x.o/.x./... o:`` -> ``b1``."""

    chars = _BOARD

    sides: str
    """The letters of the first and the second player."""

    def view(self, state: Any) -> str:
        """Return what the player to move may know."""
        return f"{self.board(state)} {self.sides[state.current_player()]}"

    def move(self, state: Any, action: int) -> str:
        """Return the text of an action; a star that marks a capture says nothing new."""
        return str(state.action_to_string(state.current_player(), action)).rstrip("*")

    def board(self, state: Any) -> str:
        """Return the rows, from OpenSpiel's text."""
        return str(state).replace(" ", "").strip("\n").replace("\n", "/")


class TicTacToeNotation(BoardNotation):
    """``ttt x.o...... x:`` -> ``4``, with the cells numbered from 0 by rows."""

    prefix, sides, chars = "ttt", "xo", "012345678:. otx"
    rules = (
        f"Tic-tac-toe. {_LAYOUT} "
        "Answer with the number of an empty cell alone, 0 (top left) to 8 (bottom right)."
    )

    def board(self, state: Any) -> str:
        """Return the cells."""
        return str(state).replace("\n", "")

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002  # the number says it all
        """Return the text of an action."""
        return str(action)


class ConnectFourNotation(BoardNotation):
    """``c4 ......./ ... /...x... o:`` -> ``3``, with the columns numbered from 0."""

    prefix, sides, chars = "c4", "xo", "0123456789:./ c4ox"
    rules = (
        f"Connect four. {_LAYOUT} "
        "Answer with the number of a column that is not full alone, 0 is the leftmost."
    )

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002
        """Return the text of an action."""
        return str(action)


class HexNotation(BoardNotation):
    """``hex .../.x./o.x o:`` -> ``b3``."""

    prefix, sides = "hex", "xo"
    rules = (
        "Hex: each row lies half a cell to the right of the one above; x joins top and bottom, o left and right. "
        f"Answer with an empty cell alone, such as b1: a is the leftmost cell of a row, 1 the top row. {_LAYOUT}"
    )


class RankedNotation(BoardNotation):
    """The same where OpenSpiel numbers the rows at their left and letters the columns below."""

    def board(self, state: Any) -> str:
        """Return the rows, from OpenSpiel's text."""
        *rows, letters, _ = str(state).split("\n")
        # A tenth row has a number of two digits, or a sign that is none.
        width = len(letters.strip())
        return "/".join(row[-width:] for row in rows)


class BreakthroughNotation(RankedNotation):
    """``breakthrough b.b/..b/w../w.w b:`` -> ``c3b2``."""

    prefix, sides = "breakthrough", "bw"
    rules = (
        "Breakthrough: b moves down and w up, one square straight ahead or diagonally; only a diagonal move captures; "
        "who reaches the far row wins. Answer with from and to alone, such as b2b3: a is the left column, 1 the bottom row. "
        f"{_LAYOUT}"
    )


class ClobberNotation(RankedNotation):
    """``clobber oxox/o..x/oxox o:`` -> ``a3b3``."""

    prefix, sides = "clobber", "ox"
    rules = (
        "Clobber: move a piece of yours onto a neighbouring piece of the other side, which is taken; who cannot move loses. "
        f"Answer with from and to alone, such as b2b3: a is the left column, 1 the bottom row. {_LAYOUT}"
    )


class OthelloNotation(BoardNotation):
    """``othello ......../ ... x:`` -> ``d3`` or ``pass``; OpenSpiel frames the board."""

    prefix, sides = "othello", "xo"
    rules = (
        "Othello: a piece must enclose a line of the other side's, which change sides; most pieces win. "
        f"Answer with a square alone, such as d3 (d is the fourth column, 3 the third row from the top), or pass. {_LAYOUT}"
    )

    def board(self, state: Any) -> str:
        """Return the rows, from OpenSpiel's text."""
        rows = str(state).split("\n")[2:10]
        return "/".join("".join(row.split()[1:-1]).replace("-", ".") for row in rows)


class NimNotation(Notation):
    """``nim 1 3 5 7:`` -> ``3-2``: from pile 3, counted from 1, take 2."""

    prefix, chars = "nim", "0123456789:- imn"
    rules = (
        "Nim; who takes the last object loses. The prompt is the sizes of the piles. "
        "Answer with pile-count alone: 3-2 takes 2 from the third pile."
    )

    def view(self, state: Any) -> str:
        """Return what the player to move may know."""
        return str(state).partition(": ")[2].strip()

    def move(self, state: Any, action: int) -> str:
        """Return the text of an action."""
        # 'pile:2, take:1;'
        pile, take = state.action_to_string(state.current_player(), action).rstrip(";").split(", ")
        return f"{pile.partition(':')[2]}-{take.partition(':')[2]}"


class TwentyFortyEightNotation(Notation):
    """``2048 2 . 4 ./.../... :`` -> ``left``."""

    prefix, chars = "2048", "".join(sorted(set("0123456789./ :updownleftright")))
    rules = (
        "2048: slide all tiles; two equal ones that meet become their sum. The prompt is the board by rows from the top; "
        "'.' is empty. Answer with up, down, left or right alone; a slide that moves nothing is not allowed."
    )

    def view(self, state: Any) -> str:
        """Return what the player to move may know."""
        rows = str(state).strip("\n").split("\n")
        tiles = (" ".join("." if n == "0" else n for n in row.split()) for row in rows)
        return "/".join(tiles)

    def move(self, state: Any, action: int) -> str:
        """Return the text of an action."""
        return str(state.action_to_string(state.current_player(), action)).lower()
