"""The verifier of worked solutions whose reference ends in ``#### 42`` or ``A: 42``."""

from __future__ import annotations

import re
from fractions import Fraction

from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import final_answer
from orbiter.verify.audit.labels import FINAL_NUMBER
from orbiter.verify.numeric import NUMBER, parse_number, reference_number
from orbiter.verify.verifier import Verifier
from orbiter_math.conventions import conventions_of
from orbiter_math.statements import MAX_LENGTH, quotes_reference, statements, takes_back
from orbiter_math.writings import writings_of_number

_REFERENCE = re.compile(r"(?:####|^A:)[ \t]*(.*?)\s*$", re.MULTILINE)
_FULL_WIDTH = str.maketrans("０１２３４５６７８９．，－＋％／＄−", "0123456789.,-+%/$-")
_LATEX = (
    (re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\\(?:text|mathrm|mathbf)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\{,\}|\\,(?=\d)"), ","),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\[$!;, ]|[$*€£¥]"), " "),
)
_ALONE = re.compile(rf"{NUMBER}%?")
_NUMBER = re.compile(rf"({NUMBER}(?:\s*/\s*[0-9]+)?)(.*)", re.DOTALL)
_PERCENT = re.compile(r"\s*(?:%|percent\b)", re.IGNORECASE)
_HEDGE = re.compile(
    r"\b(?:or|and|either|maybe|perhaps|possibly|to|least|most|wrong|incorrect|plus|minus|squared|cubed|doubled|tripled|halved|factorial|grand"
    r"|(?:dozen|hundred|thousand|[mbtr]+illion|lakh|crore)s?|k|mil|mio|mn|bn|(?-i:M|B)|mille|per thousand"
    r"|half|halves|thirds?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?|thousandths?)\b|\d|[‰‱]",
    re.IGNORECASE,
)
"""What makes another number of the one before it, or a doubt."""

MAX_ALONE = 100
"""Longest text that is taken for a number and nothing else, in characters."""


class Gsm8kVerifier(Verifier):
    """Compare the one final number of a solution with the reference, exactly.

    A solution fails when it states no answer, states two that differ, hedges ("42 or 43"), or claims to quote the reference. A text that
    is a number and nothing else states it. 42 % is 0.42, and 42 where the task asks for percents.
    """

    name, version = "gsm8k", "4"

    def writings(self, answer: str) -> list[str]:
        """Return a number, or a worked solution that ends in one, with the number in other writings and after another mark."""
        end = FINAL_NUMBER.search(answer)
        value = parse_number(end[1] if end else answer)
        if value is None:
            return []
        work = answer[: end.start()] if end else ""
        stated = [*writings_of_number(value), f"{value} apples", f"${value}"]
        boxed = rf"{work}So it is $\boxed{{{value}}}$."
        return [*(f"{work}#### {text}" for text in stated), f"{work}The answer is {value}.", boxed]

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if every statement of the final answer has the reference's value; invalid without a reference."""
        reference = reference_value(task.answer)
        if reference is None:
            return Verdict.invalid("task has no reference number")
        text = final_answer(trajectory)
        if text is not None and len(text) > MAX_LENGTH:
            return Verdict.failed("solution is too long")
        percent = conventions_of(task.prompt).percent
        found = [] if text is None else numbers(text, percent=percent)
        if text is None or not found:
            return Verdict.failed("no answer")
        details = {"answers": [stated for stated, _ in found[:10]]}
        if quotes_reference(text):
            return Verdict.failed("claims to quote the reference", details=details)
        if takes_back(text):
            return Verdict.failed("takes its answer back", details=details)
        values = {value for _, value in found}
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


def numbers(text: str, *, percent: bool = True) -> list[tuple[str, Fraction | None]]:
    """Return every statement of a final answer, each with its value if it is one number without a hedge.

    Args:
        text: The final answer.
        percent: Whether percents are asked for, so that 42 % means 42.

    Prose that does not go on with a number ("the answer is found by adding") states nothing. A box or a marked line does, so that
    what cannot be read there is a statement without a value.
    """
    stated = [
        (one.text, _value(one.text, percent=percent))
        for one in statements(text)
        if not one.prose or _NUMBER.match(_plain(one.text))
    ]
    alone = text.strip().removesuffix(".")
    if not stated and len(alone) <= MAX_ALONE and _ALONE.fullmatch(_plain(alone)):
        return [(alone, _value(alone, percent=percent))]
    return stated


def _plain(text: str) -> str:
    text = text.translate(_FULL_WIDTH)
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    return text.strip()


def _value(text: str, *, percent: bool) -> Fraction | None:
    """Return the value of a number with at most a unit after it; None for anything else, such as two numbers."""
    plain = re.sub(r"^([+-])\s+", r"\1", _plain(text))
    match = _NUMBER.fullmatch(plain)
    if match is None or _HEDGE.search(match[2]) or re.match(r"[\w/^]", match[2]):
        return None
    if any(char.isnumeric() for char in match[2]):  # such as ½ and ²
        return None
    value = parse_number(match[1])
    if value is None or percent or not _PERCENT.match(match[2]):
        return value
    return value / 100
