"""Search for an expression over given numbers, each used at most once, whose exact value is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from attrs import frozen

Value = int | Fraction

_PRECEDENCES = {"+": (1, 1, 1), "-": (1, 1, 2), "*": (2, 2, 2), "/": (2, 2, 3)}
"""Of each operator: its precedence, and the least that its left and its right side may have without parentheses."""


def solve(numbers: Sequence[int], target: int) -> str | None:
    """Return an expression over some of the numbers, each at most once, whose value is ``target``; None if there is none.

    Whole intermediate results are tried first, then fractions. The same arguments always give the same expression.
    """
    return search(numbers, lambda value: value == target)


def search(numbers: Sequence[int], wanted: Callable[[Value], bool]) -> str | None:
    """Return an expression over some of the numbers, each at most once, whose exact value is wanted; None if there is none."""
    for number in numbers:
        if wanted(number):
            return str(number)
    terms = tuple(_Term(n, str(n)) for n in numbers)
    for fractions in (False, True):
        found = _search(terms, wanted, fractions, set())
        if found is not None:
            return found
    return None


@frozen
class _Term:
    """A value, the text that has it, and the precedence of the text's outermost operator."""

    value: Value
    text: str
    precedence: int = 3

    def joined(self, operator: str, other: _Term, value: Value) -> _Term:
        """Return the term of ``value`` that has this one at the left of the operator and another at its right."""
        precedence, left, right = _PRECEDENCES[operator]
        return _Term(value, f"{self._in(left)}{operator}{other._in(right)}", precedence)

    def _in(self, precedence: int) -> str:
        """Return the text, in parentheses if its outermost operator binds less than asked."""
        return self.text if self.precedence >= precedence else f"({self.text})"


def _search(
    terms: tuple[_Term, ...],
    wanted: Callable[[Value], bool],
    fractions: bool,
    visited: set[tuple[Value, ...]],
) -> str | None:
    """Return the text of a wanted value that joins at least two of the terms, of which none is wanted itself."""
    state = tuple(sorted(term.value for term in terms))
    if state in visited:
        return None
    visited.add(state)
    for i, a in enumerate(terms):
        for j, b in enumerate(terms):
            if i == j:
                continue
            rest = tuple(term for k, term in enumerate(terms) if k not in (i, j))
            for operator, value in _results(a.value, b.value, fractions, commutes=i < j):
                # Most values lead nowhere: a text is made only where there is something to do with it.
                if wanted(value):
                    return a.joined(operator, b, value).text
                if not rest:
                    continue
                if found := _search(
                    (*rest, a.joined(operator, b, value)), wanted, fractions, visited
                ):
                    return found
    return None


def _results(a: Value, b: Value, fractions: bool, *, commutes: bool) -> Iterator[tuple[str, Value]]:
    if commutes:
        yield "+", a + b
        yield "*", a * b
    yield "-", a - b
    if b:
        whole, rest = divmod(a, b)
        if not rest:
            yield "/", whole
        elif fractions:
            yield "/", Fraction(a) / b
