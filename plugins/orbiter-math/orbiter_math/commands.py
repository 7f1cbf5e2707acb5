r"""LaTeX commands that take arguments: fractions, roots, rounding, lines, sets of numbers and matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from orbiter_math.tree import Apply, Group, Symbol, Tree, Words

if TYPE_CHECKING:
    from orbiter_math.parser import Parser

_SETS = {"R": "reals", "Z": "integers", "Q": "rationals", "N": "naturals", "C": "complexes"}


def _two_arguments(parser: Parser, name: str) -> Tree:
    first = parser.argument()
    return Apply(name, (first, parser.argument()))


def _root(parser: Parser) -> Tree:
    index = None
    if parser.take("["):
        index = parser.expression()
        parser.need("]")
    inside = parser.argument()
    return Apply("sqrt", (inside,)) if index is None else Apply("root", (inside, index))


def _rounded(parser: Parser, name: str) -> Tree:
    inside = parser.expression()
    parser.need("\\r" + name)
    return Apply(name, (inside,))


def _line(parser: Parser) -> Tree:
    r"""Read what is under a bar: ``\overline{AB}`` is the segment that is also written AB."""
    parser.need("{")
    name = parser.until_brace()
    if len(name) == 2 and name.isalpha() and name.isupper():
        return Apply("*", (Symbol(name[0]), Symbol(name[1])))
    return Symbol("line " + name)


def _blackboard(parser: Parser) -> Tree:
    parser.need("{")
    name = parser.until_brace()
    if name not in _SETS:
        raise parser.stuck()
    return Words(_SETS[name])


def _matrix(parser: Parser) -> Tree:
    parser.need("{")
    kind = parser.until_brace()
    if kind not in ("pmatrix", "bmatrix", "matrix", "array"):
        raise parser.stuck()
    if kind == "array" and parser.take("{"):
        parser.until_brace()
    rows: list[list[Tree]] = [[]]
    while not parser.take("\\end"):
        if parser.take("\\\\"):
            rows.append([])
        elif not parser.take("&"):
            rows[-1].append(parser.expression())
    parser.need("{")
    parser.until_brace()
    if not rows[-1]:
        rows.pop()
    if not rows or not rows[0] or len({len(row) for row in rows}) != 1:
        raise parser.stuck()
    return Group("matrix", tuple(Group("row", tuple(row)) for row in rows))


COMMANDS: Mapping[str, Callable[[Parser], Tree]] = {
    "frac": lambda parser: _two_arguments(parser, "frac"),
    "binom": lambda parser: _two_arguments(parser, "binomial"),
    "sqrt": _root,
    "lfloor": lambda parser: _rounded(parser, "floor"),
    "lceil": lambda parser: _rounded(parser, "ceil"),
    "overline": _line,
    "begin": _matrix,
    "mathbb": _blackboard,
    "emptyset": lambda _: Group("set", ()),
}
"""What reads the arguments of a command, after its name."""
