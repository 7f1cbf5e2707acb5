"""Reads a reference and an answer and decides whether they are the same: the cheapest sufficient way first.

1. One spelling of both texts is the same text: the same answer.
2. Both are plain decimals: they are compared as fractions.
3. Both are read into trees, which are compared (:mod:`orbiter_math.comparison`).
4. What the parser does not read goes to math-verify, within bounds (:mod:`orbiter_math.symbolic`).

Only the last imports sympy, and only inexact values import mpmath.
"""

from __future__ import annotations

import re
from fractions import Fraction

from attrs import frozen

from orbiter.verify.numeric import NUMBER
from orbiter_math import symbolic
from orbiter_math.comparison import Comparison
from orbiter_math.latex import clean, squeezed
from orbiter_math.parser import parse
from orbiter_math.tokens import HEDGE, MAX_LENGTH
from orbiter_math.tree import (
    Apply,
    BoundError,
    Number,
    Tree,
    UnreadableError,
    UnsupportedError,
    Words,
    has_symbols,
)
from orbiter_math.units import Unit, split_unit

MAX_WRITTEN = 2 * MAX_LENGTH
"""Longest answer as it is written, in characters."""

_DECIMAL = re.compile(NUMBER)
_REASON = re.compile(
    r"(?:,\s*|\s)(?:\(?(?:because|since|as|which|where|when|so|hence|thus|giving|meaning)\b|(?<=,)\s*not\b).*",
    re.DOTALL,
)
_OPTION = re.compile(r"\(([A-E])\) ?(?=-?[0-9.]|\\(?:frac|sqrt|pi)\b)")
_WORDS = re.compile(r"(?<=[0-9})\]$%!*])[,;]?\s+[A-Za-z'-]+(?:[,;:]?\s+[A-Za-z'-]+)+[*_]*$")


@frozen
class Reading:
    """An answer as it is read.

    Args:
        text: It in one spelling.
        number: Its value if it is a plain decimal.
        tree: Its tree; None for a plain decimal, and for what only math-verify may read.
        unit: The unit after it, if that is a known one.
        option: The letter of an option before it: C, where it says "(C) 42".
    """

    text: str
    number: Fraction | None = None
    tree: Tree | None = None
    unit: Unit | None = None
    option: str | None = None

    @property
    def is_words(self) -> bool:
        """Whether it is an answer in words."""
        return isinstance(self.tree, Words)

    @property
    def is_symbolic(self) -> bool:
        """Whether letters in it stand for numbers."""
        return self.tree is not None and has_symbols(self.tree)


def read(text: str, *, symbols: bool = True) -> Reading:
    """Return how an answer is read.

    Args:
        text: The answer as it is written.
        symbols: Whether letters after a number may be symbols, and not units.

    Raises:
        BoundError: It is larger than what is looked at.
        UnreadableError: It says nothing clear.
    """
    if len(text) > MAX_WRITTEN:
        raise BoundError("answer is too long")
    cleaned, option = clean(text), None
    if label := _OPTION.match(cleaned):
        option, cleaned = label[1], cleaned[label.end() :]
    if not cleaned:
        raise UnreadableError("answer is empty")
    if _DECIMAL.fullmatch(cleaned):
        return Reading(cleaned, Fraction(cleaned.replace(",", "")), option=option)
    value, unit = split_unit(cleaned, symbols=symbols)
    try:
        return Reading(squeezed(cleaned), None, parse(value), unit, option)
    except UnsupportedError:
        return Reading(squeezed(cleaned), option=option)


def spelled(text: str) -> str | None:
    """Return an answer in one spelling, or None if it is too long."""
    return squeezed(clean(text)) if len(text) <= MAX_WRITTEN else None


def predicate(text: str) -> str:
    """Return what a sentence asserts: 42, where it says "the largest value is 42 because 6 * 7 = 42"."""
    text = _REASON.sub("", text)
    if text[:1].isalpha():
        text = text.rpartition(" is ")[2]
    words = _WORDS.search(text)
    if words is None or HEDGE.search(words[0].removeprefix(",").lstrip().removeprefix("and ")):
        return text
    return text[: words.start()]


def same(reference: Reading, answer: Reading, comparison: Comparison) -> bool:
    """Return whether an answer says what the reference says.

    Raises:
        UnreadableError: The answer cannot be read, or only beyond the bounds.
        UndefinedError: It has no value, such as 1/0.
        UnfitReferenceError: The reference cannot be read.
        DeadlineError: math-verify took too long.
    """
    if None not in (reference.option, answer.option) and reference.option != answer.option:
        return False
    if reference.text == answer.text:
        return True
    if reference.number is not None and answer.number is not None and comparison.numbers.is_exact:
        return reference.number == answer.number
    trees = [_tree(one) for one in (reference, answer)]
    if trees[0] is None or trees[1] is None:
        return symbolic.same(reference.text, answer.text)
    units = reference.unit, answer.unit
    if units[0] is not None and units[1] is not None and units[0] != units[1]:
        if units[0].dimension != units[1].dimension:
            return False
        factor = Number(units[1].factor / units[0].factor)
        return comparison.equal(trees[0], Apply("*", (factor, trees[1])))
    return comparison.equal(trees[0], trees[1])


def _tree(reading: Reading) -> Tree | None:
    return reading.tree if reading.number is None else parse(reading.text)
