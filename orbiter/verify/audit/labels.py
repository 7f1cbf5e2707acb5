"""What can be said for certain of an answer to a task: right, wrong, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from orbiter.checks import is_number
from orbiter.records import Task
from orbiter.tasks.environment import Environment
from orbiter.verify.numeric import parse_number
from orbiter.verify.verifier import Verifier

IsRight = Callable[[Task, str], "bool | None"]
"""Says whether an answer is right, or None if it cannot tell."""

FINAL_NUMBER = re.compile(r"(?:####|^A:)[ \t]*(-?[0-9][0-9,]{0,30})\s*\Z", re.MULTILINE)
"""The number that a worked solution ends in, as in GSM8K."""

_NUMBER = re.compile(r"[-+]?[0-9]{1,300}(\.[0-9]{1,300})?")


def reference_label(environment: Environment) -> IsRight:
    """Return a labeller that trusts ``task.answer`` where the environment demonstrates just that.

    It says True for the reference itself, False for a text that differs from a one-word reference by more than white space,
    case or the way a number is written, and None for all else: a longer reference may be worked out, and stay right with an edit
    in its reasoning; where the demonstration is not the reference, other right answers may exist.
    """

    def label(task: Task, answer: str) -> bool | None:
        reference = task.answer
        if not isinstance(reference, str) or environment.demonstrate(task) != reference:
            return None
        if answer == reference:
            return True
        one_word = len(reference.split()) == 1
        return False if one_word and not same_loosely(answer, reference) else None

    return label


def careful_label(label: IsRight, verifier: Verifier) -> IsRight:
    """Return a labeller that is sure of more worked solutions than another, and of no number that a verifier may not tell apart.

    A worked solution is wrong if it ends in another number than the reference does (``#### 42``). Of a number that equals the
    reference, or is within the verifier's ``abs_tol`` and ``rel_tol`` of it, nothing is certain.
    """
    bounds = [getattr(verifier, name, 0.0) for name in ("abs_tol", "rel_tol")]
    absolute, relative = (Fraction(b) if is_number(b) else Fraction() for b in bounds)

    def near(one: str, other: str) -> bool:
        value, reference = parse_number(one), parse_number(other)
        if value is None or reference is None:
            return False
        return abs(value - reference) <= max(absolute, relative * abs(reference))

    def careful(task: Task, answer: str) -> bool | None:
        given, reference = label(task, answer), task.answer
        if given is True or not isinstance(reference, str):
            return given
        ends = [FINAL_NUMBER.search(text) for text in (answer, reference)]
        if ends[0] and ends[1]:
            return None if near(ends[0][1], ends[1][1]) else False
        return None if near(answer, reference) else given

    return careful


def same_loosely(one: str, other: str) -> bool:
    """Return whether two texts differ at most by white space, case or the way a number is written."""
    if "".join(one.split()).casefold() == "".join(other.split()).casefold():
        return True
    numbers = [_NUMBER.fullmatch(text.strip().replace(",", "")) for text in (one, other)]
    return all(numbers) and len({Fraction(found.group()) for found in numbers if found}) == 1
