"""Arithmetic in text: a parser to a syntax tree with bounds on its size, and exact evaluation. Nothing is ever eval'd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from attrs import frozen

from orbiter.errors import OrbiterError

MAX_LENGTH = 400
"""Longest expression, in characters."""

MAX_DEPTH = 40
"""Deepest nesting of parentheses and signs."""

MAX_DIGITS = 20
"""Longest number, in digits."""

_TOKEN = re.compile(r"\s*(?:([0-9]+)|([-+*/()]))")
_TYPOGRAPHY = str.maketrans("×·⋅÷−", "***/-")


class ExpressionError(OrbiterError, ValueError):
    """A text is no arithmetic expression, or has no value; the message is a short reason."""


@frozen
class Number:
    """A whole number as it stands in the text."""

    value: int


@frozen
class Operation:
    """Two expressions joined by one of ``+ - * /``."""

    sign: str
    left: Expression
    right: Expression


Expression = Number | Operation


def parse(text: str) -> Expression:
    """Return the tree of an expression of whole numbers, ``+ - * /`` and parentheses.

    Raises:
        ExpressionError: The text is something else, or too long, or too deeply nested.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError("expression is too long")
    return _Parser(text.translate(_TYPOGRAPHY)).parse()


def evaluate(expression: Expression) -> Fraction:
    """Return the exact value.

    Raises:
        ExpressionError: It divides by zero.
    """
    if isinstance(expression, Number):
        return Fraction(expression.value)
    left, right = evaluate(expression.left), evaluate(expression.right)
    if expression.sign == "+":
        return left + right
    if expression.sign == "-":
        return left - right
    if expression.sign == "*":
        return left * right
    if right == 0:
        raise ExpressionError("division by zero")
    return left / right


def numbers(expression: Expression) -> Iterator[int]:
    """Yield the numbers of an expression from left to right."""
    if isinstance(expression, Number):
        yield expression.value
    else:
        yield from numbers(expression.left)
        yield from numbers(expression.right)


class _Parser:
    """Recursive descent: sum := product (+|- product)*, product := atom (*|/ atom)*, atom := number | (sum)."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._place = 0
        self._depth = 0

    def parse(self) -> Expression:
        tree = self._sum()
        if self._place < len(self._tokens):
            raise ExpressionError("answer is not an expression")
        return tree

    def _sum(self) -> Expression:
        left = self._product()
        while self._peek() in ("+", "-"):
            left = Operation(self._next(), left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._atom()
        while self._peek() in ("*", "/"):
            left = Operation(self._next(), left, self._atom())
        return left

    def _atom(self) -> Expression:
        symbol = self._next()
        if symbol.isdigit():
            return Number(int(symbol))
        if symbol != "(":
            raise ExpressionError("answer is not an expression")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError("expression is too deeply nested")
        inner = self._sum()
        if self._next() != ")":
            raise ExpressionError("answer is not an expression")
        self._depth -= 1
        return inner

    def _peek(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _next(self) -> str:
        symbol = self._peek()
        self._place += 1
        return symbol


def _tokens(text: str) -> Iterator[str]:
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise ExpressionError("answer is not an expression")
        if match[1] and len(match[1]) > MAX_DIGITS:
            raise ExpressionError("number is too long")
        yield match[1] or match[2]
        place = match.end()
