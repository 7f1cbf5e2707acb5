"""White space as browsers have it: JavaScript's, which is not Python's."""

from __future__ import annotations

import re

SPACES = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
"""What ``\\s`` matches in JavaScript, as the inside of a character class."""

_EDGES = re.compile(f"^[{SPACES}]+|[{SPACES}]+$")
_RUN = re.compile(f"[{SPACES}]+")
_SOFT = re.compile("[\u200b\u00ad]")


def strip(text: str) -> str:
    """Return the text without white space at its ends."""
    return _EDGES.sub("", text)


def collapse(text: str) -> str:
    """Return the text without soft hyphens and zero-width spaces, each run of white space one space, none at the ends."""
    if "\u200b" in text or "\u00ad" in text:
        text = _SOFT.sub("", text)
    return _RUN.sub(" ", text).strip(" ")
