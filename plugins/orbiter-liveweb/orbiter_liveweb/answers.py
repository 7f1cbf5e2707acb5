"""Answers: one per question, how several are written in one text, and when one is right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,30})(?:\.[0-9]{1,30})?")
_LINE = re.compile(r"\s*([0-9]{1,3})[.):]\s*(.*?)\s*")


def numbered(texts: Sequence[str]) -> str:
    """Return questions, or their answers, as one text: alone as it is, several numbered, a line each."""
    if len(texts) == 1:
        return texts[0]
    return "\n".join(f"{n}. {text}" for n, text in enumerate(texts, start=1))


def read_answers(text: str, count: int) -> list[str] | None:
    """Return the ``count`` answers of a text, or None unless it gives each of them exactly once, in order, and nothing else."""
    if count == 1:
        return [text.strip()]
    lines = [line for line in text.splitlines() if line.strip()]
    matches = [_LINE.fullmatch(line) for line in lines]
    if [match[1] if match else None for match in matches] != [str(n + 1) for n in range(count)]:
        return None
    return [match[2] for match in matches if match]


def is_same(given: str, truth: str, *, unit: str = "") -> bool:
    """Return whether an answer is the right one.

    Numbers are compared by value, exactly; their unit may be left out. Texts are compared without regard to case and white
    space.

    Args:
        given: The answer.
        truth: The right answer.
        unit: What may stand behind a number.
    """
    given, truth = (" ".join(text.split()).rstrip(".").casefold() for text in (given, truth))
    numbers = [_number(text, unit.casefold()) for text in (given, truth)]
    if None not in numbers:
        return numbers[0] == numbers[1]
    return given == truth


def _number(text: str, unit: str) -> Decimal | None:
    if unit and text.endswith(unit):
        text = text[: -len(unit)].rstrip()
    return Decimal(text.replace(",", "")) if _NUMBER.fullmatch(text) else None
