"""Games on a board as one line: rows from the top, ``/`` between them, ``.`` for what is empty, then who moves."""

from __future__ import annotations

import string
from typing import Any

from orbiter_openspiel.notation import Notation

_BOARD = "".join(sorted(string.ascii_lowercase + string.digits + " ./:"))
"""Characters of boards of any size with squares such as b3."""


class TicTacToeNotation(Notation):
    """``ttt x.o...... x:`` -> ``4``, with the cells numbered from 0 by rows."""

    prefix, chars = "ttt", "012345678:. otx"
    rules = (
        "Tic-tac-toe. The prompt is the board by rows from the top, then who moves; '.' is empty. "
        "Answer with the number of an empty cell alone, 0 (top left) to 8 (bottom right)."
    )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        board = str(state).replace("\n", "")
        return f"ttt {board} {'xo'[state.current_player()]}:"

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002  # the number says it all
        """Return the text of an action."""
        return str(action)


class ConnectFourNotation(Notation):
    """``c4 ......./ ... /...x... o:`` -> ``3``, with the columns numbered from 0."""

    prefix, chars = "c4", "0123456789:./ c4ox"
    rules = (
        "Connect four. The prompt is the board by rows from the top, then who moves; '.' is empty. "
        "Answer with the number of a column that is not full alone, 0 is the leftmost."
    )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        board = str(state).rstrip("\n").replace("\n", "/")
        return f"c4 {board} {'xo'[state.current_player()]}:"

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002
        """Return the text of an action."""
        return str(action)


class NimNotation(Notation):
    """``nim 1 3 5 7:`` -> ``3-2``: from pile 3, counted from 1, take 2."""

    prefix, chars = "nim", "0123456789:- imn"
    rules = (
        "Nim; who takes the last object loses. The prompt is the sizes of the piles. "
        "Answer with pile-count alone: 3-2 takes 2 from the third pile."
    )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        return f"nim {str(state).partition(': ')[2].strip()}:"

    def move(self, state: Any, action: int) -> str:
        """Return the text of an action."""
        # 'pile:2, take:1;'
        pile, take = state.action_to_string(state.current_player(), action).rstrip(";").split(", ")
        return f"{pile.partition(':')[2]}-{take.partition(':')[2]}"


class SquaresNotation(Notation):
    """A board of lettered columns and numbered rows: ``hex x.o/.x./... o:`` -> ``b1``.

    Args:
        prefix: Word that starts every prompt.
        sides: The letters of the first and the second player.
        rules: What a reader must know.
    """

    chars = _BOARD

    def __init__(self, prefix: str, sides: str, rules: str) -> None:
        self.prefix, self.sides = prefix, sides
        self.rules = (
            f"{rules} The prompt is the board by rows from the top, then who moves; '.' is empty. "
        )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        return f"{self.prefix} {self.board(state)} {self.sides[state.current_player()]}:"

    def move(self, state: Any, action: int) -> str:
        """Return the text of an action; a star that marks a capture says nothing new."""
        return str(state.action_to_string(state.current_player(), action)).rstrip("*")

    def board(self, state: Any) -> str:
        """Return the rows, from OpenSpiel's text."""
        return str(state).replace(" ", "").strip("\n").replace("\n", "/")


class RankedNotation(SquaresNotation):
    """The same where OpenSpiel numbers the rows at their left and letters the columns below."""

    def board(self, state: Any) -> str:
        """Return the rows, from OpenSpiel's text."""
        return "/".join(row.lstrip(string.digits) for row in str(state).split("\n")[:-2])


class OthelloNotation(SquaresNotation):
    """The same where OpenSpiel frames the board: ``othello ......../ ... x:`` -> ``d3`` or ``pass``."""

    def board(self, state: Any) -> str:
        """Return the rows, from OpenSpiel's text."""
        rows = str(state).split("\n")[2:10]
        return "/".join("".join(row.split()[1:-1]).replace("-", ".") for row in rows)


def breakthrough_notation() -> Notation:
    """Return how breakthrough is written."""
    return RankedNotation(
        "breakthrough",
        "bw",
        "Breakthrough: b moves down and w up, one square straight ahead or diagonally; only a diagonal move captures; "
        "who reaches the far row wins. Answer with from and to alone, such as b2b3: a is the left column, 1 the bottom row.",
    )


def clobber_notation() -> Notation:
    """Return how clobber is written."""
    return RankedNotation(
        "clobber",
        "ox",
        "Clobber: move a piece of yours onto a neighbouring piece of the other side, which is taken; who cannot move loses. "
        "Answer with from and to alone, such as b2b3: a is the left column, 1 the bottom row.",
    )


def hex_notation() -> Notation:
    """Return how hex is written."""
    return SquaresNotation(
        "hex",
        "xo",
        "Hex: each row lies half a cell to the right of the one above; x joins top and bottom, o left and right. "
        "Answer with an empty cell alone, such as b1: a is the leftmost cell of a row, 1 the top row.",
    )


def othello_notation() -> Notation:
    """Return how othello is written."""
    return OthelloNotation(
        "othello",
        "xo",
        "Othello: a piece must enclose a line of the other side's, which change sides; most pieces win. "
        "Answer with a square alone, such as d3 (d is the fourth column, 3 the third row from the top), or pass.",
    )


class TwentyFortyEightNotation(Notation):
    """``2048 2 . 4 ./.../... :`` -> ``left``."""

    prefix, chars = "2048", "".join(sorted(set("0123456789./ :updownleftright")))
    rules = (
        "2048: slide all tiles; two equal ones that meet become their sum. The prompt is the board by rows from the top; "
        "'.' is empty. Answer with up, down, left or right alone; a slide that moves nothing is not allowed."
    )

    def prompt(self, state: Any) -> str:
        """Return the text that the player to move is asked."""
        rows = str(state).strip("\n").split("\n")
        tiles = (" ".join("." if n == "0" else n for n in row.split()) for row in rows)
        return f"2048 {'/'.join(tiles)}:"

    def move(self, state: Any, action: int) -> str:
        """Return the text of an action."""
        return str(state.action_to_string(state.current_player(), action)).lower()
