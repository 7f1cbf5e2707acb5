r"""Words and letters behind a number that multiply it: ``3 million`` is ``3*10^{6}``.

Letters alone are symbols: only in ``\text`` do ``k``, ``mn`` and their like say a power of ten, and K, M and B only behind an amount of
money.
"""

from __future__ import annotations

import re

_WORDS = {
    "thousand": 3, "grand": 3, "lakh": 5, "million": 6, "crore": 7, "billion": 9, "trillion": 12,
}  # fmt: skip
_SHORT = {"k": 3, "mil": 6, "mio": 6, "mn": 6, "bn": 9}
_OF_MONEY = {"k": 3, "K": 3, "M": 6, "B": 9}
_WORD, _LETTERS = "|".join(_WORDS), "|".join(_SHORT)

_ANY = re.compile(rf"{_WORD}|\\text\{{(?:{_LETTERS})")
_SCALE = re.compile(
    rf"(?<=[0-9])\s*(?:(?P<opened>\\text\{{)?(?P<word>{_WORD})s?\b|\\text\{{(?P<short>{_LETTERS})(?![A-Za-z]))\s*(?P<closed>\}})?"
)
_MONEY = re.compile(
    r"(?:\\\$|[€£¥₹])\s*([0-9][0-9,.]*)\s*(?:\\text\{\s*)?([kKMB])(?![A-Za-z])\s*\}?"
)


def scaled_money(text: str) -> str:
    r"""Return an answer in which ``\$12k`` is ``12*10^{3}``."""
    return _MONEY.sub(lambda match: rf"{match[1]}*10^{{{_OF_MONEY[match[2]]}}} ", text)


def scaled(text: str) -> str:
    r"""Return an answer in which ``3 \text{ million}`` is ``3 *10^{6}``; what else stands in the ``\text`` stays there."""
    return _SCALE.sub(_power, text) if _ANY.search(text) else text


def _power(match: re.Match[str]) -> str:
    power = _WORDS[match["word"]] if match["word"] else _SHORT[match["short"]]
    is_open = (match["opened"] or match["short"]) and not match["closed"]
    return f"*10^{{{power}}} " + (r"\text{" if is_open else "")
