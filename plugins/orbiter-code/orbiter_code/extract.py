"""The program in an answer: its last fenced block of Python, or the whole of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Read line by line: one expression for a whole block would try, on a long line, every way to divide it.
_OPENING = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*([\w+-]*)")
_PYTHON = ("python", "py", "python3")
_MOST_INDENT = 3
"""By how many spaces the end of a block may lie deeper than its beginning, as in CommonMark; deeper, it is part of the text."""


def program_in(answer: str) -> str:
    """Return the last block marked as Python, or else the last block without a mark, or else the whole answer.

    A block that the answer does not close goes on to its end. Lines lose the indentation of its beginning.
    """
    answer = answer.removeprefix("\ufeff").replace("\r\n", "\n")
    blocks = list(_blocks(answer.split("\n")))
    for marks in (_PYTHON, ("",)):
        found = [text for mark, text in blocks if mark.lower() in marks]
        if found:
            return found[-1]
    return answer


def _blocks(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the mark and the text of each block."""
    opening: re.Match[str] | None = None
    block: list[str] = []
    for line in lines:
        if opening is None:
            opening, block = _opening(line), []
        elif _closes(line, opening):
            yield opening[3], "\n".join([*_dedented(block, opening[1]), ""])
            opening = None
        else:
            block.append(line)
    if opening is not None:
        yield opening[3], "\n".join(_dedented(block, opening[1]))


def _opening(line: str) -> re.Match[str] | None:
    """Return the beginning of a block; what is opened and closed in one line is none."""
    found = _OPENING.match(line)
    return found if found and found[2][0] not in line[found.end() :] else None


def _dedented(block: list[str], indent: str) -> list[str]:
    """Return the lines of a block without the indentation of its beginning, if they share it."""
    shared = all(line.startswith(indent) or not line.strip() for line in block)
    return [line.removeprefix(indent) for line in block] if shared else block


def _closes(line: str, opening: re.Match[str]) -> bool:
    text = line.strip(" \t")
    indent = len(line) - len(line.lstrip(" \t"))
    return (
        text.startswith(opening[2])
        and not text.strip(opening[2][0])
        and indent <= len(opening[1]) + _MOST_INDENT
    )
