"""Numbers in text, read exactly, and the verifier that compares them."""

from __future__ import annotations

import re
from fractions import Fraction

from orbiter.checks import is_number
from orbiter.errors import ConfigError
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import final_answer
from orbiter.verify.verifier import Verifier, version_of

MAX_LENGTH = 1_000
"""Longest text that is read as a number: enough for any answer, too short to burn time on."""

MAX_EXPONENT = 1_000
"""Largest power of ten in ``1e999``, either sign."""

NUMBER = r"[+-]?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)"
"""A decimal number; commas only where they part thousands."""

_NUMBER = re.compile(rf"({NUMBER})(?:[eE]([+-]?[0-9]{{1,9}}))?")
_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
_TYPOGRAPHY = str.maketrans("０１２３４５６７８９．，＋－／\u2212", "0123456789.,+-/-")


def parse_number(text: str) -> Fraction | None:
    """Return the exact value of ``text``, or None if it is not one number.

    Reads ``-12``, ``1,234.5``, ``.5``, ``1.``, ``6.02e23`` and ``3/4``, with full-width digits and a typographic minus too. Commas
    must part thousands: ``12,34`` is no number. Nor is anything with a digit that is not decimal, such as ``4²``.
    """
    if len(text) > MAX_LENGTH:
        return None
    top, slash, bottom = text.strip().translate(_TYPOGRAPHY).partition("/")
    numerator = _decimal(top.strip())
    if not slash or numerator is None:
        return numerator
    denominator = _decimal(bottom.strip())
    return numerator / denominator if denominator else None


def _decimal(text: str) -> Fraction | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    exponent = int(match[2] or 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    return Fraction(match[1].replace(",", "")) * Fraction(10) ** exponent


def reference_number(answer: object) -> Fraction | None:
    """Return the exact value of a reference: text, an integer or a finite float as it is written (0.1 is 1/10)."""
    if isinstance(answer, str):
        return parse_number(answer)
    if not is_number(answer):
        return None
    return Fraction(answer) if isinstance(answer, int) else Fraction(repr(answer))


class NumericVerifier(Verifier):
    """Compare the final answer, which must be one number and nothing else, with the number in ``task.answer``.

    Without a tolerance the two must be equal as fractions: ``0.5`` equals ``1/2``, and no float is ever involved. With one, they
    may differ by ``max(abs_tol, rel_tol * |reference|)``, bound included.

    Args:
        abs_tol: Absolute tolerance, >= 0.
        rel_tol: Tolerance relative to the reference, >= 0.
    """

    name = "numeric"

    def __init__(self, *, abs_tol: float = 0.0, rel_tol: float = 0.0) -> None:
        for name, value in (("abs_tol", abs_tol), ("rel_tol", rel_tol)):
            number = reference_number(value)
            if isinstance(value, str) or number is None or number < 0:
                raise ConfigError(f"{name} must be a finite number >= 0, got {value!r}")
        self.abs_tol, self.rel_tol = abs_tol, rel_tol
        self.version = version_of(self, "1")

    def writings(self, answer: str) -> list[str]:
        """Return a number between spaces, with full-width digits, as a fraction, and a whole one with a point or with commas."""
        value = parse_number(answer)
        if value is None:
            return []
        top, bottom = value.numerator, value.denominator
        written = [f" {answer}\n", answer.translate(_FULL_WIDTH), f"{12 * top}/{12 * bottom}"]
        return [*written, f"{top}.0", f"{top:,}"] if bottom == 1 else written

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if the numbers agree; fail if there is no answer or it is no number; invalid without a reference."""
        reference = reference_number(task.answer)
        if reference is None:
            return Verdict.invalid("task has no reference number")
        text = final_answer(trajectory)
        if text is None or not text.strip():
            return Verdict.failed("no answer")
        value = parse_number(text)
        if value is None:
            return Verdict.failed("answer is not a number")
        tolerance = max(Fraction(repr(self.abs_tol)), Fraction(repr(self.rel_tol)) * abs(reference))
        if abs(value - reference) <= tolerance:
            return Verdict.passed()
        return Verdict.failed("wrong answer")
