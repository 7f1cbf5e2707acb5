"""A constitution: principles in words, each with a weight, read from YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

from orbiter.checks import check_number
from orbiter.convert import show
from orbiter.errors import ConfigError
from orbiter.tasks.streams import item_stream

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_DEFAULT = Path(__file__).with_name("constitution.yaml")


@frozen
class Principle:
    """One principle.

    Args:
        name: What records call it.
        text: What it says.
        weight: How often it is drawn, beside the others; > 0.
    """

    name: str
    text: str
    weight: float = 1.0


@frozen
class Constitution:
    """Principles to criticise answers by.

        Constitution.read("constitution.yaml").draw(7, "task 3")

    Args:
        principles: At least one, with names of their own.
    """

    principles: tuple[Principle, ...]

    def draw(self, *key: str | int) -> Principle:
        """Return a principle for the item that ``key`` names, by weight; the same key draws the same one."""
        weights = [principle.weight for principle in self.principles]
        return item_stream("constitution", *key).choices(self.principles, weights)[0]

    @classmethod
    def read(cls, path: str | Path) -> Constitution:
        """Return the constitution in a YAML file: ``principles``, by name a text, or ``{text: ..., weight: ...}``.

        Raises:
            ConfigError: The file cannot be read, or says something else; names the file and the principle.
        """
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise ConfigError(
                f"constitution {str(path)!r} cannot be read: {why}",
                hint="give the path of a YAML file with a section principles",
            ) from None
        if not isinstance(data, Mapping) or data.keys() != {"principles"}:
            raise ConfigError(
                f"constitution {str(path)!r} must have the section principles and no other, got {show(data)}"
            )
        given = data["principles"]
        if not isinstance(given, Mapping) or not given:
            raise ConfigError(
                f"principles of {str(path)!r} must be names with a text each, got {show(given)}"
            )
        return cls(tuple(_principle(name, value, path) for name, value in given.items()))

    @staticmethod
    @cache
    def default() -> Constitution:
        """Return the one that comes with orbiter: helpfulness, honesty, harmlessness, calibrated refusal."""
        return Constitution.read(_DEFAULT)


def _principle(name: Any, value: Any, path: str | Path) -> Principle:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"name of a principle in {str(path)!r} must be a letter, then letters, digits, '_' and '-', got {show(name)}"
        )
    fields = {"text": value} if isinstance(value, str) else value
    if not isinstance(fields, Mapping) or not {"text"} <= fields.keys() <= {"text", "weight"}:
        raise ConfigError(
            f"principle {name!r} in {str(path)!r} must be a text, or text and weight, got {show(value)}"
        )
    text: Any = fields["text"]
    weight: Any = fields.get("weight", 1.0)
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(
            f"text of principle {name!r} in {str(path)!r} must be a text, got {show(text)}"
        )
    check_number(f"weight of principle {name!r} in {str(path)!r}", weight, "(0, inf)")
    return Principle(name, " ".join(text.split()), weight)
