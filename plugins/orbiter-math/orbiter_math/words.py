"""Answers in words."""

from __future__ import annotations

import re
from fractions import Fraction

from orbiter_math.tokens import NAMES
from orbiter_math.tree import Number, Words

_ALL_REALS = ("reals", "all reals", "real numbers", "all real numbers")
_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {
    **{word: value for value, word in enumerate(_UNITS.split())},
    **{word: 10 * value for value, word in enumerate(_TENS.split(), start=2)},
}
_JOINING = frozenset({"and", "or"})
_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*[.,]?|[0-9]+,?")


def words_of(text: str) -> Words | Number | None:
    """Return an answer in words, or the number that one word names; a few letters alone are a product of symbols."""
    words = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).split()
    if words and (len(words) > 1 or text.startswith("\\text")):
        words[-1] = words[-1].rstrip(".")
    if not words or not words[0][:1].isalpha() or not all(map(_WORD.fullmatch, words)):
        return None
    if not _JOINING.isdisjoint(words):
        return None
    if words[0].casefold() == "the" and len(words) > 1:
        del words[0]
    letters = [word for word in words if word not in NAMES and len(word) > 1 and word.isalpha()]
    is_words = "\\text" in text or any(len(word) > 2 for word in letters) or text.casefold() == "no"
    if not letters or not is_words:
        return None
    said = " ".join(words).casefold()
    if said in _NUMBERS:
        return Number(Fraction(_NUMBERS[said]))
    return Words("reals" if said in _ALL_REALS else said)
