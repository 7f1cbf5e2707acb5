r"""The tokens of a cleaned answer, with bounds on their count and length. Nothing is evaluated here."""

from __future__ import annotations

import re

from attrs import frozen

from orbiter_math.tree import FUNCTIONS, BoundError, UnreadableError

MAX_LENGTH = 1_000
"""Longest answer, in characters."""

MAX_TOKENS = 400
"""Most tokens of an answer, and so most nodes of its tree."""

MAX_DIGITS = 400
"""Longest number, in digits."""

NAMES = frozenset({*FUNCTIONS, "pi", "infty", "infinity", "inf", "sqrt"})
"""Words of plain text that mean what the LaTeX command of that name means."""

HEDGE = re.compile(
    r"\b(?:or|and|either|neither|nor|maybe|perhaps|possibly|not|to|about|between|more|less|than|if|least|most|wrong|incorrect|false"
    r"|plus|minus|squared|cubed|doubled|tripled|halved|dozens?|hundreds?|factorial|approximately|roughly|mille|per thousand|per million"
    r"|half|halves|thirds?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?|thousandths?)\b"
)
"""Words that make something else of the number before them: another number, a range, a doubt, a denial."""

_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<number>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+\.(?=\\overline)|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
    r"|\\text\{(?P<text>[^{}]*)\}|(?P<word>[A-Za-z]+)"
    r"|(?P<sign>\\\\|\\[A-Za-z]+|\\[{}%|]|<=|>=|!=|\*\*|[-+*/^_=<>()\[\]{},;:|!%'&]))"
)
_EXPONENT = re.compile(r"(?<=[0-9])[eE]([+-]?[0-9]{1,3})(?![0-9A-Za-z.])")


@frozen
class Token:
    """One token; ``kind`` is ``number``, ``letter``, ``text`` (a word), ``sign`` (commands too) or ``end``."""

    kind: str
    text: str


END = Token("end", "")


def tokens(text: str) -> list[Token]:
    """Return the tokens of a cleaned answer.

    Raises:
        BoundError: There are too many, or one is too long.
        UnreadableError: A character has no place in an answer.
    """
    if len(text) > MAX_LENGTH:
        raise BoundError("answer is too long")
    text = _EXPONENT.sub(r"*10^{\1}", text)
    out: list[Token] = []
    place, brackets, end = 0, 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            raise UnreadableError("answer is not readable")
        kind = match.lastgroup or ""
        found, place = match[kind], match.end()
        if kind == "number":
            if brackets and "," in found:  # inside brackets a comma parts elements, not thousands
                found = found.partition(",")[0]
                place = match.start("number") + len(found)
            if len(found) > MAX_DIGITS:
                raise BoundError("number is too long")
            out.append(Token("number", found))
        elif kind == "word":
            out.extend(_word(found))
        elif kind == "text":
            word = " ".join(found.split()).casefold()
            out.append(Token("sign" if word in ("or", "and", ",") else "text", word))
        else:
            brackets += found in ("(", "[", "\\{")
            brackets -= found in (")", "]", "\\}")
            out.append(Token("sign", "^" if found == "**" else found))
        if len(out) > MAX_TOKENS:
            raise BoundError("answer has too many parts")
    return out


def _word(word: str) -> list[Token]:
    """Return a run of letters as a name, a product of letters, or a word."""
    if word in ("or", "and"):
        return [Token("sign", word)]
    if word in NAMES:
        return [Token("sign", "\\" + word)]
    if len(word) > 3:
        return [Token("text", word.casefold())]
    return [Token("letter", letter) for letter in word]
