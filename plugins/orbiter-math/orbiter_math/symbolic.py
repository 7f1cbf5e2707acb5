r"""The slow path: answers that :mod:`orbiter_math.parser` does not read, compared by math-verify.

math-verify hands a text to an ANTLR grammar and the tree to sympy, whose time is bounded by nothing. So a text is looked at
before: length, nesting, count of functions, digits, exponents, and a list of commands that holds nothing which sympy would work out (sums,
integrals, limits, factorials, determinants). The tree is looked at again before it is compared. What is still slow is cut by a
deadline that works on any thread; math-verify's own limits are signals, work on the main thread alone, and are off.

Only its LaTeX route is used: its route for plain text ends in ``sympy.parse_expr``, which evaluates Python.
"""

from __future__ import annotations

import functools
import logging
import re
from typing import Any

from orbiter_math.deadline import DeadlineError, within
from orbiter_math.tree import BoundError, UnfitReferenceError, UnreadableError

MAX_LENGTH = 200
"""Longest text, in characters."""

MAX_DEPTH = 4
"""Deepest nesting of brackets of all kinds: the grammar's time grows threefold with each."""

MAX_FUNCTIONS = 2
"""Most roots, logarithms and trigonometric functions: what sympy's simplification is slow on."""

MAX_NODES = 150
"""Most nodes of the two trees together."""

DEADLINE = 0.5
"""Seconds of processor time for reading and comparing; the bounds above keep nearly everything under a tenth of it."""

_COMMANDS = frozenset(
    "frac sqrt pi cup cap setminus mathbb mathcal in notin text pm mp infty alpha beta gamma delta epsilon theta lambda mu nu "
    "rho sigma tau phi chi psi omega Delta Omega vec hat bar overline overrightarrow sin cos tan cot sec csc arcsin arccos arctan "
    "log ln exp emptyset subset subseteq circ angle triangle parallel perp cong sim prime begin end approx langle rangle".split()
)
_FUNCTION = re.compile(r"\\?(?:sqrt|(?:arc)?(?:sin|cos|tan|cot|sec|csc)|log|ln|exp)(?![A-Za-z])|\|")
_EXPONENT = re.compile(r"\^\s*(?:\{\s*-?\s*(?:[0-9]{1,2}|[A-Za-z])\s*\}|[0-9A-Za-z]|\\circ)")
_LONG_NUMBER = re.compile(r"[0-9]{13}")


def same(reference: str, answer: str) -> bool:
    """Return whether math-verify holds two cleaned texts for the same answer.

    Raises:
        BoundError: The answer is larger than what is looked at, or holds a command that is not.
        UnfitReferenceError: The grammar does not read the reference.
        DeadlineError: They were within the bounds and took too long all the same.
    """
    for text in (reference, answer):
        check(text)
    _load()
    try:
        return within(DEADLINE, lambda: _same(reference, answer))
    except DeadlineError:
        # sympy's caches may hold what was half done; the next verdict must not depend on it.
        from sympy.core.cache import clear_cache

        clear_cache()
        raise


def check(text: str) -> None:
    """Raise BoundError unless ``text`` is small and harmless enough for math-verify."""
    if len(text) > MAX_LENGTH:
        raise BoundError("answer is too long")
    if not set(re.findall(r"\\([A-Za-z]+)", text)) <= _COMMANDS or "!" in text.replace("!=", ""):
        raise BoundError("answer is not a closed form")
    if _depth(text) > MAX_DEPTH:
        raise BoundError("answer is too deeply nested")
    if len(_FUNCTION.findall(text)) > MAX_FUNCTIONS:
        raise BoundError("answer has too many parts")
    if _LONG_NUMBER.search(text) or len(_EXPONENT.findall(text)) != text.count("^"):
        raise BoundError("number is too large")


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _same(reference: str, answer: str) -> bool:
    from math_verify import verify

    trees = _parsed(reference), _parsed(answer)
    if trees[0] is None:
        raise UnfitReferenceError("not readable")
    if trees[1] is None:
        raise UnreadableError("answer is not readable")
    if sum(map(_size, trees)) > MAX_NODES:
        raise BoundError("answer has too many parts")
    return bool(verify(*trees, timeout_seconds=None))


def _parsed(text: str) -> Any:
    """Return the tree of a text, or None if the grammar does not read it."""
    from math_verify import LatexExtractionConfig, parse

    found = parse(
        f"${text}$",
        extraction_config=[LatexExtractionConfig(boxed_match_priority=-1)],
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )
    return found[0] if found else None


def _size(tree: Any) -> int:
    """Return the count of nodes of a sympy tree; an operation that sympy would work out is out of bounds."""
    from sympy import Derivative, Integral, Limit, Product, Sum, factorial, preorder_traversal

    count = 0
    for node in preorder_traversal(tree):
        count += 1
        if isinstance(node, Derivative | Integral | Limit | Product | Sum | factorial):
            raise BoundError("answer is not a closed form")
        if count > MAX_NODES:
            break
    return count


@functools.cache
def _load() -> None:
    """Import all of math-verify before any deadline runs, and silence its notice that its own time limits are off."""
    for name in ("parser", "grader"):
        logging.getLogger(f"math_verify.{name}").setLevel(logging.ERROR)
    _same(r"\{x\} \setminus \{1\}", r"\frac{x}{2}")  # sympy imports much of itself on first use
