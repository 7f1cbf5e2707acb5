"""Whether two trees are the same answer.

Numbers are compared as fractions where both are rational, and otherwise by their values at fixed points (:mod:`orbiter_math.value`).
What is built of numbers is compared part by part: lists and sets in any order, tuples and matrices in theirs, intervals with their
ends, an inequality as the interval that it says, an equation up to a constant factor.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from orbiter_math.tree import (
    Apply,
    Based,
    BoundError,
    Group,
    Number,
    Relation,
    Symbol,
    Tree,
    Words,
)
from orbiter_math.value import DIGITS, POINTS, Point, UndefinedError, context, exact, rounds_to

MAX_UNORDERED = 24
"""Longest list that is matched in any order where not every element is rational."""

SIGNIFICANT = 6
"""Significant digits from which on a decimal stands for a value that no decimal writes exactly."""

_INFINITY = Apply("infinity", ())
_ALL_REALS = Group("()", (Apply("neg", (_INFINITY,)), _INFINITY))
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_FUNCTION_NAMES = frozenset("fghpqFGHPQST")
_LISTS = ("list", "set")
_BRACKETS = ("()", "[]", "(]", "[)")


class Comparison:
    """Compares answers with a reference and remembers the values of the reference's parts.

    Args:
        abs_tol: Numbers may differ by this, bound included.
        rel_tol: Or by this share of the reference.
    """

    def __init__(self, *, abs_tol: Fraction = Fraction(0), rel_tol: Fraction = Fraction(0)) -> None:
        self._abs_tol, self._rel_tol = abs_tol, rel_tol
        self._known: dict[Tree, list[Any]] = {}

    @property
    def is_exact(self) -> bool:
        """Whether numbers have to be equal."""
        return not self._abs_tol and not self._rel_tol

    def check(self, tree: Tree) -> None:
        """Evaluate every part of a tree, for the errors that this raises.

        Raises:
            BoundError: A number in it is too large.
            UndefinedError: A number in it has no value, such as 1/0.
            UnreadableError: It mixes what does not go together.
        """
        for part in _parts(tree):
            if isinstance(part, Number | Symbol | Apply) and exact(part) is None:
                self._values(part)

    def equal(self, reference: Tree, answer: Tree) -> bool:
        """Return whether the answer says what the reference says.

        Raises:
            BoundError: A number or list is too large to be compared.
            UndefinedError: A number has no value, such as 1/0.
            UnreadableError: A part is no number where it has to be one.
        """
        if reference == answer:
            return True
        reference, answer = _alone(reference), _alone(answer)
        if isinstance(answer, Relation) and not isinstance(reference, Relation):
            answer = self._value_of(answer)
        elif isinstance(reference, Relation) and not isinstance(answer, Relation):
            reference = self._value_of(reference)
        if isinstance(reference, Relation) and isinstance(answer, Relation):
            return self._same_relation(reference, answer)
        if isinstance(reference, Group) or isinstance(answer, Group):
            return self._same_group(_as_group(reference), _as_group(answer))
        if isinstance(reference, Relation) or isinstance(answer, Relation):
            return False
        if isinstance(reference, Words) or isinstance(answer, Words):
            return reference == answer
        if isinstance(reference, Based) or isinstance(answer, Based):
            return _digits(reference) == _digits(answer) and _bases_agree(reference, answer)
        return self._same_quantity(reference, answer)

    # Numbers

    def _same_quantity(self, reference: Tree, answer: Tree) -> bool:
        """Compare numbers, of which one may be a percentage or an angle in degrees.

        50 % is 0.5, and is what "50" means where percents are asked for; 90 degrees is half of pi, and what "90" means.
        """
        if self._same_number(reference, answer):
            return True
        for sign in ("percent", "degrees"):
            of_reference, of_answer = _before(sign, reference), _before(sign, answer)
            if of_reference is not None and of_answer is None:
                return self._same_number(of_reference, answer)
            if of_answer is not None and of_reference is None:
                value = exact(reference)
                is_share = sign == "percent" and value is not None and abs(value) <= 1
                return not is_share and self._same_number(reference, of_answer)
        return False

    def _same_number(self, reference: Tree, answer: Tree) -> bool:
        one, other = exact(reference), exact(answer)
        if one is not None and other is not None:
            if one == other or abs(one - other) <= self._tolerance(abs(one)):
                return True
            written = self._rounds_to(one, answer) and not _terminates(one)
            return written or (self._rounds_to(other, reference) and not _terminates(other))
        return self._same_function(reference, answer)

    def _rounds_to(self, value: Fraction, answer: Tree) -> bool:
        return rounds_to(value, answer, digits=SIGNIFICANT)

    def _tolerance(self, size: Fraction) -> Fraction:
        return max(self._abs_tol, self._rel_tol * size)

    def _same_function(self, reference: Tree, answer: Tree) -> bool:
        shared = self._shared(reference, answer)
        if has_symbols(reference) or has_symbols(answer):
            return len(shared) > 1 and all(one.equals(other) for one, other in shared)
        return bool(shared) and self._same_constant(*shared[0], reference, answer)

    def _same_constant(self, one: Any, other: Any, reference: Tree, answer: Tree) -> bool:
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

    def _shared(self, one: Tree, other: Tree) -> list[tuple[Any, Any]]:
        """Return the pairs of values at the points where both have one."""
        pairs = zip(self._values(one), self._values(other))
        return [(a, b) for a, b in pairs if a is not None and b is not None]

    def _values(self, tree: Tree) -> list[Any]:
        if tree in self._known:
            return self._known[tree]
        values: list[Any] = []
        for index in range(POINTS):
            point = Point(index)
            try:
                values.append(_Value(point.value(tree), point.peak))
            except UndefinedError:
                values.append(None)
            if not index and not has_symbols(tree):
                values *= POINTS
                break
        if not any(values):
            raise UndefinedError("number has no value")
        self._known[tree] = values
        return values

    # Relations

    def _value_of(self, relation: Relation) -> Tree:
        """Return what is asserted of a name: of ``x = 6/2 = 3`` the last side; of ``1 < x < 2`` the interval; else the relation."""
        if set(relation.signs) == {"="}:
            sides = relation.sides if _is_name(relation.sides[0]) else relation.sides[::-1]
            if not _is_name(sides[0]):
                return relation
            return self._last(sides[1:]) or relation
        return _interval(relation) or relation

    def _last(self, sides: Sequence[Tree]) -> Tree | None:
        """Return the last side of a chain of equations if all of them are equal."""
        consistent = all(self.equal(sides[-1], side) for side in sides[:-1])
        return sides[-1] if consistent else None

    def _same_relation(self, reference: Relation, answer: Relation) -> bool:
        names = [r.sides[0] for r in (reference, answer) if set(r.signs) == {"="}]
        if len(names) == 2 and all(map(_is_name, names)):
            told = names[0] == names[1] or any(isinstance(name, Words) for name in names)
            if told and self.equal(reference.sides[-1], answer.sides[-1]):
                return self._last(answer.sides[1:]) is not None
        intervals = _interval(reference), _interval(answer)
        if None not in intervals and _unknown(reference) == _unknown(answer):
            return self._same_group(*(_as_group(one) for one in intervals if one))
        if len(reference.signs) != len(answer.signs):
            return False
        return any(
            all(map(self._same_step, _steps(reference), _steps(turned)))
            for turned in (answer, _turned(answer))
        )

    def _same_step(self, one: Relation, other: Relation) -> bool:
        """Compare two relations of two sides each: the differences of their sides must be in a constant ratio."""
        (sign,), (other_sign,) = one.signs, other.signs
        if sign != other_sign or not has_symbols(one) or not has_symbols(other):
            return False
        shared = self._shared(_difference(one), _difference(other))
        if len(shared) < 2 or all(not a.value for a, _ in shared):
            return False
        first, second = shared[0]
        constant = all(
            _Value(first.value * b.value, first.peak * b.peak).equals(
                _Value(a.value * second.value, a.peak * second.peak)
            )
            for a, b in shared[1:]
        )
        if not constant or sign in ("=", "!="):
            return constant and bool(second.value)
        ctx = context()
        return bool(second.value) and bool(ctx.re(first.value / second.value) > 0)

    # Groups

    def _same_group(self, reference: Group, answer: Group) -> bool:
        kinds = reference.kind, answer.kind
        if "ratio" in kinds:
            return self._same_ratio(reference, answer)
        if not {"union", "without"}.isdisjoint(kinds) or (
            _is_relations(reference) and "list" not in kinds
        ):
            return self._same_in_any_order(_pieces(reference), _pieces(answer))
        if kinds[0] in _LISTS and kinds[1] in _LISTS:
            return self._same_in_any_order(reference.items, answer.items)
        if kinds[0] == "matrix" and kinds[1] != "matrix":
            reference = _vector(reference)
        elif kinds[1] == "matrix" and kinds[0] != "matrix":
            answer = _vector(answer)
        return _kinds_agree(reference, answer) and self._same_in_order(reference, answer)

    def _same_in_order(self, reference: Group, answer: Group) -> bool:
        return len(reference.items) == len(answer.items) and all(
            map(self.equal, reference.items, answer.items)
        )

    def _same_in_any_order(self, reference: Sequence[Tree], answer: Sequence[Tree]) -> bool:
        if len(reference) != len(answer):
            return False
        wanted = Counter(map(_key, reference))
        if None not in wanted and wanted == Counter(map(_key, answer)):
            return True
        if len(reference) > MAX_UNORDERED:
            raise BoundError("list is too long to be compared")
        left = list(answer)
        for item in reference:
            place = next((i for i, one in enumerate(left) if self.equal(item, one)), None)
            if place is None:
                return False
            del left[place]
        return True

    def _same_ratio(self, reference: Group, answer: Group) -> bool:
        if {reference.kind, answer.kind} == {"ratio"}:
            if any(exact(item) == 0 for item in (*reference.items, *answer.items)):
                return self._same_in_order(reference, answer)  # a clock: 12:00 is not 1:00
            first, second = reference.items[0], answer.items[0]
            return len(reference.items) == len(answer.items) and all(
                self._same_number(Apply("*", (a, second)), Apply("*", (b, first)))
                for a, b in zip(reference.items, answer.items)
            )
        values = [_quotient(one) for one in (reference, answer)]
        return None not in values and self._same_number(*(v for v in values if v is not None))


def has_symbols(tree: Tree) -> bool:
    """Return whether letters in a tree stand for numbers; e and i are numbers."""
    if isinstance(tree, Symbol):
        return tree.name not in ("e", "i")
    if isinstance(tree, Apply):
        return any(map(has_symbols, tree.args))
    parts = (
        tree.sides if isinstance(tree, Relation) else tree.items if isinstance(tree, Group) else ()
    )
    return any(map(has_symbols, parts))


class _Value:
    """A value at a point, with the size that its rounding error is measured by."""

    __slots__ = ("peak", "value")

    def __init__(self, value: Any, peak: Any) -> None:
        self.value, self.peak = value, peak

    def equals(self, other: _Value) -> bool:
        ctx = context()
        if ctx.isinf(self.value) or ctx.isinf(other.value):
            return bool(self.value == other.value)
        error = max(self.peak, other.peak) * ctx.mpf(10) ** (15 - DIGITS)
        return bool(abs(self.value - other.value) <= error)


def _parts(tree: Tree) -> Iterator[Tree]:
    """Yield the parts of groups and relations, down to numbers and words."""
    if isinstance(tree, Group):
        yield from itertools.chain.from_iterable(map(_parts, tree.items))
    elif isinstance(tree, Relation):
        yield from itertools.chain.from_iterable(map(_parts, tree.sides))
    else:
        yield tree


def _alone(tree: Tree) -> Tree:
    """Return the only element of a list or set of one."""
    if isinstance(tree, Group) and tree.kind in _LISTS and len(tree.items) == 1:
        return tree.items[0]
    return tree


def _as_group(tree: Tree) -> Group:
    if isinstance(tree, Group):
        return tree
    return _ALL_REALS if tree == Words("reals") else Group("list", (tree,))


def _is_name(tree: Tree) -> bool:
    """Return whether a tree names something: ``x``, ``f(x)``, ``f(2)``, ``(x, y)``, ``Area``."""
    if isinstance(tree, Apply) and tree.name == "*":
        first, *rest = tree.args
        if isinstance(first, Apply) and first.name == "^":  # the inverse of a function
            first = first.args[0]
        function = isinstance(first, Symbol) and first.name in _FUNCTION_NAMES
        return isinstance(first, Symbol) and all(
            isinstance(arg, Symbol) or (function and isinstance(arg, Number)) for arg in rest
        )
    if isinstance(tree, Group) and tree.kind == "()":
        return all(isinstance(item, Symbol) for item in tree.items)
    return isinstance(tree, Symbol | Words)


def _before(sign: str, tree: Tree) -> Tree | None:
    """Return the number before a percent or degree sign."""
    return tree.args[0] if isinstance(tree, Apply) and tree.name == sign else None


def _terminates(value: Fraction) -> bool:
    """Return whether some decimal writes the value exactly."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _real(value: Fraction) -> Any:
    return context().mpf(value.numerator) / value.denominator


def _fraction(value: Any) -> Fraction:
    mantissa, exponent = context().re(value).man_exp
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def _digits(tree: Tree) -> str | None:
    """Return the digits of a whole number as they are written, in whichever base."""
    if isinstance(tree, Based):
        return tree.digits
    if isinstance(tree, Number) and tree.value.denominator == 1:
        return str(tree.value)
    return None


def _bases_agree(one: Tree, other: Tree) -> bool:
    bases = {tree.base for tree in (one, other) if isinstance(tree, Based)}
    return len(bases) == 1 and None not in (_digits(one), _digits(other))


def _difference(relation: Relation) -> Tree:
    left, right = relation.sides
    return Apply("+", (left, Apply("neg", (right,))))


def _steps(relation: Relation) -> list[Relation]:
    """Return the relations between neighbours, with less on the left."""
    pairs = itertools.pairwise(relation.sides)
    steps = [Relation((sign,), pair) for sign, pair in zip(relation.signs, pairs)]
    return [_turned(step) if step.signs[0] in (">", ">=") else step for step in steps]


def _turned(relation: Relation) -> Relation:
    signs = tuple(_FLIPPED[sign] for sign in reversed(relation.signs))
    return Relation(signs, relation.sides[::-1])


def _unknown(relation: Relation) -> Tree | None:
    """Return the symbol of ``x < 2`` or ``1 < x < 2``, read from whichever side."""
    sides = relation.sides
    if len(sides) == 2:
        ordered = sides if isinstance(sides[0], Symbol) else sides[::-1]
        known = not has_symbols(ordered[1])
        return ordered[0] if isinstance(ordered[0], Symbol) and known else None
    middle = len(sides) == 3 and isinstance(sides[1], Symbol)
    return sides[1] if middle and not has_symbols(sides[0]) | has_symbols(sides[2]) else None


def _interval(relation: Relation) -> Group | None:
    """Return the interval that inequalities of one symbol say, or None."""
    if _unknown(relation) is None or not {*relation.signs} <= {"<", "<=", ">", ">="}:
        return None
    if len(relation.sides) == 3:
        turned = relation if relation.signs[0][0] == "<" else _turned(relation)
        low, high = turned.signs
        if high[0] != "<":
            return None
        kind = ("[" if low == "<=" else "(") + ("]" if high == "<=" else ")")
        return Group(kind, (turned.sides[0], turned.sides[2]))
    turned = relation if isinstance(relation.sides[0], Symbol) else _turned(relation)
    (sign,), bound = turned.signs, turned.sides[1]
    if sign[0] == "<":
        return Group("(" + ("]" if sign == "<=" else ")"), (Apply("neg", (_INFINITY,)), bound))
    return Group(("[" if sign == ">=" else "(") + ")", (bound, _INFINITY))


def _is_relations(group: Group) -> bool:
    return group.kind == "list" and all(isinstance(item, Relation) for item in group.items)


def _pieces(group: Group) -> list[Tree]:
    """Return the intervals of a union, also where it is written as inequalities."""
    if group.kind == "without":
        return list(_without(group) or group.items)
    items = group.items if group.kind in ("union", "list") else (group,)
    pieces: list[Tree] = []
    for item in map(_alone, items):
        if isinstance(item, Relation):
            pieces += _excluded(item) or [_interval(item) or item]
        else:
            pieces.append(item)
    return pieces


def _without(group: Group) -> list[Tree]:
    """Return the intervals of the real numbers without some rational ones; nothing for any other difference."""
    if len(group.items) != 2 or group.items[0] != Words("reals"):
        return []
    taken = _as_group(group.items[1])
    points = {value for item in taken.items if (value := exact(item)) is not None}
    if taken.kind not in _LISTS or len(points) < len(taken.items):
        return []
    ends = [_ALL_REALS.items[0], *map(Number, sorted(points)), _INFINITY]
    return [Group("()", pair) for pair in itertools.pairwise(ends)]


def _excluded(relation: Relation) -> list[Tree]:
    """Return the intervals that ``x != 2`` leaves."""
    if relation.signs != ("!=",) or _unknown(relation) is None:
        return []
    left, right = relation.sides
    value = right if isinstance(left, Symbol) else left
    return _without(Group("without", (Words("reals"), Group("set", (value,)))))


def _vector(matrix: Group) -> Group:
    """Return a matrix of one row or column as a tuple; any other matrix as it is."""
    rows = [row.items for row in matrix.items if isinstance(row, Group)]
    if len(rows) == 1:
        return Group("()", rows[0])
    return Group("()", tuple(row[0] for row in rows)) if len(rows[0]) == 1 else matrix


def _kinds_agree(reference: Group, answer: Group) -> bool:
    """Return whether two ordered groups are of one kind; only with two elements do brackets tell intervals apart."""
    kinds = {reference.kind, answer.kind}
    if len(kinds) == 1 or (kinds <= {"()", "[]"} and len(reference.items) != 2):
        return True
    return kinds == {"list", "()"}  # "(1, 2)" is often written without its brackets


def _quotient(group: Group) -> Tree | None:
    if group.kind == "ratio" and len(group.items) == 2:
        return Apply("frac", (group.items[0], group.items[1]))
    return group.items[0] if group.kind == "list" and len(group.items) == 1 else None


def _key(tree: Tree) -> object:
    """Return what equal elements of a list share, or None where that takes a comparison."""
    if isinstance(tree, Words):
        return tree
    if isinstance(tree, Number | Apply):
        return exact(tree)
    return None
