"""Wrong answers made by program from right ones, in the six kinds that people name when they compare answers."""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import regex
from attrs import frozen

from orbiter.generate.scripted import corrupted


class NegativeKind(enum.StrEnum):
    """What is wrong with a rejected answer."""

    REFUSAL = "refusal"
    """It declines what the chosen answer does."""
    WRONG = "wrong"
    """It states what is not so."""
    OFF_TOPIC = "off_topic"
    """It answers another question."""
    FORMAT = "format"
    """It is not in the form that was asked for."""
    VERBOSE = "verbose"
    """It says much more than the chosen answer needs."""
    TERSE = "terse"
    """It leaves out most of what the chosen answer explains."""


@frozen(kw_only=True)
class Right:
    """A right answer, and what is known around it.

    Args:
        prompt: What was asked.
        answer: The right answer.
        others: Right answers to other tasks.
    """

    prompt: str
    answer: str
    others: Sequence[str] = ()


_TRIES = 8
"""How often the ways of a kind are drawn anew for a text that is not to be avoided."""


def corruption(
    kind: NegativeKind, right: Right, stream: Random, *, avoid: Collection[str] = ()
) -> tuple[str, str] | None:
    """Return a text that is wrong in the named way and how it was made, or None where no program can make one.

    It is neither the right answer nor one of ``avoid``; whether it is wrong is for a verifier to say.
    """
    taken = {right.answer.strip(), "", *avoid}
    for _ in range(_TRIES):
        ways = list(_WAYS[kind](right, stream))
        stream.shuffle(ways)
        for text, how in ways:
            if text.strip() not in taken:
                return text, how
    return None


_LAYOUTS: tuple[dict[str, Any], ...] = tuple(
    {"ensure_ascii": ascii_alone, "indent": indent, "separators": separators}
    for indent, separators in ((None, None), (None, (",", ":")), (2, None), (4, None))
    for ascii_alone in (False, True)
)
"""How JSON is written, as options of ``json.dumps``."""

_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_DAY = re.compile(r"\b\d{4}-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])\b")
_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_UNITS = (
    ("km", "miles"), ("metres", "feet"), ("meters", "feet"), ("cm", "inches"), ("kg", "pounds"), ("grams", "ounces"),
    ("litres", "gallons"), ("liters", "gallons"), ("hours", "minutes"), ("minutes", "seconds"), ("days", "weeks"),
    ("weeks", "months"), ("months", "years"), ("°C", "°F"), ("dollars", "cents"), ("million", "billion"), ("percent", "per mille"),
)  # fmt: skip
_SWAPS = {one: other for pair in _UNITS for one, other in (pair, pair[::-1])}
_UNIT = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(_SWAPS, key=len)[::-1]))})(?!\w)")
_OPPOSITES = {"true": "false", "yes": "no", "always": "never", "before": "after", "more": "less"}
_OPPOSITES |= {other: one for one, other in _OPPOSITES.items()}
_OPPOSITE = re.compile(rf"\b(?:{'|'.join(_OPPOSITES)})\b", re.IGNORECASE)
_CLAIM = re.compile(r"\b(?:is|are|was|were|can|will|does|did|has|have|should)\b(?! not\b)")
_DENIAL = re.compile(r"(?<=\w) not\b|\b(?:ca|wo|sha|ai)n['’]t\b|\bcannot\b|n['’]t\b", re.IGNORECASE)
_AFFIRMED = {"can't": "can", "won't": "will", "shan't": "shall", "ain't": "is", "cannot": "can"}
_NAME = regex.compile(r"(?<!\w)\p{Lu}\p{Ll}{2,}(?: \p{Lu}\p{Ll}{2,})*(?!\w)")
_AMID = regex.compile(r"[\p{Ll},;:] ")
"""What stands before a name, and not at the beginning of a sentence, where any word has a capital."""
_MARKER = re.compile(r"^[ \t]*\d+[.)](?=[ \t])", re.MULTILINE)


def _wrong(right: Right, stream: Random) -> Iterator[tuple[str, str]]:
    """Another number, date, unit or name, the opposite claim; or one character. Of JSON one value, and no key."""
    text = right.answer
    if isinstance(value := _json(text), dict | list):
        yield from _other_value(right, value, stream)
    else:
        claims = list(_claims(right, stream))
        yield from claims or [(corrupted(text, stream), "another character")]


def _claims(right: Right, stream: Random) -> Iterator[tuple[str, str]]:
    text = right.answer
    dates = [*_DAY.finditer(text), *_YEAR.finditer(text)]
    markers = list(_MARKER.finditer(text))
    # The number of an item in a list states nothing.
    apart = {n for m in (*dates, *(markers if len(markers) > 1 else ())) for n in range(*m.span())}
    if numbers := [number for number in _NUMBER.finditer(text) if number.start() not in apart]:
        last = numbers[-1]  # where there are several, the last is most often the result
        yield _put(text, last, _other_number(last[0], stream)), "another number"
    if dates:
        place = stream.choice(dates)
        yield _put(text, place, _other_number(place[0], stream, at=-1)), "another date"
    if months := [m for m in _NAME.finditer(text) if m[0] in _MONTHS]:
        place = stream.choice(months)
        month = stream.choice([m for m in _MONTHS if m != place[0]])
        yield _put(text, place, month), "another date"
    if units := list(_UNIT.finditer(text)):
        place = stream.choice(units)
        yield _put(text, place, _SWAPS[place[0]]), "another unit"
    known = sorted({name[0] for other in right.others for name in _names(other)})
    if (said := _names(text)) and (names := [name for name in known if name not in text]):
        yield _put(text, stream.choice(said), stream.choice(names)), "another name"
    if words := list(_OPPOSITE.finditer(text)):
        place = stream.choice(words)
        yield _put(text, place, _like(place[0], _OPPOSITES[place[0].casefold()])), "opposite"
    if denials := list(_DENIAL.finditer(text)):
        place = stream.choice(denials)
        affirmed = _AFFIRMED.get(place[0].casefold().replace("’", "'"), "")
        yield _put(text, place, _like(place[0], affirmed)), "negated claim"
    elif claims := list(_CLAIM.finditer(text)):
        place = stream.choice(claims)
        yield _put(text, place, f"{place[0]} not"), "negated claim"


def _names(text: str) -> list[re.Match[str]]:
    """Return the names in a text: words with capitals amid a sentence, or as the whole text; no months."""
    whole = text.strip(" .")
    return [
        name
        for name in _NAME.finditer(text)
        if name[0] not in _MONTHS
        if name[0] == whole or _AMID.fullmatch(text, max(0, name.start() - 2), name.start())
    ]


def _like(was: str, word: str) -> str:
    """Return a word with a capital where the one before it had one."""
    return word.capitalize() if was[0].isupper() else word


def _json(text: str) -> object:
    """Return the JSON value that a text is; None too if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _other_value(
    right: Right, value: dict[str, Any] | list[Any], stream: Random
) -> Iterator[tuple[str, str]]:
    """JSON of the same shape and layout, with one value that is another of its sort."""
    places: list[tuple[Any, Any]] = []
    parts: list[Any] = [value]
    while parts:
        part = parts.pop()
        for key, inner in part.items() if isinstance(part, dict) else enumerate(part):
            if isinstance(inner, dict | list):
                parts.append(inner)
            elif inner is not None and not (isinstance(inner, float) and not math.isfinite(inner)):
                places.append((part, key))
    if not places:
        return
    part, key = stream.choice(places)
    was = part[key]
    layout = next((o for o in _LAYOUTS if json.dumps(value, **o) == right.answer.strip()), {})
    if isinstance(was, bool):
        made: Iterable[tuple[object, str]] = [(not was, "opposite")]
    elif isinstance(was, str):
        made = _wrong(Right(prompt=right.prompt, answer=was, others=right.others), stream)
    else:
        other = _json(_other_number(json.dumps(was), stream))
        made = [(other, "another number")] if other not in (None, was) else []
    for new, how in made:
        part[key] = new
        yield json.dumps(value, **layout), how


def _put(text: str, place: re.Match[str], new: str) -> str:
    return text[: place.start()] + new + text[place.end() :]


def _other_number(number: str, stream: Random, at: int | None = None) -> str:
    """Return the number with another digit in one place, or with two neighbours in each other's place."""
    places = [i for i, char in enumerate(number) if char.isdigit()]
    swaps = [i for i in places if number[i + 1 : i + 2].isdigit() and number[i] != number[i + 1]]
    if at is None and swaps and stream.random() < 0.5:
        i = stream.choice(swaps)
        return number[:i] + number[i + 1] + number[i] + number[i + 2 :]
    i = stream.choice(places) if at is None else places[at]
    digit = stream.choice([d for d in "123456789" if d != number[i]])
    return number[:i] + digit + number[i + 1 :]


_OPENINGS = (
    "I'm sorry, but I can't", "I cannot", "Unfortunately, I am not able to", "As an AI language model, I am unable to",
    "I'm afraid I can't", "I must decline to", "I won't", "Sorry, I can't", "I apologize, but I am not able to",
    "We are not able to",
)  # fmt: skip
_DECLINED = (
    "help with that.", "help with this request.", "answer this question.", "provide an answer to that.", "assist with this.",
    "help with this kind of task.",
)  # fmt: skip
_EXCUSES = (
    "", " It may be harmful if I am wrong.", " Please consult a professional instead.", " I hope you understand.",
    " Is there anything else you would like to talk about?", " There are many opinions about this, and none is mine to give.",
)  # fmt: skip


def _refusal(right: Right, stream: Random) -> Iterator[tuple[str, str]]:  # noqa: ARG001
    """A refusal of what is harmless, in one of several hundred wordings."""
    words = (stream.choice(_OPENINGS), stream.choice(_DECLINED))
    yield " ".join(words) + stream.choice(_EXCUSES), "refusal"


def _off_topic(right: Right, stream: Random) -> Iterator[tuple[str, str]]:
    """The right answer to another task."""
    others = [text for text in right.others if text.casefold() != right.answer.casefold()]
    if others:
        yield stream.choice(others), "another task's answer"


_MARKS = (
    (re.compile(r"^#### *", re.MULTILINE), ""),
    (re.compile(r"\\boxed\{([^{}]*)\}"), r"\1"),
    (re.compile(r"</(?:answer|think|final)>"), ""),
    (re.compile(r"^```\w*\n|^```$", re.MULTILINE), ""),
    (re.compile(r"^(?:\d+[.)]|[-*]) +", re.MULTILINE), ""),
)
"""Marks that tasks ask for, and what is left without them."""


def _format(right: Right, stream: Random) -> Iterator[tuple[str, str]]:  # noqa: ARG001
    """The same content in broken JSON, without the marks of the task, or in a form that nobody asked for."""
    text = right.answer
    value = _json(text)
    if isinstance(value, dict | list):
        yield text.rstrip()[:-1], "JSON that is not closed"
        yield text.replace('"', "'"), "JSON with single quotes"
        if isinstance(value, dict) and value:
            renamed = {f"{key}_": item for key, item in value.items()}
            yield json.dumps(renamed, ensure_ascii=False), "JSON with other keys"
        yield f"Here is the JSON:\n{text}", "JSON inside prose"
        return
    unmarked = [pattern.sub(left, text) for pattern, left in _MARKS if pattern.search(text)]
    for made in unmarked:
        yield made, "without the marks of the format"
    if not unmarked:
        yield json.dumps({"answer": text}, ensure_ascii=False), "JSON that nobody asked for"
        yield f"<response>{text}</response>", "markup that nobody asked for"
        yield f"| answer |\n|---|\n| {' '.join(text.split())} |", "a table that nobody asked for"


_FILLERS = (
    "That is a great question, and there is a lot to say about it.",
    "Before we come to it, let us look at what is being asked.",
    "To put it in other words, and to be as clear as possible:",
    "It is worth saying this once more, since it matters.",
    "There are several ways to look at this, all of which lead to the same place.",
    "In short, and to sum up what was said above:",
    "As I have already mentioned, the following holds.",
    "I hope that this explanation, long as it is, has been useful.",
)


def _verbose(right: Right, stream: Random) -> Iterator[tuple[str, str]]:
    """The right answer among repetitions of itself and of the question, at least three times as long."""
    asked = f'The question was: "{" ".join(right.prompt.split())}"'
    parts = [stream.choice(_FILLERS[:3]), asked, right.answer]
    while len(" ".join(parts)) < max(3 * len(right.answer), 240):
        parts += [stream.choice(_FILLERS), right.answer]
    parts.append(_FILLERS[-1])
    yield "\n".join(parts), "padded with repetition"


def _terse(right: Right, stream: Random) -> Iterator[tuple[str, str]]:  # noqa: ARG001
    """The result without the explanation, or a first part alone."""
    text = right.answer.strip()
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and len(lines[-1]) * 2 <= len(text):
        yield lines[-1], "the last line alone"
    sentences = re.split(r"(?<=[.!?])\s+", text)
    if len(sentences) > 1 and len(sentences[0]) * 2 <= len(text):
        yield sentences[0], "the first sentence alone"
    if len(words := text.split()) >= 4:
        yield " ".join(words[: len(words) // 3]), "cut short"
    elif len(text) > 1:
        yield text[: len(text) // 2], "cut short"


_WAYS: Mapping[NegativeKind, Callable[[Right, Random], Iterator[tuple[str, str]]]] = {
    NegativeKind.REFUSAL: _refusal,
    NegativeKind.WRONG: _wrong,
    NegativeKind.OFF_TOPIC: _off_topic,
    NegativeKind.FORMAT: _format,
    NegativeKind.VERBOSE: _verbose,
    NegativeKind.TERSE: _terse,
}
