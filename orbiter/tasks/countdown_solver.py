"""Search for an expression over given numbers, each used at most once, whose exact value is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from attrs import frozen

Value = int | Fraction


def solve(numbers: Sequence[int], target: int) -> str | None:
    """Return an expression over some of the numbers, each at most once, whose value is ``target``; None if there is none.

    Whole intermediate results are tried first, then fractions. The same arguments always give the same expression.
    """
    return search(numbers, lambda value: value == target)


def search(numbers: Sequence[int], wanted: Callable[[Value], bool]) -> str | None:
    """Return an expression over some of the numbers, each at most once, whose exact value is wanted; None if there is none."""
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


def _search(
    terms: tuple[_Term, ...],
    wanted: Callable[[Value], bool],
    fractions: bool,
    visited: set[tuple[Value, ...]],
) -> str | None:
    for term in terms:
        if wanted(term.value):
            return term.text
    state = tuple(sorted(term.value for term in terms))
    if state in visited:
        return None
    visited.add(state)
    for i, a in enumerate(terms):
        for j, b in enumerate(terms):
            if i == j:
                continue
            rest = tuple(term for k, term in enumerate(terms) if k not in (i, j))
            for joined in _joined(a, b, fractions, commutes=i < j):
                if found := _search((*rest, joined), wanted, fractions, visited):
                    return found
    return None


def _joined(a: _Term, b: _Term, fractions: bool, *, commutes: bool) -> Iterator[_Term]:
    if commutes:
        yield _Term(a.value + b.value, f"{a.text}+{b.text}", 1)
        yield _Term(a.value * b.value, f"{_in(a, 2)}*{_in(b, 2)}", 2)
    yield _Term(a.value - b.value, f"{a.text}-{_in(b, 2)}", 1)
    if b.value:
        quotient = Fraction(a.value) / b.value
        if quotient.denominator == 1:
            yield _Term(int(quotient), f"{_in(a, 2)}/{_in(b, 3)}", 2)
        elif fractions:
            yield _Term(quotient, f"{_in(a, 2)}/{_in(b, 3)}", 2)


def _in(term: _Term, precedence: int) -> str:
    """Return the text of a term, in parentheses if its outermost operator binds less than asked."""
    return term.text if term.precedence >= precedence else f"({term.text})"
