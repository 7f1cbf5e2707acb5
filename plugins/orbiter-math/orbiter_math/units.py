"""Units of measurement after a number: which ones are the same, and by what factor others differ.

A unit that is not known here ("apples", "square units") says nothing about the value and is left out.
"""

from __future__ import annotations

import re
from fractions import Fraction

from attrs import frozen

from orbiter_math.tokens import HEDGE, NAMES

_TABLE: dict[str, dict[str, Fraction | int]] = {
    "length": {
        "mm millimeter millimetre": Fraction(1, 1000),
        "cm centimeter centimetre": Fraction(1, 100),
        "m meter metre": 1,
        "km kilometer kilometre": 1000,
        "in inch inche": Fraction(254, 10_000),
        "ft foot feet": Fraction(3048, 10_000),
        "yd yard": Fraction(9144, 10_000),
        "mi mile": Fraction(1_609_344, 1000),
    },
    "mass": {
        "mg milligram": Fraction(1, 1000),
        "g gram": 1,
        "kg kilogram": 1000,
        "oz ounce": Fraction(28_349_523_125, 10**9),
        "lb pound": Fraction(45_359_237, 10**5),
    },
    "time": {
        "s sec second": 1,
        "min minute": 60,
        "h hr hour": 3600,
        "day": 86_400,
        "week": 604_800,
    },
    "length^3": {
        "ml milliliter millilitre": Fraction(1, 10**6),
        "l liter litre": Fraction(1, 1000),
    },
    "money": {"cent": Fraction(1, 100), "dollar usd": 1},
    "angle": {"degree deg": 1},
    "morning": {"am": 1},
    "afternoon": {"pm": 1},
}
_UNITS = {
    name: (dimension.partition("^")[0], int(dimension.partition("^")[2] or 1), Fraction(factor))
    for dimension, units in _TABLE.items()
    for names, factor in units.items()
    for name in names.split()
}
_SHORT = {"mph": "mile per hour", "kph": "km per hour", "kmh": "km per hour"}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER = re.compile(
    r"(?P<value>.*[0-9)}\]%])\s*"
    r"(?:(?:\\text\{(?P<text>[^{}]*)\}|(?<=\s)(?P<words>[A-Za-z][A-Za-z.'/ -]*))(?:\^(?:([23])|\{([23])\}))?"
    r"|(?P<short>[mck]m|kg|ft)(?:\^([23]))?)",
    re.DOTALL,
)
_PRIMES = re.compile(
    r"(?P<value>[-+]?[0-9][0-9.,]*|\\frac\{[0-9]+\}\{[0-9]+\}) ?(?P<sign>'{1,2}|\")"
)


@frozen
class Unit:
    """A unit of measurement.

    Args:
        dimension: What it measures: ``length^2``.
        factor: How many base units of its dimension it is.
    """

    dimension: str
    factor: Fraction


def split_unit(text: str, *, symbols: bool = False) -> tuple[str, Unit | None]:
    r"""Return a cleaned answer without the unit at its end, and that unit if it is a known one.

    Args:
        text: The answer.
        symbols: Whether letters may be symbols: then ``5 m`` is five times m, and only ``\text{m}`` or a longer word is a unit.
    """
    if primes := _PRIMES.fullmatch(text):
        return primes["value"], _unit("foot" if primes["sign"] == "'" else "inch", 1)
    match = _AFTER.fullmatch(text)
    if match is None:
        return text, None
    words = (match["text"] or match["words"] or match["short"] or "").strip()
    if HEDGE.search(words.casefold()) or not NAMES.isdisjoint(words.split()):
        return text, None
    powers = [int(power) for power in match.group(4, 5, 7) if power]
    unit = _unit(words, powers[0] if powers else 1)
    first = re.split(r"[ .'/-]", words)[0]
    if match["words"] and len(first) < 3 and (unit is None or (symbols and len(first) < 2)):
        return text, None
    return match["value"], unit


def _unit(words: str, power: int) -> Unit | None:
    """Return a unit by its name, or a quotient of two; the power belongs to what is below."""
    said = words.casefold().replace(".", "")
    over = [part.split() for part in re.split(r"\s*/\s*|\s+per\s+", _SHORT.get(said, said))]
    if len(over) == 1:
        return _simple(over[0], power)
    top, bottom = _simple(over[0], 1), _simple(over[-1], power)
    if top is None or bottom is None or len(over) > 2:
        return None
    return Unit(f"{top.dimension}/{bottom.dimension}", top.factor / bottom.factor)


def _simple(names: list[str], power: int) -> Unit | None:
    while names and names[0] in _POWERS:
        power = _POWERS[names.pop(0)]
    if len(names) != 1:
        return None
    known = _UNITS.get(names[0]) or _UNITS.get(names[0].removesuffix("s"))
    if known is None:
        return None
    dimension, exponent, factor = known
    return Unit(f"{dimension}^{exponent * power}", factor**power)
