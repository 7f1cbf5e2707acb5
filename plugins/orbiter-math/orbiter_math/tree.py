"""The tree of a mathematical answer: what the parser makes and the comparison walks."""

from __future__ import annotations

from fractions import Fraction

from attrs import frozen


class UnreadableError(ValueError):
    """A text is no mathematical answer that can be read; the message is a short reason."""


class UndefinedError(ArithmeticError):
    """There is no such value: a division by zero, the logarithm of zero, infinity minus infinity."""


class UnsupportedError(UnreadableError):
    """A text holds something that the parser does not know; math-verify may."""


class UnfitReferenceError(Exception):
    """A reference is not what answers can be compared with; the message is a short reason."""


class BoundError(UnreadableError):
    """A text or a value is larger than what is looked at."""


@frozen
class Number:
    """A number as written; ``digits`` is the count of significant digits of a decimal, 0 if it is none."""

    value: Fraction
    places: int = 0
    digits: int = 0


@frozen
class Symbol:
    """A letter, with its subscript: ``x``, ``x_1``, ``alpha``."""

    name: str


@frozen
class Apply:
    """An operation on numbers: ``+``, ``*``, ``^``, ``neg``, ``inv``, ``sqrt``, ``sin``, ..."""

    name: str
    args: tuple[Tree, ...]


@frozen
class Group:
    """Several answers together.

    ``kind`` is ``list`` (in no order), ``set``, ``union``, ``without`` (a set less another), ``ratio``, ``matrix``, ``row``, or the two
    brackets of a tuple or interval: ``()``, ``[)``, ``(]``, ``[]``.
    """

    kind: str
    items: tuple[Tree, ...]


@frozen
class Relation:
    """A chain of equations or inequalities: ``signs[i]`` stands between ``sides[i]`` and ``sides[i + 1]``."""

    signs: tuple[str, ...]
    sides: tuple[Tree, ...]


@frozen
class About:
    r"""A value that is only said to be near: ``\approx 17``."""

    value: Tree


@frozen
class Words:
    """An answer in words, in lower case."""

    text: str


@frozen
class Based:
    """Digits in a base other than ten, such as ``1011_2``."""

    digits: str
    base: int


Tree = Number | Symbol | Apply | Group | Relation | About | Words | Based

FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp".split()
)
"""Functions of one number, by name; ``log`` has base 10 unless it is given another."""


def has_symbols(tree: Tree) -> bool:
    """Return whether letters in a tree stand for numbers; e and i are numbers."""
    if isinstance(tree, Symbol):
        return tree.name not in ("e", "i")
    if isinstance(tree, Apply):
        return any(map(has_symbols, tree.args))
    if isinstance(tree, About):
        return has_symbols(tree.value)
    parts = (
        tree.sides if isinstance(tree, Relation) else tree.items if isinstance(tree, Group) else ()
    )
    return any(map(has_symbols, parts))
