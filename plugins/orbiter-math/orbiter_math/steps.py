r"""The arithmetic that a worked solution states, line by line, and whether it holds.

A step is a line that states arithmetic: a calculator annotation ``<<16-3-4=9>>``, an equation of numbers in the text (``9 * 2 = $18``), or
one in LaTeX (``\frac{1}{2} + \frac{1}{3} = \frac{5}{6}``). Everything is computed in fractions by the bounded parser of answers. What is
not arithmetic of numbers (``x + 4 = 7``, "3 apples + 4 = 7") is no step: nothing is claimed about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from attrs import frozen

from orbiter_math.exact import exact, rounds_to
from orbiter_math.latex import clean
from orbiter_math.parser import parse
from orbiter_math.tree import Apply, BoundError, Number, Tree, UndefinedError, UnreadableError

MAX_SIDE = 300
"""Longest side of an equation, in characters; a longer one is not looked at."""

MAX_EQUATIONS = 1_000
"""Most equations that a solution may state."""

_ANNOTATION = re.compile(r"<<([^<>]*)>>")
_LATEX = re.compile(
    rf"\$\$?([^$]{{1,{MAX_SIDE}}})\$\$?|\\\((.{{1,{MAX_SIDE}}}?)\\\)|\\\[(.{{1,{MAX_SIDE}}}?)\\\]"
)
_TOKEN = re.compile(
    r"[^\S\n]*(?:(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?%?|\.[0-9]+%?)(?![A-Za-wyz_\\])"
    r"|(?P<sign>[-+*/^()=])|(?P<money>[$€£])|(?P<times>[xX](?=\s*[$(]?[0-9]))|(?P<word>[^\W\d_]+|.))"
)
_TYPOGRAPHY = str.maketrans("×÷−", "*/-")
_AFTER = frozenset("of times plus minus by divided multiplied over per less more".split())
_BEFORE = _AFTER | {"and", "than", "half", "twice", "double", "to", "from"}


@frozen
class Step:
    """One line that states arithmetic.

    Args:
        text: The line.
        score: Share of its equations that hold, in [0, 1]; None if one of them is too large to be computed.
        wrong: The equations that do not hold.
    """

    text: str
    score: float | None
    wrong: tuple[str, ...] = ()


def steps(text: str) -> list[Step]:
    """Return the lines of a solution that state arithmetic, in order.

    Raises:
        BoundError: It states too many equations.
    """
    found, count = [], 0
    for line in text.splitlines():
        chains = list(_chains(line))
        count += sum(len(sides) - 1 for sides in chains)
        if count > MAX_EQUATIONS:
            raise BoundError("solution has too many equations")
        step = _step(line, chains)
        if step is not None:
            found.append(step)
    return found


def _step(line: str, chains: Sequence[Sequence[str]]) -> Step | None:
    seen: dict[str, bool | None] = {}
    for sides in chains:
        computed = False  # of "2 + 2 = 4 = 5" the second equation says that the result is another
        for left, right in pairwise(sides):
            try:
                seen[f"{left} = {right}"] = _holds(left, right, computed=computed)
                computed = True
            except BoundError:
                seen[f"{left} = {right}"] = None
            except UnreadableError:
                computed = False
    if not seen:
        return None
    wrong = tuple(equation for equation, holds in seen.items() if holds is False)
    unknown = None in seen.values()
    return Step(line.strip(), None if unknown else 1 - len(wrong) / len(seen), wrong)


def _chains(line: str) -> Iterator[list[str]]:
    """Yield the chains of equations that a line states, each as the texts of its sides."""
    for match in _ANNOTATION.finditer(line):
        yield _sides(clean(match[1]))
    line = _ANNOTATION.sub(" ", line).translate(_TYPOGRAPHY)
    for match in _LATEX.finditer(line):
        inside = next(group for group in match.groups() if group)
        if "\\" in inside:
            yield _sides(clean(inside))
    yield from _plain_chains(_LATEX.sub(_without_latex, line))


def _without_latex(match: re.Match[str]) -> str:
    """Return what is between two dollar signs that are money, and a stop in the place of LaTeX."""
    return " . " if "\\" in match[0] else match[0]


def _sides(text: str) -> list[str]:
    return [side.strip() for side in text.split("=")]


def _plain_chains(line: str) -> Iterator[list[str]]:
    """Yield the chains in runs of numbers and signs, without the sides that words reach into."""
    run: list[str] = []
    before = ""
    for match in _TOKEN.finditer(line):
        kind = match.lastgroup or ""
        if kind == "word":
            yield _run_sides(run, before, match[kind].casefold())
            word = match[kind].casefold()
            begins = "=" in run or (not run and not before.isalpha())
            before = "" if word == "and" and begins else word  # "..., and 4 / 8 = 0.5"
            run = []
        elif kind != "money":
            run.append("*" if kind == "times" else match[kind])
    yield _run_sides(run, before, "")


def _run_sides(run: Sequence[str], before: str, after: str) -> list[str]:
    """Return the sides of a run; one that stands beside a word of arithmetic ("half of 10 + 4") or lacks a number is empty."""
    sides = _sides(" ".join(run))
    first = sides[0][:1]
    if before in _BEFORE or first in (*"+*/^)",) or (first == "-" and before.isalpha()):
        sides[0] = ""
    if after in _AFTER or sides[-1][-1:] in (*"+-*/^(",):
        sides[-1] = ""
    return sides


def _holds(left: str, right: str, *, computed: bool) -> bool:
    """Return whether an equation of numbers holds, of which a side is worked out, or was before it.

    Raises:
        UnreadableError: It is no equation of numbers.
        BoundError: It is too large to be computed.
    """
    if max(len(left), len(right)) > MAX_SIDE:
        raise BoundError("equation is too long")
    sides = parse(left), parse(right)
    if not computed and not any(isinstance(side, Apply) and side.name != "neg" for side in sides):
        raise UnreadableError("nothing is computed")
    try:
        values = exact(sides[0]), exact(sides[1])
    except UndefinedError:
        return False
    if values[0] is None or values[1] is None:
        raise UnreadableError("not a rational number")
    error = abs(values[0]) / 10**12 if any(map(_is_float, sides)) else 0
    stated = sides[1]
    if isinstance(stated, Apply) and stated.name == "percent":  # 18/450*100 = 4%
        percents = exact(stated.args[0])
        if percents == values[0]:
            return True
    return abs(values[0] - values[1]) <= error or rounds_to(values[0], stated)


def _is_float(tree: Tree) -> bool:
    """Return whether a number in a tree is a double that a calculator printed, such as 26.666666666666668."""
    if isinstance(tree, Apply):
        return any(map(_is_float, tree.args))
    return isinstance(tree, Number) and tree.digits >= 15
