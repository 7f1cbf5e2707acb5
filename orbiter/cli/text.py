"""Text of models and of files on a terminal: never as it is, since it could move the cursor or recolour the screen."""

from __future__ import annotations


def printable(text: str, *, limit: int = 500) -> str:
    """Return ``text`` with control characters shown as escapes, cut to ``limit`` characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def one_line(text: str) -> str:
    """Return ``text`` as one printable line: what stood on several is joined by spaces."""
    return printable(" ".join(text.split()), limit=2_000)
