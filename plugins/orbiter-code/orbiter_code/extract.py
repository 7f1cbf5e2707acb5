"""The program in an answer: its last fenced block of Python, or the whole of it."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.M | re.S)
_PYTHON = ("python", "py", "python3")


def program_in(answer: str) -> str:
    """Return the last block marked as Python, or else the last block without a mark, or else the whole answer.

    A block that the answer does not close goes on to its end.
    """
    blocks: list[tuple[str, str]] = _FENCE.findall(answer)
    for marks in (_PYTHON, ("",)):
        found = [text for mark, text in blocks if mark.lower() in marks]
        if found:
            return found[-1]
    return answer
