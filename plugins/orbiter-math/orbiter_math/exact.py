"""Exact values: of trees that are rational by rational steps, with bounds checked before each of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from orbiter_math.tree import (
    Apply,
    Based,
    BoundError,
    Number,
    Symbol,
    Tree,
    UndefinedError,
    UnreadableError,
)

MAX_BITS = 20_000
"""Largest numerator or denominator of an exact value, in bits."""

MAX_FACTORIAL = 1_000
"""Largest argument of a factorial and largest top of a binomial coefficient."""


def exact(tree: Tree) -> Fraction | None:
    """Return the value of a tree if it is rational and made by rational steps, else None.

    Raises:
        BoundError: A step would make too large a number.
        UndefinedError: It divides by zero.
        UnreadableError: It holds something that is no number.
    """
    if isinstance(tree, Number):
        return _bounded(tree.value)
    if isinstance(tree, Symbol):
        return None
    if not isinstance(tree, Apply):
        raise UnreadableError("answer is not a number")
    args = [exact(arg) for arg in tree.args]
    known = [arg for arg in args if arg is not None]
    if not args or len(known) < len(args) or tree.name not in _EXACT:
        return None
    value = _EXACT[tree.name](*known)
    return None if value is None else _bounded(value)


def rounds_to(value: Fraction, stated: Tree, *, digits: int = 0) -> bool:
    """Return whether ``stated`` is a decimal that ``value`` is rounded or cut to, and shows at least so many significant digits."""
    sign = 1
    if isinstance(stated, Apply) and stated.name == "neg":
        stated, sign = stated.args[0], -1
    if not isinstance(stated, Number) or not stated.places or stated.digits < digits:
        return False
    scaled, shown = sign * value * 10**stated.places, stated.value * 10**stated.places
    error = scaled - shown
    return bool(abs(error) <= Fraction(1, 2) or 0 <= error < 1)


def terminates(value: Fraction) -> bool:
    """Return whether some decimal writes the value exactly."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def is_decimal(tree: Tree) -> bool:
    """Return whether a tree is written as a decimal, which may be rounded."""
    if isinstance(tree, Apply) and tree.name in ("neg", "percent"):
        return is_decimal(tree.args[0])
    return isinstance(tree, Number) and tree.places > 0


def based_value(tree: Based) -> Fraction | None:
    """Return the value of digits in a base, or None if one of them is none of that base."""
    try:
        return Fraction(int(tree.digits, tree.base))
    except ValueError:
        return None


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise BoundError("number is too large")
    return value


def _divide(top: Fraction, bottom: Fraction) -> Fraction:
    if not bottom:
        raise UndefinedError("division by zero")
    return top / bottom


def _power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1:
        root = _root(base, Fraction(exponent.denominator))
        return None if root is None else _power(root, Fraction(exponent.numerator))
    if not base and exponent < 0:
        raise UndefinedError("division by zero")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if base not in (0, 1, -1) and bits * abs(exponent) > MAX_BITS:
        raise BoundError("number is too large")
    if base in (0, 1, -1):  # however large the exponent is
        return Fraction(1) if not exponent or base == 1 else base ** (2 - exponent.numerator % 2)
    return base**exponent.numerator


def _root(inside: Fraction, index: Fraction) -> Fraction | None:
    """Return a rational root; of a negative number only an odd one, which is real."""
    degree = int(index)
    if degree != index or not 1 <= degree <= 64:
        return None
    if inside < 0:
        positive = _root(-inside, index) if degree % 2 else None
        return None if positive is None else -positive
    top, bottom = _whole_root(inside.numerator, degree), _whole_root(inside.denominator, degree)
    return None if top is None or bottom is None else Fraction(top, bottom)


def _whole_root(number: int, degree: int) -> int | None:
    if number < 2:
        return number
    guess = 1 << -(-number.bit_length() // degree)
    while True:  # Newton's method from above; it falls until it has the floor of the root
        better = ((degree - 1) * guess + number // guess ** (degree - 1)) // degree
        if better >= guess:
            break
        guess = better
    return guess if guess**degree == number else None


def _factorial(number: Fraction) -> Fraction | None:
    if number.denominator != 1 or number < 0:
        return None
    if number > MAX_FACTORIAL:
        raise BoundError("number is too large")
    return Fraction(math.factorial(int(number)))


def _binomial(top: Fraction, bottom: Fraction) -> Fraction | None:
    if top.denominator != 1 or bottom.denominator != 1 or top < 0 or bottom < 0:
        return None
    if top > MAX_FACTORIAL:
        raise BoundError("number is too large")
    return Fraction(math.comb(int(top), int(bottom)))


_EXACT: Mapping[str, Callable[..., Fraction | None]] = {
    "+": lambda *args: sum(args, Fraction(0)),
    "*": lambda *args: functools.reduce(lambda a, b: _bounded(a * b), args),
    "neg": lambda a: -a,
    "inv": lambda a: _divide(Fraction(1), a),
    "frac": _divide,
    "percent": lambda a: a / 100,
    "^": _power,
    "sqrt": lambda a: _root(a, Fraction(2)),
    "root": _root,
    "abs": abs,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
    "factorial": _factorial,
    "binomial": _binomial,
}
