"""TemplateSynthesiser: texts from templates and the values of their variables."""

from __future__ import annotations

import math
import random
import string
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError, OrbiterWarning, did_you_mean
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.tasks.streams import item_stream


class TemplateSynthesiser(DataSynthesiser):
    """Fills templates with values; each item is a text, and no two are equal.

        synthesiser = TemplateSynthesiser(
            templates=["Explain {concept} to a {person}"],
            variables={"concept": ["recursion", "entropy"], "person": ["child", "plumber"]},
        )
        items = await synthesiser.generate(count=3)

    A template holds ``{name}`` for a variable and ``{{`` for a brace. Nothing else is understood: no attribute, index or
    format is looked up, so a template cannot reach into a value. When ``count`` is at least the number of combinations, they
    are all given, in order; otherwise ``count`` of them are drawn with the seed, each as likely as any other.

    Args:
        templates: The texts to fill.
        variables: For each variable its values: texts, or numbers.
        seed: Seed of the draw.
        shortfall: (attribute) By how many items the last ``generate`` fell short of its count.

    Raises:
        ConfigError: A template is malformed or names an unknown variable, or a variable has no values.
    """

    def __init__(
        self, templates: Sequence[str], variables: Mapping[str, Sequence[Any]], *, seed: int = 0
    ) -> None:
        if isinstance(templates, str) or not templates:
            raise ConfigError(f"templates must be a list of texts, got {templates!r}")
        self.templates = tuple(templates)
        self.variables = {name: _values(name, values) for name, values in variables.items()}
        self.seed = seed
        self.shortfall = 0
        self._parts = [_parse(template, self.variables) for template in self.templates]
        self._sizes = [
            math.prod(len(self.variables[name]) for name in _names(parts)) for parts in self._parts
        ]
        unused = set(self.variables) - {
            name for parts in self._parts for _, name in parts if name is not None
        }
        if unused:
            warnings.warn(
                f"no template uses the variables {', '.join(sorted(unused))}",
                OrbiterWarning,
                stacklevel=2,
            )

    @property
    def combination_count(self) -> int:
        """How many ways there are to fill the templates; two of them may give the same text."""
        return sum(self._sizes)

    async def generate(self, count: int) -> list[str]:
        """Return ``count`` different texts, or all there are, with a warning, if they are fewer."""
        check_whole_number("count", count, low=0)
        texts = list(self.combinations() if count >= self.combination_count else self._draw(count))
        self.shortfall = count - len(texts)
        if self.shortfall:
            warnings.warn(
                f"the templates give {len(texts)} different items, {self.shortfall} fewer than "
                f"the {count} asked for",
                OrbiterWarning,
                stacklevel=2,
            )
        return texts

    def combinations(self) -> Iterator[str]:
        """Yield every different text, in order of templates and values."""
        return _different(self._text(number) for number in range(self.combination_count))

    def _draw(self, count: int) -> list[str]:
        # Two combinations may give one text, so more are drawn until there are enough texts, or no more combinations.
        drawn = count
        while True:
            stream = item_stream(self.seed, "templates")
            numbers = _sample(stream, self.combination_count, drawn)
            texts = list(_different(self._text(number) for number in numbers))
            if len(texts) >= count or drawn == self.combination_count:
                return texts[:count]
            drawn = min(2 * drawn, self.combination_count)

    def _text(self, number: int) -> str:
        """Return combination ``number``: the variable that a template names last changes fastest."""
        which = 0
        while number >= self._sizes[which]:
            number -= self._sizes[which]
            which += 1
        parts = self._parts[which]
        chosen: dict[str, str] = {}
        for name in reversed(_names(parts)):
            values = self.variables[name]
            number, index = divmod(number, len(values))
            chosen[name] = values[index]
        return "".join(
            literal + (chosen[name] if name is not None else "") for literal, name in parts
        )


def _sample(stream: random.Random, size: int, count: int) -> Iterable[int]:
    """Return ``count`` different numbers below ``size``."""
    if size <= sys.maxsize:
        return stream.sample(range(size), count)
    # A range of this length has no len(), and repeats are all but impossible.
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn[stream.randrange(size)] = None
    return drawn


def _values(name: str, values: Sequence[Any]) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ConfigError(f"variable {name!r} must be a list of values, got {values!r}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ConfigError(
                f"values of variable {name!r} must be texts or numbers, got {value!r}"
            )
    return tuple(_different(str(value) for value in values))


def _parse(template: str, variables: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """Return the template as pairs of a literal text and the variable that follows it, if any."""
    if not isinstance(template, str):
        raise ConfigError(f"a template must be a text, got {template!r}")
    try:
        fields = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(
            f"template {template!r} is malformed: {error}", hint="write {{ and }} for braces"
        ) from None
    for _, name, spec, conversion in fields:
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ConfigError(
                f"template {template!r} must hold plain names in braces, got "
                f"{{{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}",
                hint="write {{ and }} for braces",
            )
        if name not in variables:
            raise ConfigError(
                f"template {template!r} has an unknown variable {name!r}{did_you_mean(name, variables)}",
                hint=f"known: {', '.join(sorted(variables)) or 'none'}",
            )
    return [(literal, name) for literal, name, _, _ in fields]


def _names(parts: Iterable[tuple[str, str | None]]) -> list[str]:
    return list(dict.fromkeys(name for _, name in parts if name is not None))


def _different(texts: Iterable[str]) -> Iterator[str]:
    return iter(dict.fromkeys(texts))
