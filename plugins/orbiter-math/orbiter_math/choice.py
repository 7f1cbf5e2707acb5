"""The verifier of multiple choice: which letter is the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import final_answer
from orbiter.verify.verifier import Verifier
from orbiter_math.grading import predicate
from orbiter_math.latex import clean, squeezed
from orbiter_math.statements import (
    MAX_LENGTH,
    Statement,
    boxes,
    hashed,
    places,
    prose,
    quotes_reference,
)

_OPTION = re.compile(
    r"\b(?:correct|right|best)\s+(?:option|choice)(?:\s+is\b|\s*:)[ \t*]*(.*)$", re.M | re.I
)
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_NAMED = r"(?:(?:the\s+)?(?:correct\s+)?(?:option|choice|letter|answer)\s+)"
_PRAISED = re.compile(
    r"(?:(?:so|thus|hence|therefore|then)\b,?\s+)?(?:the\s+)?(?:(?:option|choice|answer|letter)\s+)?[(\[]?([A-Z])[)\]]?"
    r"\s+is\s+(?:therefore\s+)?(?:the\s+)?(?:correct|right|best|true)(?:\s+(?:answer|option|choice|one))?\s*[.!]*",
    re.IGNORECASE,
)
_LETTER = re.compile(
    rf"(?:{_NAMED}?[(\[]([A-Za-z])[)\]]|{_NAMED}?([A-Za-z])\)|{_NAMED}([A-Za-z])\b"
    r"|([A-Z])(?=$|\s*[.:,/&]|\s+[-\u2013\u2014=]|\s+(?:and|or)\b))",
    re.IGNORECASE,
)
_SECOND_THOUGHT = re.compile(
    r"\b(?:actually|wait|correction|sorry|maybe|perhaps)\b[,:.!]*\s+(?:no\b[,:.!]*\s+)?"
    r"(?:(?:it|that|this|the\s+(?:answer|option|choice))(?:'s|\s+is|\s+(?:could|might|may)\s+be)\s+)?(?:(?:option|choice)\s+)?"
    r"[(\[*]*(?-i:([A-Z]))(?=[)\]*.!]|\s*$)",
    re.IGNORECASE | re.MULTILINE,
)
_ANOTHER = re.compile(
    r"\s*(?:,|/|&|,?\s*\bor\b|,?\s*\band\b)\s*(?:(?:maybe|perhaps|possibly)\s+)?(?:[A-Z](?![A-Za-z])|[(\[][A-Za-z][)\]])"
    r"|\bor\s+(?:option\s+|choice\s+)?[(\[][A-Za-z][)\]]"
)


class ChoiceVerifier(Verifier):
    r"""Compare the letter that a solution chooses with the reference letter.

    The letter is read from ``\boxed{B}``, ``#### B``, "the answer is (B)" or "the correct option is B", with or without the text of
    the option after it; where there is none of these, from a last line "B is correct". A text of one line may be the letter alone. Where
    ``task.metadata["choices"]`` lists the texts of the options, an answer that is just one of these texts chooses it; the letter of an
    option is that letter, also where it is the text of another, as in "Which vitamin? A: A, B: C". Two letters fail.
    """

    name, version = "choice", "4"

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if every statement of the answer chooses the reference; invalid without a reference letter."""
        reference = None
        if isinstance(task.answer, str):
            # A reference may be a small letter; in an answer that may be a word.
            text = task.answer.upper() if len(task.answer) == 1 else task.answer
            reference = chosen(text, task.metadata)
        if reference is None:
            return Verdict.invalid("task has no reference letter")
        answer = final_answer(trajectory)
        if answer is None or not answer.strip():
            return Verdict.failed("no answer")
        if len(answer) > MAX_LENGTH:
            return Verdict.failed("solution is too long")
        found = _statements(answer)
        if not found:
            return Verdict.failed("no answer")
        details = {"answers": [one.text[:200] for one in found[:10]]}
        if quotes_reference(answer):
            return Verdict.failed("claims to quote the reference", details=details)
        letters = [chosen(one.text, task.metadata) for one in found]
        clear = {one for one, said in zip(letters, found) if one is not None or not said.prose}
        if not clear or None in clear:
            return Verdict.failed("answer is not one choice", details=details)
        if len(clear) > 1:
            return Verdict.failed("two different answers", details=details)
        if _thinks_again(answer, clear):
            return Verdict.failed("takes its answer back", details=details)
        if clear == {reference}:
            return Verdict.passed(details=details)
        return Verdict.failed("wrong answer", details=details)


def letter(text: str) -> str | None:
    """Return the one letter that a statement chooses, in upper case, or None."""
    said = _plain(text)
    if (praised := _PRAISED.fullmatch(said)) and praised[1].isupper():
        return praised[1]
    plain = predicate(said)
    match = _LETTER.match(plain)
    if match is None:
        return None
    found = next(group for group in match.groups() if group)
    if match[4] and not match[4].isupper():
        return None
    return None if _another(plain[match.end() :]) else found.upper()


def chosen(text: str, metadata: Mapping[str, Any]) -> str | None:
    """Return the letter that a statement chooses, by its name or by the text of its option."""
    choices = metadata.get("choices")
    if isinstance(choices, Sequence) and not isinstance(choices, str):
        said = _same_text(text)
        if len(said) == 1 and 0 <= ord(said.upper()) - ord("A") < len(choices[:26]):
            return letter(text)
        named = [i for i, choice in enumerate(choices[:26]) if _same_text(str(choice)) == said]
        if len(named) == 1:
            return chr(ord("A") + named[0])
    return letter(text)


def _thinks_again(text: str, letters: Set[str | None]) -> bool:
    """Return whether a solution offers another letter after its last statement."""
    end = max((end for _, end in places(text)), default=len(text))
    return any(match[1] not in letters for match in _SECOND_THOUGHT.finditer(text, end))


def _plain(text: str) -> str:
    return _TEXT.sub(r"\1", clean(text[:1000])).strip(" *")


def _same_text(text: str) -> str:
    return squeezed(_plain(text)).casefold()


def _another(rest: str) -> bool:
    """Return whether what follows a letter names one more."""
    match = _ANOTHER.match(rest)
    return match is not None or re.search(r"\bor\s+(?:option|choice)?\s*[(\[]", rest) is not None


def _statements(text: str) -> list[Statement]:
    plain, boxed = boxes(text)
    found = [Statement(one) for one in boxed] + hashed(plain) + prose(plain)
    found += [Statement(match[1], prose=True) for match in _OPTION.finditer(plain)]
    if found or not text.strip():
        return found
    lines = text.strip().splitlines()
    praising = [line for line in lines if _PRAISED.fullmatch(_plain(line))]
    if len(lines) > 1 and lines[-1] not in praising:
        return []
    return [Statement(line, prose=True) for line in praising or lines]
