"""The verifier of answers in the style of the MATH data set: closed forms in LaTeX or plain text."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import attrs

from orbiter.checks import check_number
from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import final_answer
from orbiter.verify.numeric import reference_number
from orbiter.verify.verifier import Verifier, version_of
from orbiter_math import symbolic
from orbiter_math.clock import is_time
from orbiter_math.comparison import Comparison
from orbiter_math.conventions import conventions_of
from orbiter_math.deadline import DeadlineError
from orbiter_math.exact import exact
from orbiter_math.grading import Reading, predicate, read, same, spelled
from orbiter_math.statements import (
    MAX_LENGTH,
    Statement,
    boxes,
    marked,
    quotes_reference,
    statements,
    takes_back,
)
from orbiter_math.tree import BoundError, UndefinedError, UnfitReferenceError, UnreadableError
from orbiter_math.writings import writings_of_latex

MAX_STATEMENTS = 10
"""Most different statements of a final answer that are looked at; a solution with more of them states no one answer."""

MAX_BARE = 200
"""Longest text that is taken for the answer itself where none is marked, in characters."""

_WRONG = "wrong answer"
_TWO = "two different answers"


class MathVerifier(Verifier):
    r"""Compare the one final answer of a solution with the reference, as mathematics.

    The answer is what stands in ``\boxed{}``, after ``####`` or ``A:``, or in "the answer is ..."; a text of one line with none of these is
    the answer itself. Every statement of it must agree with the reference, so that two different answers, a hedge ("42 or 43") and a
    quotation of the reference fail.

    Args:
        abs_tol: Numbers may differ by this, bound included; >= 0.
        rel_tol: Or by this share of the reference; >= 0.
    """

    name = "math"

    def __init__(self, *, abs_tol: float = 0.0, rel_tol: float = 0.0) -> None:
        options = {"abs_tol": abs_tol, "rel_tol": rel_tol}
        for name, value in options.items():
            check_number(name, value, "[0, inf)")
        self.abs_tol, self.rel_tol = abs_tol, rel_tol
        self._tolerances = {name: Fraction(str(value)) for name, value in options.items()}
        self.version = version_of(self, "6")

    def writings(self, answer: str) -> list[str]:
        """Return an answer, or what a worked solution boxes last, in a box of its own in other writings."""
        try:
            text = final_text(answer)
            reading = read(text)
            value = reading.number if reading.tree is None else exact(reading.tree)
        except (UnreadableError, UndefinedError):
            return []
        if text is answer and statements(answer):  # a sentence that says what the answer is
            return []
        return [rf"It is $\boxed{{{one}}}$." for one in writings_of_latex(text, value)]

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if every statement of the answer is the reference; invalid if the reference is unfit."""
        conventions = conventions_of(task.prompt)
        try:
            reference = read_reference(task.answer)
            comparison = Comparison(
                **self._tolerances,
                conventions=conventions,
                time=is_time(reference.text, conventions),
            )
            if reference.tree is not None:
                comparison.check(reference.tree)
        except (UnreadableError, UndefinedError) as error:
            return Verdict.invalid(_unfit(error))
        text = final_answer(trajectory)
        if text is None or not text.strip():
            return Verdict.failed("no answer")
        if len(text) > MAX_LENGTH:
            return Verdict.failed("solution is too long")
        found = _distinct(statements(text)) or _bare(text)
        if not found:
            return Verdict.failed("no answer")
        details = {"answers": [one.text[:200] for one in found[:MAX_STATEMENTS]]}
        if quotes_reference(text):
            return Verdict.failed("claims to quote the reference", details=details)
        if takes_back(text):
            return Verdict.failed("takes its answer back", details=details)
        if len(found) > MAX_STATEMENTS:
            return Verdict.failed(_TWO, details=details)
        return attrs.evolve(_judged(reference, found, comparison), details=details)


def read_reference(answer: object) -> Reading:
    r"""Return the reference of a task: a number, or text that is the answer or a solution that ends in it.

    Raises:
        UnreadableError: There is none, or it is larger than what is looked at.
    """
    if not isinstance(answer, str) and reference_number(answer) is not None:
        answer = str(answer)
    if not isinstance(answer, str) or not answer.strip():
        raise UnreadableError("missing")
    return read(final_text(answer))


def final_text(answer: str) -> str:
    """Return what a solution boxes or marks last, or all of it where nothing is."""
    return (boxes(answer)[1][-1:] or [one.text for one in marked(answer)][-1:] or [answer])[0]


def _unfit(error: Exception) -> str:
    return f"reference: {error}".replace("answer is ", "").replace("answer has ", "")


def _distinct(found: Sequence[Statement]) -> list[Statement]:
    """Return the statements without repetitions; what is boxed as well is no prose."""
    first: dict[str, Statement] = {}
    for one in found:
        first.setdefault(one.text, one)
    return list(first.values())


def _bare(text: str) -> list[Statement]:
    """Return a text of one line as its own statement: what a model says that is asked for the answer alone."""
    line = text.strip()
    short = len(line) <= MAX_BARE and "\n" not in line
    return [Statement(line, prose=True)] if short else []


def _judged(reference: Reading, found: Sequence[Statement], comparison: Comparison) -> Verdict:
    """Return the verdict on the statements, of which all that are clear must say what the reference says."""
    if reference.number is None and reference.tree is None:
        try:
            symbolic.check(reference.text)
        except BoundError as error:  # it can be compared letter by letter alone
            same_text = all(spelled(one.text) == reference.text for one in found)
            return Verdict.passed() if same_text else Verdict.invalid(_unfit(error))
    try:
        reasons = [_reason(reference, one, comparison) for one in found]
    except UnfitReferenceError as error:
        return Verdict.invalid(_unfit(error))
    except DeadlineError:
        return Verdict.invalid("comparison took too long")
    clear = [r for r, one in zip(reasons, found) if not one.prose or r in (None, _WRONG)]
    wrong = [reason for reason in clear or reasons if reason is not None]
    if not wrong:
        return Verdict.passed()
    return Verdict.failed(_TWO if None in clear else wrong[0])


def _reason(reference: Reading, one: Statement, comparison: Comparison) -> str | None:
    """Return why a statement does not say what the reference says, or None where it does."""
    text = predicate(one.text) if one.prose else one.text
    try:
        answer = read(text, symbols=reference.is_symbolic)
        if one.prose and answer.is_words and not reference.is_words:
            return "answer is not readable"  # "the answer is found by adding"
        return None if same(reference, answer, comparison) else _WRONG
    except (UnreadableError, UndefinedError) as error:
        return str(error)
