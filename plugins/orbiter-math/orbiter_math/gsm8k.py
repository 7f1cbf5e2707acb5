"""The verifier of worked solutions whose reference ends in ``#### 42`` or ``A: 42``."""

from __future__ import annotations

import re
from fractions import Fraction

from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import final_answer
from orbiter.verify.numeric import reference_number
from orbiter.verify.verifier import Verifier
from orbiter_math.statements import statements

MAX_LENGTH = 50_000
"""Longest solution that is read, in characters; a longer one fails."""

_REFERENCE = re.compile(r"(?:####|^A:)[ \t]*(.*?)\s*$", re.MULTILINE)
_ECHO = re.compile(
    r"\b(?:reference|expected|gold|ground[- _]truth)[- _](?:answer|solution)\b", re.I
)


class Gsm8kVerifier(Verifier):
    """Compare the one final number of a solution with the reference, exactly.

    A solution fails when it states no answer, states two that differ, hedges ("42 or 43"), or claims to quote the reference.
    """

    name, version = "gsm8k", "1"

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if every statement of the final answer has the reference's value; invalid without a reference."""
        reference = reference_value(task.answer)
        if reference is None:
            return Verdict.invalid("task has no reference number")
        text = final_answer(trajectory)
        if text is not None and len(text) > MAX_LENGTH:
            return Verdict.failed("solution is too long")
        found = [] if text is None else statements(text)
        if text is None or not found:
            return Verdict.failed("no answer")
        details = {"answers": [one.text for one in found[:10]]}
        if _ECHO.search(text):
            return Verdict.failed("claims to quote the reference", details=details)
        values = {one.value for one in found}
        if None in values:
            return Verdict.failed("answer is not one number", details=details)
        if len(values) > 1:
            return Verdict.failed("two different answers", details=details)
        if values == {reference}:
            return Verdict.passed(details=details)
        return Verdict.failed("wrong answer", details=details)


def reference_value(answer: object) -> Fraction | None:
    """Return the value of a reference: a number, or text that is one or ends in ``#### x`` or ``A: x``."""
    if not isinstance(answer, str):
        return reference_number(answer)
    marked = _REFERENCE.findall(answer)
    return reference_number((marked[-1] if marked else answer).replace("$", ""))
