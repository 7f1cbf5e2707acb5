"""Find where a worked solution states its final answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from attrs import frozen

from orbiter.verify.numeric import NUMBER, parse_number

_LINE = re.compile(r"(?:####|^[ \t]*(?:\*\*)?A:)[ \t]*(.*)$", re.MULTILINE)
_PROSE = re.compile(
    r"\banswer(?:[ \t]+is|[ \t]*[:=])[ \t]*:?[ \t]*(.*)$", re.MULTILINE | re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_BOXED = "\\boxed{"
_LATEX = (
    (re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\\(?:text|mathrm|mathbf)\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\{,\}|\\,(?=\d)"), ","),
    (re.compile(r"\\[$%]|\\[!;, ]|[$*€£¥]"), " "),
)
_NUMBER = re.compile(rf"({NUMBER}(?:\s*/\s*[0-9]+)?)(.*)", re.DOTALL)
_HEDGE = re.compile(r"\b(?:or|and|either|maybe|perhaps|possibly|to)\b|\d", re.IGNORECASE)


@frozen
class Statement:
    """A place that states a final answer: its text, and its value if it is one number without a hedge."""

    text: str
    value: Fraction | None


def statements(text: str) -> list[Statement]:
    r"""Return every statement of a final answer in ``text``: ``#### x``, ``A: x``, ``\boxed{x}``, "the answer is x".

    Prose that does not go on with a number ("the answer is found by adding") states nothing. The other three do, so that what cannot be
    read there is a statement without a value.
    """
    boxes = list(_boxes(text))
    for whole, inside in boxes:
        text = text.replace(whole, inside)
    found = [inside for _, inside in boxes]
    found += [match[1] for match in _LINE.finditer(text)]
    out = [Statement(one.strip(), _value(one)) for one in found]
    for match in _PROSE.finditer(text):
        sentence = _SENTENCE_END.split(match[1], maxsplit=1)[0]
        if _NUMBER.match(_plain(sentence)):
            out.append(Statement(sentence.strip(), _value(sentence)))
    return out


def _boxes(text: str) -> Iterator[tuple[str, str]]:
    r"""Yield each ``\boxed{...}`` with its inside; braces inside must balance."""
    start = text.find(_BOXED)
    while start >= 0:
        depth, place = 1, start + len(_BOXED)
        while place < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            place += 1
        if depth:
            return
        yield text[start:place], text[start + len(_BOXED) : place - 1]
        start = text.find(_BOXED, place)


def _plain(text: str) -> str:
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    return text.strip()


def _value(text: str) -> Fraction | None:
    """Return the value of a number with at most a unit after it; None for anything else, such as two numbers."""
    plain = re.sub(r"^([+-])\s+", r"\1", _plain(text))
    match = _NUMBER.fullmatch(plain)
    if match is None or _HEDGE.search(match[2]) or re.match(r"[\w/^²³]", match[2]):
        return None
    return parse_number(match[1])
