"""Whether two numbers or expressions have the same value.

They are compared as fractions where both are rational, and otherwise by their values at fixed points (:mod:`orbiter_math.point`).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from attrs import frozen

from orbiter_math.exact import exact, rounds_to, terminates
from orbiter_math.point import DIGITS, POINTS, Point, context
from orbiter_math.tree import Apply, Tree, UndefinedError, has_symbols

SIGNIFICANT = 6
"""Significant digits from which on a decimal stands for a value that no decimal writes exactly."""


@frozen
class PointValue:
    """A value at a point, with the size that its rounding error is measured by."""

    value: Any
    peak: Any

    def equals(self, other: PointValue) -> bool:
        """Return whether two values are the same but for rounding errors."""
        ctx = context()
        if ctx.isinf(self.value) or ctx.isinf(other.value):
            return bool(self.value == other.value)
        error = max(self.peak, other.peak) * ctx.mpf(10) ** (15 - DIGITS)
        return bool(abs(self.value - other.value) <= error)

    def times(self, other: PointValue) -> PointValue:
        """Return the product of two values."""
        return PointValue(self.value * other.value, self.peak * other.peak)


class Equality:
    """Compares numbers and expressions, and remembers the values of those it has seen.

    Args:
        abs_tol: Numbers may differ by this, bound included.
        rel_tol: Or by this share of the reference.
        percent: Whether 50 % is what a reference of 50 means.
    """

    def __init__(
        self,
        *,
        abs_tol: Fraction = Fraction(0),
        rel_tol: Fraction = Fraction(0),
        percent: bool = True,
    ) -> None:
        self._abs_tol, self._rel_tol, self._percent = abs_tol, rel_tol, percent
        self._known: dict[Tree, list[PointValue | None]] = {}

    @property
    def is_exact(self) -> bool:
        """Whether numbers have to be equal."""
        return not self._abs_tol and not self._rel_tol

    def same(self, reference: Tree, answer: Tree) -> bool:
        """Compare numbers, of which one may be a percentage or an angle in degrees.

        50 % is 0.5, and is what a reference of 50 means where percents are asked for; 90 degrees is half of pi, and what "90" means.
        """
        if self._same_number(reference, answer):
            return True
        for sign in ("percent", "degrees"):
            of_reference, of_answer = _before(sign, reference), _before(sign, answer)
            if of_reference is not None and of_answer is None:
                return self._same_number(of_reference, answer)
            if of_answer is not None and of_reference is None:
                value = exact(reference)
                is_share = not self._percent or (value is not None and abs(value) <= 1)
                barred = sign == "percent" and is_share
                return not barred and self._same_number(reference, of_answer)
        return False

    def _same_number(self, reference: Tree, answer: Tree) -> bool:
        one, other = exact(reference), exact(answer)
        if one is not None and other is not None:
            if one == other or abs(one - other) <= self._tolerance(abs(one)):
                return True
            written = self._rounds_to(one, answer) and not terminates(one)
            return written or (self._rounds_to(other, reference) and not terminates(other))
        return self._same_function(reference, answer)

    def _rounds_to(self, value: Fraction, answer: Tree) -> bool:
        return rounds_to(value, answer, digits=SIGNIFICANT)

    def _tolerance(self, size: Fraction) -> Fraction:
        return max(self._abs_tol, self._rel_tol * size)

    def _same_function(self, reference: Tree, answer: Tree) -> bool:
        shared = self.shared(reference, answer)
        if has_symbols(reference) or has_symbols(answer):
            return len(shared) > 1 and all(one.equals(other) for one, other in shared)
        return bool(shared) and self._same_constant(*shared[0], reference, answer)

    def _same_constant(
        self, one: PointValue, other: PointValue, reference: Tree, answer: Tree
    ) -> bool:
        if one.equals(other):
            return True
        ctx = context()
        if ctx.isinf(one.value) or ctx.isinf(other.value):
            return False
        if not self.is_exact:
            tolerance = max(_real(self._abs_tol), _real(self._rel_tol) * abs(one.value))
            if abs(one.value - other.value) <= tolerance:
                return True
        if ctx.im(one.value) or ctx.im(other.value):
            return False
        # As fractions they are exact enough to be rounded to the few places that a decimal has.
        return (exact(reference) is None and self._rounds_to(_fraction(one.value), answer)) or (
            exact(answer) is None and self._rounds_to(_fraction(other.value), reference)
        )

    def shared(self, one: Tree, other: Tree) -> list[tuple[PointValue, PointValue]]:
        """Return the pairs of values at the points where both have one."""
        pairs = zip(self.values(one), self.values(other))
        return [(a, b) for a, b in pairs if a is not None and b is not None]

    def values(self, tree: Tree) -> list[PointValue | None]:
        """Return the value of a tree at each point, None where it has none.

        Raises:
            BoundError: A number in it is too large.
            UndefinedError: It has no value anywhere, such as 1/0.
        """
        if tree in self._known:
            return self._known[tree]
        values: list[PointValue | None] = []
        for index in range(POINTS):
            point = Point(index)
            try:
                values.append(PointValue(point.value(tree), point.peak))
            except UndefinedError:
                values.append(None)
            if not index and not has_symbols(tree):
                values *= POINTS
                break
        if not any(values):
            raise UndefinedError("number has no value")
        self._known[tree] = values
        return values


def _before(sign: str, tree: Tree) -> Tree | None:
    """Return the number before a percent or degree sign."""
    return tree.args[0] if isinstance(tree, Apply) and tree.name == sign else None


def _real(value: Fraction) -> Any:
    return context().mpf(value.numerator) / value.denominator


def _fraction(value: Any) -> Fraction:
    real = context().re(value)
    mantissa, exponent = real.man_exp  # of the absolute value
    size = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -size if real < 0 else size
