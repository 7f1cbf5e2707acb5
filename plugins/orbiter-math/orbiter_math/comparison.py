"""Whether two trees are the same answer.

Numbers are compared by :mod:`orbiter_math.equality`. What is built of numbers is compared part by part: lists and sets in any order, tuples
and matrices in theirs, intervals with their ends, an inequality as the interval that it says, an equation up to a constant factor. Several
forms of one value ("1/2 or 0.5") are that value.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction

from orbiter_math.conventions import OPEN, Conventions
from orbiter_math.equality import Equality
from orbiter_math.exact import based_value, exact, is_decimal, terminates
from orbiter_math.point import context
from orbiter_math.relations import (
    LISTS,
    alone,
    as_group,
    by_coordinate,
    difference,
    interval_of,
    is_name,
    opened,
    pieces_of,
    steps_of,
    turned,
    unknown_of,
)
from orbiter_math.tree import (
    About,
    Apply,
    Based,
    BoundError,
    Group,
    Number,
    Relation,
    Symbol,
    Tree,
    Words,
    has_symbols,
)

MAX_UNORDERED = 24
"""Longest list that is matched in any order where not every element is rational."""


class Comparison:
    """Compares answers with a reference and remembers the values of the reference's parts.

    Args:
        abs_tol: Numbers may differ by this, bound included.
        rel_tol: Or by this share of the reference.
        conventions: What the task's text settles.
        time: The reference is a time, such as 2:30, and no ratio.
    """

    def __init__(
        self,
        *,
        abs_tol: Fraction = Fraction(0),
        rel_tol: Fraction = Fraction(0),
        conventions: Conventions = OPEN,
        time: bool = False,
    ) -> None:
        self._conventions = conventions
        self._time = time
        self.numbers = Equality(abs_tol=abs_tol, rel_tol=rel_tol, percent=conventions.percent)

    def check(self, tree: Tree) -> None:
        """Evaluate every part of a tree, for the errors that this raises.

        Raises:
            BoundError: A number in it is too large.
            UndefinedError: A number in it has no value, such as 1/0.
            UnreadableError: It mixes what does not go together.
        """
        for part in _parts(tree):
            if isinstance(part, Number | Symbol | Apply) and exact(part) is None:
                self.numbers.values(part)

    def equal(self, reference: Tree, answer: Tree) -> bool:
        """Return whether the answer says what the reference says.

        Raises:
            BoundError: A number or list is too large to be compared.
            UndefinedError: A number has no value, such as 1/0.
            UnreadableError: A part is no number where it has to be one.
        """
        if reference == answer:
            return True
        reference, answer = opened(alone(reference), alone(answer))
        if isinstance(reference, About):
            return self.equal(reference.value, _stated(answer))
        if isinstance(answer, About):
            return not self._is_written_exactly(reference) and self.equal(reference, answer.value)
        if isinstance(answer, Relation) and not isinstance(reference, Relation):
            answer = self._value_of(answer)
        elif isinstance(reference, Relation) and not isinstance(answer, Relation):
            reference = self._value_of(reference)
        if isinstance(reference, Relation) and isinstance(answer, Relation):
            return self._same_relation(reference, answer)
        if isinstance(answer, Group) and answer.kind == "list" and not isinstance(reference, Group):
            return self._is_one_value(reference, answer)
        if isinstance(reference, Group) or isinstance(answer, Group):
            return self._same_group(as_group(reference), as_group(answer))
        if isinstance(reference, Relation) or isinstance(answer, Relation):
            return False
        if isinstance(reference, Words) or isinstance(answer, Words):
            return reference == answer
        if isinstance(reference, Based) or isinstance(answer, Based):
            return self._same_digits(reference, answer)
        return self.numbers.same(reference, answer)

    # Values

    def _is_one_value(self, reference: Tree, answer: Group) -> bool:
        """Return whether a list names the reference alone, in several forms, and nothing near it that is let pass as well."""
        exactly = (
            self
            if self.numbers.is_exact
            else Comparison(conventions=self._conventions, time=self._time)
        )
        first = answer.items[0]
        return all(self.equal(reference, one) for one in answer.items) and all(
            exactly.equal(first, one) for one in answer.items
        )

    def _is_written_exactly(self, reference: Tree) -> bool:
        """Return whether a reference leaves no room for a value that is only near: 17 and 1/2, but neither 3.14 nor 1/3."""
        if not self.numbers.is_exact or not isinstance(reference, Number | Apply):
            return False
        value = exact(reference)
        return value is not None and terminates(value) and not is_decimal(reference)

    def _same_digits(self, reference: Tree, answer: Tree) -> bool:
        """Compare digits in a base: with those of the reference, or by value where that is in base ten and no base is asked for."""
        in_base_ten = isinstance(reference, Number) and not self._conventions.base
        if in_base_ten and isinstance(answer, Based):
            return exact(reference) == based_value(answer)
        return _digits(reference) == _digits(answer) and _bases_agree(reference, answer)

    # Relations

    def _value_of(self, relation: Relation) -> Tree:
        """Return what is asserted: of ``x = 6/2 = 3`` and ``6/2 = 3`` the last side; of ``1 < x < 2`` the interval; else the relation."""
        if set(relation.signs) == {"="}:
            sides = relation.sides if is_name(relation.sides[0]) else relation.sides[::-1]
            if not is_name(sides[0]):
                return relation if has_symbols(relation) else self._last(relation.sides) or relation
            return self._last(sides[1:]) or relation
        return interval_of(relation) or relation

    def _last(self, sides: Sequence[Tree]) -> Tree | None:
        """Return the last side of a chain of equations if all of them are equal."""
        consistent = all(self.equal(sides[-1], side) for side in sides[:-1])
        return sides[-1] if consistent else None

    def _same_relation(self, reference: Relation, answer: Relation) -> bool:
        names = [r.sides[0] for r in (reference, answer) if set(r.signs) == {"="}]
        if len(names) == 2 and all(map(is_name, names)):
            told = names[0] == names[1] or any(isinstance(name, Words) for name in names)
            if told and self.equal(reference.sides[-1], answer.sides[-1]):
                return self._last(answer.sides[1:]) is not None
        intervals = interval_of(reference), interval_of(answer)
        if None not in intervals and unknown_of(reference) == unknown_of(answer):
            return self._same_group(*(as_group(one) for one in intervals if one))
        if len(reference.signs) != len(answer.signs):
            return False
        return any(
            all(map(self._same_step, steps_of(reference), steps_of(facing)))
            for facing in (answer, turned(answer))
        )

    def _same_step(self, one: Relation, other: Relation) -> bool:
        """Compare two relations of two sides each: the differences of their sides must be in a constant ratio."""
        (sign,), (other_sign,) = one.signs, other.signs
        if sign != other_sign or not has_symbols(one) or not has_symbols(other):
            return False
        shared = self.numbers.shared(difference(one), difference(other))
        if len(shared) < 2 or all(not a.value for a, _ in shared):
            return False
        first, second = shared[0]
        constant = all(first.times(b).equals(a.times(second)) for a, b in shared[1:])
        if not constant or not second.value:
            return False
        return sign in ("=", "!=") or bool(context().re(first.value / second.value) > 0)

    # Groups

    def _same_group(self, reference: Group, answer: Group) -> bool:
        reference, answer = by_coordinate(reference), by_coordinate(answer)
        kinds = reference.kind, answer.kind
        if "ratio" in kinds:
            return self._same_ratio(reference, answer)
        if not {"union", "without"}.isdisjoint(kinds) or (
            _is_relations(reference) and "list" not in kinds
        ):
            return self._same_in_any_order(pieces_of(reference), pieces_of(answer))
        if kinds[0] in LISTS and kinds[1] in LISTS:
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
        if self._time:
            return {reference.kind, answer.kind} == {"ratio"} and self._same_in_order(
                reference, answer
            )
        if {reference.kind, answer.kind} == {"ratio"}:
            if any(exact(item) == 0 for item in (*reference.items, *answer.items)):
                return self._same_in_order(reference, answer)  # a clock: 12:00 is not 1:00
            first, second = reference.items[0], answer.items[0]
            return len(reference.items) == len(answer.items) and all(
                self.numbers.same(Apply("*", (a, second)), Apply("*", (b, first)))
                for a, b in zip(reference.items, answer.items)
            )
        values = [_quotient(one) for one in (reference, answer)]
        return None not in values and self.numbers.same(*(v for v in values if v is not None))


def _parts(tree: Tree) -> Iterator[Tree]:
    """Yield the parts of groups and relations, down to numbers and words."""
    if isinstance(tree, Group):
        yield from itertools.chain.from_iterable(map(_parts, tree.items))
    elif isinstance(tree, Relation):
        yield from itertools.chain.from_iterable(map(_parts, tree.sides))
    elif isinstance(tree, About):
        yield from _parts(tree.value)
    else:
        yield tree


def _stated(tree: Tree) -> Tree:
    return tree.value if isinstance(tree, About) else tree


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


def _is_relations(group: Group) -> bool:
    return group.kind == "list" and all(isinstance(item, Relation) for item in group.items)


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
