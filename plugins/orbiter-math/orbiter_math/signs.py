r"""Signs before numbers, of which ``\pm`` makes two answers of one."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from orbiter_math.tree import About, Apply, Group, Relation, Tree


def signed(sign: str, tree: Tree) -> Tree:
    """Return a tree with a sign before it; no sign is plus."""
    if sign in ("\\pm", "\\mp"):
        return Apply(sign[1:], (tree,))
    return Apply("neg", (tree,)) if sign == "-" else tree


def signs_chosen(items: Sequence[Tree]) -> list[Tree]:
    """Return the items, with two in the place of each that says plus or minus."""
    out = []
    for item in items:
        plus, minus = _with_sign(item, "pm"), _with_sign(item, "mp")
        out += [item] if plus == minus else [plus, minus]
    return out


def _with_sign(tree: Tree, positive: str) -> Tree:
    """Return ``tree`` with ``positive`` (``pm`` or ``mp``) read as plus and the other one as minus."""
    if isinstance(tree, Apply):
        args = tuple(_with_sign(arg, positive) for arg in tree.args)
        if tree.name in ("pm", "mp"):
            return args[0] if tree.name == positive else Apply("neg", args)
        return Apply(tree.name, args)
    if isinstance(tree, Group):
        return attrs.evolve(tree, items=tuple(_with_sign(one, positive) for one in tree.items))
    if isinstance(tree, About):
        return About(_with_sign(tree.value, positive))
    if isinstance(tree, Relation):
        return attrs.evolve(tree, sides=tuple(_with_sign(one, positive) for one in tree.sides))
    return tree
