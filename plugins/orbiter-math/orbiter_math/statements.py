r"""Find where a worked solution states its final answer.

There are three ways: a box (``\boxed{x}``), a marked line (``#### x``, ``A: x``) and prose ("the answer is x").
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from orbiter.verify.numeric import NUMBER

MAX_LENGTH = 50_000
"""Longest solution that is read, in characters."""

LOOKED_AT = 20
"""Most statements around which a denial is looked for."""

_HASHES = re.compile(r"####[ \t]*(.*)$", re.MULTILINE)
_LINE = re.compile(r"(?:####|^[ \t]*(?:\*\*)?A:)[ \t]*(.*)$", re.MULTILINE)
_PROSE = re.compile(
    r"(?:\banswers?(?:\*\*)?(?:[ \t]+(?:is|are)\b|[ \t]*[:=])|^[ \t]*(?:#+|\*\*)[ \t]*(?:final[ \t]+)?answer(?:\*\*)?[ \t]*$)"
    r"(?:[ \t]|:|\*\*)*(?:\n\s*)?",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL)
_NUMBERED = re.compile(r"[0-9]{1,2}[.)]\s+\**[A-Za-z]{2}")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")
_BOX = re.compile(r"\\f?box(?:ed)?\s*\{")
_SHORT_BOX = re.compile(r"\\boxed\s+([0-9A-Za-z])(?![0-9A-Za-z])")
_BETWEEN_PARTS = re.compile(r"[\s$]*(?:,|;|,?\s*(?:and|or)\b)[\s$]*")
_NUMBERS = re.compile(NUMBER)
_ECHO = re.compile(
    r"\b(?:reference|expected|gold|ground[- _]truth)[- _](?:answer|solution)\b", re.I
)
# What takes an answer back. Each looks at one place, next to a statement, so that the work before it may say what it likes.
_DENIES = re.compile(
    r"(?:\b(?:is|are|was|be)\s+(?:certainly\s+|probably\s+)?not|n't(?:\s+be)?|\bcannot\s+be|\bnot)[\s$*(\[]*$",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\b(?:not\s+(?:entirely\s+|really\s+)?(?:sure|certain)|unsure|uncertain|doubt)\b[^.!?\n]{0,40}$",
    re.IGNORECASE,
)
_WRONG = re.compile(
    r"[\s$.,;*)\]]*(?:(?:is|was|are)\s+(?:not|wrong|incorrect)\b|(?:is|was)n't\b)", re.IGNORECASE
)
_OTHER = re.compile(
    r"\b(?:but|or|alternatively|actually|wait|maybe|perhaps|possibly|instead|rather|correction|sorry|otherwise)\b[,:.]?\s+"
    r"(?:(?:it|that|this|the\s+answer)\s*)?(?:(?:'s|is|are|could\s+be|might\s+be|may\s+be|can\s+be|should\s+be|also|even|just)\s+){0,2}"
    rf"[$(\\{{\s]*(?P<offered>{NUMBER})(?![\s$]*[-+*/^=<>\\\d])"
    rf"|\b(?:it|that|this|answer)\s+(?:could|might|may|can)\s+(?:(?:also|even|well|equally)\s+)?be[$(\\{{\s]+(?P<hedged>{NUMBER})(?![\s$]*[-+*/^=<>\\\d])"
    rf"|(?P<praised>{NUMBER})\s+(?:is|could\s+be|might\s+be|may\s+be)\s+(?:also\s+)?(?:possible|plausible|acceptable|right|correct|the\s+answer)\b",
    re.IGNORECASE,
)


@frozen
class Statement:
    """A place that states a final answer.

    Args:
        text: What stands there, as it is written.
        prose: Whether it is "the answer is ...", which may go on with anything, and not a box or a marked line.
    """

    text: str
    prose: bool = False


def statements(text: str) -> list[Statement]:
    r"""Return every statement of a final answer: the boxes, then the marked lines, then the prose.

    Boxes that are parts of one answer, as in ``\boxed{1} and \boxed{2}``, are one statement. Where there is a box, a line ``A: x`` is
    something else: a point A, an option.
    """
    plain, boxed = boxes(text)
    found = [Statement(one.strip()) for one in boxed]
    return found + (hashed(plain) if boxed else marked(plain)) + prose(plain)


def marked(text: str) -> list[Statement]:
    """Return what follows ``####``, or ``A:`` at the start of a line."""
    return _on_lines(_LINE, text)


def hashed(text: str) -> list[Statement]:
    """Return what follows ``####``."""
    return _on_lines(_HASHES, text)


def _on_lines(mark: re.Pattern[str], text: str) -> list[Statement]:
    """Return what follows a mark. ``#### Step 2`` is a heading where more text follows: words that count for as little as prose does."""
    end, found = len(text.rstrip()), []
    for match in mark.finditer(text):
        said, is_last = match[1].strip(), match.end() >= end
        if is_last or not _NUMBERED.match(said):
            prose = not is_last and "#" in match[0] and said[:1].isalpha()
            found.append(Statement(said, prose=prose))
    return found


def prose(text: str) -> list[Statement]:
    """Return what follows "the answer is" or "answer:", up to the end of the sentence, and what ``<answer>`` holds."""
    found = [Statement(match[1].strip(), prose=True) for match in _TAG.finditer(text)]
    for _, inner, end in _prose_spans(text):
        said = text[inner:end].strip()
        if said and text[end : end + 1] != "?":  # a question states nothing
            found.append(Statement(said, prose=True))
    return found


def boxes(text: str) -> tuple[str, list[str]]:
    r"""Return ``text`` with each box replaced by what is in it, and what is in the boxes."""
    text = _SHORT_BOX.sub(r"\\boxed{\1}", text)
    pieces: list[str] = []
    found: list[str] = []
    place = 0
    previous_end = -1
    for start, inner, end in _spans(text):
        between = text[previous_end:start] if previous_end >= 0 else ""
        pieces += [text[place:start], text[inner : end - 1]]
        if found and len(between) < 40 and _BETWEEN_PARTS.fullmatch(between):
            found[-1] += ", " + text[inner : end - 1]
        else:
            found.append(text[inner : end - 1])
        place = previous_end = end
    return "".join((*pieces, text[place:])), found


def quotes_reference(text: str) -> bool:
    """Return whether a solution claims to know the reference, instead of stating an answer of its own."""
    return _ECHO.search(text) is not None


def takes_back(text: str) -> bool:
    """Return whether a solution denies or doubts the answer that it states, or offers another number after the last statement.

    Only the last statements are looked at, whatever their number: they are what a solution ends on.
    """
    stated_at = sorted(places(text))[-LOOKED_AT:]
    for start, end in stated_at:
        before = text[max(0, start - 100) : start]
        if _DENIES.search(before) or _UNSURE.search(before) or _WRONG.match(text, end):
            return True
    if not stated_at:
        return False
    stated = {number for start, end in stated_at for number in _NUMBERS.findall(text, start, end)}
    last = max(end for _, end in stated_at)
    offers = _OTHER.finditer(text, last)
    return any(
        (match["offered"] or match["hedged"] or match["praised"]) not in stated for match in offers
    )


def places(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each statement starts and ends."""
    for start, _, end in (*_spans(text), *_prose_spans(text)):
        yield start, end
    for match in _LINE.finditer(text):
        yield match.span()


def _prose_spans(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield start, start of what is said, and end of each sentence that says what the answer is."""
    place = 0
    while match := _PROSE.search(text, place):
        end = _SENTENCE_END.search(text, match.end())
        place = end.start() if end else len(text)
        yield match.start(), match.end(), place


def _spans(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield start, start of the inside, and end of each outermost box whose braces balance."""
    match = _BOX.search(text)
    while match:
        depth, place = 1, match.end()
        while place < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            place += 1
        if depth:
            return
        yield match.start(), match.end(), place
        match = _BOX.search(text, place)
