"""One form for the many ways in which sets of numbers, inequalities and equations are written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence, Set
from fractions import Fraction

from orbiter_math.exact import exact
from orbiter_math.tree import Apply, Group, Number, Relation, Symbol, Tree, Words, has_symbols

_INTERVALS = ("()", "[)", "(]", "[]")
LISTS = ("list", "set")
"""The kinds of groups whose elements have no order."""

INFINITY = Apply("infinity", ())
ALL_REALS = Group("()", (Apply("neg", (INFINITY,)), INFINITY))

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_COORDINATES = ({"x", "y"}, {"x", "y", "z"})
_ANGLES = frozenset({"sin", "cos", "tan", "cot", "sec", "csc"})
_FUNCTION_NAMES = frozenset("fghpqFGHPQST")


def alone(tree: Tree) -> Tree:
    """Return the only element of a list or set of one."""
    if isinstance(tree, Group) and tree.kind in LISTS and len(tree.items) == 1:
        return tree.items[0]
    return tree


def as_group(tree: Tree) -> Group:
    """Return a tree as a group: of one element, if it is none."""
    if isinstance(tree, Group):
        return tree
    return ALL_REALS if tree == Words("reals") else Group("list", (tree,))


def by_coordinate(group: Group) -> Group:
    """Return ``y = 1, x = 2`` in the order of its coordinates; any other group as it is."""
    names = [
        item.sides[0].name
        for item in group.items
        if isinstance(item, Relation) and isinstance(item.sides[0], Symbol)
    ]
    if group.kind != "list" or len(names) != len(group.items) or set(names) not in _COORDINATES:
        return group
    if len(set(names)) != len(names):
        return group
    return Group("list", tuple(item for _, item in sorted(zip(names, group.items))))


def is_name(tree: Tree) -> bool:
    """Return whether a tree names something: ``x``, ``f(x)``, ``f(2)``, ``sin A``, ``(x, y)``, ``Area``."""
    if isinstance(tree, Apply) and tree.name in _ANGLES:
        return all(isinstance(arg, Symbol) for arg in tree.args)
    if isinstance(tree, Apply) and tree.name == "*":
        first, *rest = tree.args
        if isinstance(first, Apply) and first.name == "^":  # the inverse of a function
            first = first.args[0]
        function = isinstance(first, Symbol) and first.name.rstrip("'") in _FUNCTION_NAMES
        return isinstance(first, Symbol) and all(
            isinstance(arg, Symbol) or (function and isinstance(arg, Number)) for arg in rest
        )
    if isinstance(tree, Group) and tree.kind == "()":
        return all(isinstance(item, Symbol) for item in tree.items)
    return isinstance(tree, Symbol | Words)


def difference(relation: Relation) -> Tree:
    """Return the left side of a relation of two sides less the right one."""
    left, right = relation.sides
    return Apply("+", (left, Apply("neg", (right,))))


def steps_of(relation: Relation) -> list[Relation]:
    """Return the relations between neighbours, with less on the left."""
    pairs = itertools.pairwise(relation.sides)
    steps = [Relation((sign,), pair) for sign, pair in zip(relation.signs, pairs)]
    return [turned(step) if step.signs[0] in (">", ">=") else step for step in steps]


def turned(relation: Relation) -> Relation:
    """Return the same relation read from right to left."""
    signs = tuple(_FLIPPED[sign] for sign in reversed(relation.signs))
    return Relation(signs, relation.sides[::-1])


def unknown_of(relation: Relation) -> Tree | None:
    """Return the symbol of ``x < 2`` or ``1 < x < 2``, read from whichever side."""
    sides = relation.sides
    if len(sides) == 2:
        ordered = sides if isinstance(sides[0], Symbol) else sides[::-1]
        known = not has_symbols(ordered[1])
        return ordered[0] if isinstance(ordered[0], Symbol) and known else None
    middle = len(sides) == 3 and isinstance(sides[1], Symbol)
    return sides[1] if middle and not has_symbols(sides[0]) | has_symbols(sides[2]) else None


def interval_of(relation: Relation) -> Group | None:
    """Return the interval that inequalities of one symbol say, or None."""
    if unknown_of(relation) is None or not {*relation.signs} <= {"<", "<=", ">", ">="}:
        return None
    if len(relation.sides) == 3:
        facing = relation if relation.signs[0][0] == "<" else turned(relation)
        low, high = facing.signs
        if high[0] != "<":
            return None
        kind = ("[" if low == "<=" else "(") + ("]" if high == "<=" else ")")
        return Group(kind, (facing.sides[0], facing.sides[2]))
    facing = relation if isinstance(relation.sides[0], Symbol) else turned(relation)
    (sign,), bound = facing.signs, facing.sides[1]
    if sign[0] == "<":
        return Group("(" + ("]" if sign == "<=" else ")"), (Apply("neg", (INFINITY,)), bound))
    return Group(("[" if sign == ">=" else "(") + ")", (bound, INFINITY))


def opened(one: Tree, other: Tree) -> tuple[Tree, Tree]:
    """Return two answers, of which one alone bounds ``|x - a|``, with what that says of x: ``-2 < x < 4`` for ``|x - 1| < 3``."""
    found = _opened(one), _opened(other)
    if found[0] is not None and found[1] is None and not _has_absolute(other):
        return found[0], other
    if found[1] is not None and found[0] is None and not _has_absolute(one):
        return one, found[1]
    return one, other


def _opened(tree: Tree) -> Tree | None:
    if not isinstance(tree, Relation) or len(tree.sides) != 2:
        return None
    facing = tree if _is_absolute(tree.sides[0]) else turned(tree)
    (sign,), (left, bound) = facing.signs, facing.sides
    if sign[0] not in "<>" or not isinstance(left, Apply) or left.name != "abs":
        return None
    (inside,), size = left.args, exact(bound) if isinstance(bound, Number | Apply) else None
    terms = inside.args if isinstance(inside, Apply) and inside.name == "+" else (inside,)
    symbols = [term for term in terms if isinstance(term, Symbol)]
    rest = [exact(term) for term in terms if isinstance(term, Number | Apply)]
    if size is None or size <= 0 or len(symbols) != 1 or None in rest:
        return None
    if 1 + len(rest) < len(terms) or not has_symbols(symbols[0]):
        return None
    centre = -sum(value for value in rest if value is not None)
    low, high = Number(Fraction(centre - size)), Number(Fraction(centre + size))
    if sign[0] == "<":
        return Relation((sign, sign), (low, symbols[0], high))
    below = Relation((_FLIPPED[sign],), (symbols[0], low))
    return Group("list", (below, Relation((sign,), (symbols[0], high))))


def _is_absolute(tree: Tree) -> bool:
    return isinstance(tree, Apply) and tree.name == "abs"


def _has_absolute(tree: Tree) -> bool:
    if isinstance(tree, Apply):
        return tree.name == "abs" or any(map(_has_absolute, tree.args))
    parts = (
        tree.sides if isinstance(tree, Relation) else tree.items if isinstance(tree, Group) else ()
    )
    return any(map(_has_absolute, parts))


def together(items: Sequence[Tree], between: Set[str]) -> Group | None:
    """Return what inequalities of one symbol say that hold at once: an interval, or what is left of one without some points.

    Args:
        items: What may be such inequalities.
        between: What stands between them: commas, "and", "or". Two with a comma alone hold at once where they can, and are alternatives
            otherwise: ``x < 1, x > 3``.

    Returns:
        None where they are something else.
    """
    relations = [item for item in items if isinstance(item, Relation)]
    if "or" in between or not relations or len(relations) < len(items):
        return None
    names = set(map(unknown_of, relations))
    points = [one.sides for one in relations if one.signs == ("!=",)]
    rays = [interval_of(one) for one in relations if one.signs != ("!=",)]
    if len(names) != 1 or None in names or None in rays or len(rays) > 2:
        return None
    whole: Tree = Words("reals")
    if len(rays) == 2:
        above, below = sorted(
            (one for one in rays if one), key=lambda one: one.items[1] != INFINITY
        )
        if (below.items[0], above.items[1]) != (Apply("neg", (INFINITY,)), INFINITY):
            return None
        low, high = _end(above.items[0]), _end(below.items[1])
        if "and" not in between and (low is None or high is None or low >= high):
            return None
        whole = Group(above.kind[0] + below.kind[1], (above.items[0], below.items[1]))
    elif rays and rays[0]:
        whole = rays[0]
    taken = tuple(right if isinstance(left, Symbol) else left for left, right in points)
    return Group("without", (whole, Group("set", taken))) if taken else as_group(whole)


def pieces_of(group: Group) -> list[Tree]:
    """Return the intervals of a union, also where it is written as inequalities."""
    if group.kind == "without":
        return list(_without(group) or group.items)
    items = group.items if group.kind in ("union", "list") else (group,)
    pieces: list[Tree] = []
    for item in map(alone, items):
        if isinstance(item, Relation):
            pieces += _excluded(item) or [interval_of(item) or item]
        else:
            pieces.append(item)
    return pieces


def scaled(scalar: Tree, matrix: Group) -> Group | None:
    """Return a matrix times a rational number, or None for any other scalar."""
    factor = exact(scalar)
    if factor is None:
        return None
    rows = [row.items for row in matrix.items if isinstance(row, Group)]
    number = Number(Fraction(factor))
    return Group(
        "matrix",
        tuple(Group("row", tuple(Apply("*", (number, one)) for one in row)) for row in rows),
    )


def _without(group: Group) -> list[Tree]:
    """Return the intervals that are left of one, or of the real numbers, without some rational points; nothing for any other difference."""
    whole, *others = map(as_group, group.items)
    if whole.kind not in _INTERVALS or len(whole.items) != 2 or len(others) != 1:
        return []
    (taken,), ends = others, [_end(item) for item in whole.items]
    points = {value for item in taken.items if (value := exact(item)) is not None}
    if taken.kind not in LISTS or len(points) < len(taken.items) or None in ends:
        return []
    low, high = (end for end in ends if end is not None)
    opening, closing = (
        "(" if low in points else whole.kind[0],
        ")" if high in points else whole.kind[1],
    )
    inside = [Number(Fraction(point)) for point in sorted(points) if low < point < high]
    pairs = list(itertools.pairwise([whole.items[0], *inside, whole.items[1]]))
    lefts, rights = [opening, *"(" * len(inside)], [*")" * len(inside), closing]
    return [Group(left + right, pair) for left, right, pair in zip(lefts, rights, pairs)]


def _end(tree: Tree) -> Fraction | float | None:
    """Return the value of an interval's end, which may be infinite; None if it is not rational."""
    if tree in (INFINITY, Apply("neg", (INFINITY,)), Apply("+", (INFINITY,))):
        return math.inf if tree != Apply("neg", (INFINITY,)) else -math.inf
    return exact(tree) if isinstance(tree, Number | Apply) else None


def _excluded(relation: Relation) -> list[Tree]:
    """Return the intervals that ``x != 2`` leaves."""
    if relation.signs != ("!=",) or unknown_of(relation) is None:
        return []
    left, right = relation.sides
    value = right if isinstance(left, Symbol) else left
    return _without(Group("without", (Words("reals"), Group("set", (value,)))))
