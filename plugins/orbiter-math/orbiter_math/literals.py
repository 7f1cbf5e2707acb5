"""Numbers as they are written, and what may stand beside one: the fraction of a mixed number, a factor, or nothing."""

from __future__ import annotations

from fractions import Fraction

from orbiter_math.tree import Apply, Number, Symbol, Tree


def number(text: str) -> Number:
    """Return a decimal, with commas between thousands or without, as a number."""
    whole, point, decimals = text.replace(",", "").partition(".")
    digits = len((whole + decimals).lstrip("0")) if point else 0
    return Number(Fraction(f"{whole or '0'}.{decimals or '0'}"), len(decimals), digits)


def is_whole(tree: Tree) -> bool:
    """Return whether a tree is a whole number without a decimal point."""
    return isinstance(tree, Number) and not tree.digits and tree.value.denominator == 1


def multiplies(tree: Tree) -> bool:
    """Return whether a number right after the tree is a factor: after a symbol or root it is, after a number it says nothing clear."""
    unclear = ("inv", "frac", "percent", "degrees", "factorial")
    return isinstance(tree, Symbol) or (isinstance(tree, Apply) and tree.name not in unclear)


def is_proper_fraction(tree: Tree) -> bool:
    """Return whether a tree is a fraction of two whole numbers that is less than one."""
    if not isinstance(tree, Apply) or tree.name != "frac":
        return False
    top, bottom = tree.args
    if not isinstance(top, Number) or not isinstance(bottom, Number):
        return False
    return is_whole(top) and is_whole(bottom) and top.value < bottom.value
