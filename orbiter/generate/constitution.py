"""A constitution: principles in words, each with a weight, read from YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from orbiter.checks import check_number
from orbiter.convert import show
from orbiter.errors import ConfigError, RecordError
from orbiter.plain_yaml import read_plain_yaml
from orbiter.tasks.streams import item_stream

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_DEFAULT = Path(__file__).with_name("constitution.yaml")


@frozen
class Principle:
    """One principle.

    Args:
        name: What records call it: a letter, then letters, digits, ``_`` and ``-``.
        text: What it says.
        weight: How often it is drawn, beside the others; in (0, 1e9].
    """

    name: str
    text: str
    weight: float = 1.0

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"name of a principle must be a letter, then letters, digits, '_' and '-', got {show(self.name)}"
            )
        if not isinstance(self.text, str) or not self.text.strip():
            raise ConfigError(
                f"text of principle {self.name!r} must be a text, got {show(self.text)}"
            )
        check_number(f"weight of principle {self.name!r}", self.weight, "(0, 1e9]")


@frozen
class Constitution:
    """Principles to criticise answers by.

        Constitution.read("constitution.yaml").draw(7, "task 3")

    Args:
        principles: At least one, with names of their own.
    """

    principles: tuple[Principle, ...]
    _bounds: tuple[float, ...] = field(init=False, repr=False, eq=False)
    """Sums of the weights up to each principle."""

    @_bounds.default
    def _(self) -> tuple[float, ...]:
        return tuple(accumulate(principle.weight for principle in self.principles))

    def __attrs_post_init__(self) -> None:
        if not self.principles:
            raise ConfigError("a constitution must have a principle, got none")
        names = [principle.name for principle in self.principles]
        if len(set(names)) < len(names):
            raise ConfigError(f"principles must have names of their own, got {show(names)}")

    def draw(self, *key: str | int) -> Principle:
        """Return a principle for the item that ``key`` names, by weight; the same key draws the same one."""
        stream = item_stream("constitution", *key)
        return stream.choices(self.principles, cum_weights=self._bounds)[0]

    @classmethod
    def read(cls, path: str | Path) -> Constitution:
        """Return the constitution in a YAML file: ``principles``, by name a text, or ``{text: ..., weight: ...}``.

        Raises:
            ConfigError: The file cannot be read, or says something else; names the file and the principle.
        """
        where = f"constitution {str(path)!r}"
        try:
            _, data = read_plain_yaml(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(
                f"{where} cannot be read: {why}",
                hint="give the path of a YAML file with a section principles",
            ) from None
        except RecordError as error:
            line = f" line {error.line}" if error.line else ""
            raise ConfigError(f"{where}{line}: {error.problem}", hint=error.hint) from None
        if not isinstance(data, Mapping) or data.keys() != {"principles"}:
            raise ConfigError(
                f"{where} must have the section principles and no other, got {show(data)}"
            )
        given = data["principles"]
        if not isinstance(given, Mapping) or not given:
            raise ConfigError(
                f"principles of {str(path)!r} must be names with a text each, got {show(given)}"
            )
        try:
            return cls(tuple(_principle(name, value) for name, value in given.items()))
        except ConfigError as error:
            raise error.within(where) from None

    @staticmethod
    @cache
    def default() -> Constitution:
        """Return the one that comes with orbiter: helpfulness, honesty, harmlessness, calibrated refusal."""
        return Constitution.read(_DEFAULT)


def _principle(name: str, value: Any) -> Principle:
    fields: Any = {"text": value} if isinstance(value, str) else value
    if not isinstance(fields, Mapping) or not {"text"} <= fields.keys() <= {"text", "weight"}:
        raise ConfigError(
            f"principle {name!r} must be a text, or text and weight, got {show(value)}"
        )
    made = Principle(name, fields["text"], fields.get("weight", 1.0))
    return attrs.evolve(made, text=" ".join(made.text.split()))
