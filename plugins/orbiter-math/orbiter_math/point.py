"""Inexact values: what a tree is at a fixed choice of its symbols, to 120 digits, with bounds checked before each step.

Two expressions that agree at all points are one function. They are functions of real variables; where a point makes a root or
logarithm complex, the principal value is compared.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from orbiter_math.exact import MAX_FACTORIAL
from orbiter_math.tree import (
    Apply,
    BoundError,
    Number,
    Symbol,
    Tree,
    UndefinedError,
    UnreadableError,
)

if TYPE_CHECKING:
    from mpmath.ctx_mp import MPContext

MAX_MAGNITUDE = 300
"""Largest magnitude of an inexact value: 2 to the power of this."""

DIGITS = 120
"""Decimal digits of an inexact value."""

POINTS = 6
"""Points at which an expression with symbols is evaluated: all are positive at the first and negative at the second."""

_local = threading.local()


def context() -> MPContext:
    """Return this thread's own mpmath context; mpmath's global one may be changed by anyone, at any time."""
    if not hasattr(_local, "context"):
        from mpmath.ctx_mp import MPContext

        _local.context = MPContext()
        _local.context.dps = DIGITS
    return _local.context


class Point:
    """One choice of real numbers for all symbols.

    Args:
        index: Which one, from 0 on; the same index gives the same numbers for ever.

    ``peak`` is the largest magnitude met so far: an error of the last digit in it is the error of a result.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.context = context()
        self.peak = self.context.mpf(1)

    def value(self, tree: Tree) -> Any:
        """Return the mpmath number that a tree has here.

        Raises:
            BoundError: A step would make too large a number.
            UndefinedError: The tree has no value here.
            UnreadableError: It holds something that is no number.
        """
        if isinstance(tree, Number):
            return self._checked(self.context.mpf(tree.value.numerator) / tree.value.denominator)
        if isinstance(tree, Symbol):
            return self._symbol(tree.name)
        if not isinstance(tree, Apply):
            raise UnreadableError("answer is not a number")
        if tree.name == "pi":
            return +self.context.pi
        if tree.name == "infinity":
            return self.context.inf
        args = [self.value(arg) for arg in tree.args]
        if any(map(self.context.isinf, args)):
            if tree.name == "neg":
                return -args[0]
            raise UndefinedError("infinity is no number")
        try:
            return self._checked(self._apply(tree.name, args))
        except UnreadableError:
            raise
        except (ZeroDivisionError, ValueError, OverflowError):
            raise UndefinedError(f"{tree.name} has no value here") from None

    def _checked(self, value: Any) -> Any:
        ctx = self.context
        if not ctx.isfinite(value):  # the logarithm of zero
            raise UndefinedError("not a number")
        size = abs(value)
        if size and ctx.mag(size) > MAX_MAGNITUDE:
            raise BoundError("number is too large")
        self.peak = max(self.peak, size)
        return value

    def _symbol(self, name: str) -> Any:
        if name == "e":
            return +self.context.e
        if name == "i":
            return self.context.j
        digest = hashlib.blake2b(f"{self.index}:{name}".encode(), digest_size=8).digest()
        # Between 0.6 and 1.4, so that high powers stay small.
        size = (
            self.context.mpf(int.from_bytes(digest[:7])) / 2**56 * 4 / 5 + self.context.mpf(3) / 5
        )
        negative = self.index == 1 or (self.index > 1 and digest[7] % 2)
        return -size if negative else size

    def _apply(self, name: str, args: list[Any]) -> Any:
        ctx = self.context
        if name == "+":
            return sum(args[1:], args[0])
        if name == "*":
            return functools.reduce(lambda a, b: self._checked(a * b), args)
        if name == "^":
            return self._power(*args)
        if name == "root":
            return self._power(args[0], 1 / args[1])
        if name == "log":
            base = ctx.log(args[1]) if len(args) == 2 else ctx.log(10)
            return ctx.log(args[0]) / base
        if name == "binomial":
            top, bottom = map(self._small, args)
            return ctx.binomial(top, bottom)
        if name == "factorial":
            return ctx.factorial(self._small(args[0]))
        if name in ("exp", "sinh", "cosh", "tanh"):
            return getattr(ctx, name)(self._small(args[0]))
        return _INEXACT[name](ctx, *args)

    def _small(self, value: Any) -> Any:
        if abs(value) > MAX_FACTORIAL:
            raise BoundError("number is too large")
        return value

    def _power(self, base: Any, exponent: Any) -> Any:
        ctx = self.context
        if not base:
            return self._zero_power(exponent)
        if abs(exponent) * abs(ctx.log(abs(base), 2)) > MAX_MAGNITUDE or abs(exponent) > 10**12:
            raise BoundError("number is too large")
        if ctx.isint(exponent):
            return base ** int(ctx.re(exponent))
        if ctx.im(base) == 0 and ctx.re(base) < 0 and ctx.im(exponent) == 0:
            odd = self._odd_root(abs(base), exponent)
            if odd is not None:
                return odd
        return ctx.power(base, exponent)

    def _zero_power(self, exponent: Any) -> Any:
        if self.context.re(exponent) < 0:
            raise UndefinedError("division by zero")
        return self.context.mpf(0 if exponent else 1)

    def _odd_root(self, size: Any, exponent: Any) -> Any:
        """Return the real value of a negative number to a power p/q with a small odd q, as schools have it."""
        for bottom in (3, 5, 7, 9):
            top = exponent * bottom
            whole = self.context.nint(top)
            if abs(top - whole) < self.context.mpf(10) ** (-DIGITS // 2):
                root = self.context.power(size, exponent)
                return -root if int(whole) % 2 else root
        return None


def _settled(ctx: MPContext, value: Any) -> Any:
    """Return a whole number that was missed by a rounding error."""
    whole = ctx.nint(value)
    return whole if abs(value - whole) < ctx.mpf(10) ** (-DIGITS // 2) else value


_INEXACT: Mapping[str, Callable[..., Any]] = {
    "neg": lambda _, a: -a,
    "inv": lambda _, a: 1 / a,
    "frac": lambda _, a, b: a / b,
    "percent": lambda _, a: a / 100,
    "degrees": lambda ctx, a: a * ctx.pi / 180,
    "sqrt": lambda ctx, a: ctx.sqrt(a),
    "abs": lambda _, a: abs(a),
    "floor": lambda ctx, a: ctx.floor(_settled(ctx, a)),
    "ceil": lambda ctx, a: ctx.ceil(_settled(ctx, a)),
    "ln": lambda ctx, a: ctx.log(a),
    "sin": lambda ctx, a: ctx.sin(a),
    "cos": lambda ctx, a: ctx.cos(a),
    "tan": lambda ctx, a: ctx.tan(a),
    "cot": lambda ctx, a: ctx.cot(a),
    "sec": lambda ctx, a: ctx.sec(a),
    "csc": lambda ctx, a: ctx.csc(a),
    "arcsin": lambda ctx, a: ctx.asin(a),
    "arccos": lambda ctx, a: ctx.acos(a),
    "arctan": lambda ctx, a: ctx.atan(a),
}
