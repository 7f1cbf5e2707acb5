"""A component on the command line: its name, and its options as ``key=value`` behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def component_spec(name: str, options: Sequence[str], *, what: str) -> dict[str, Any]:
    """Return ``{"name": ..., **options}``; values are read as YAML, as in a recipe.

    Args:
        name: Registered name, or ``file.py:Class`` relative to the current folder.
        options: Texts like ``length=5``.
        what: What the component is, for the error text.

    Raises:
        ConfigError: An option is malformed or given twice.
    """
    from orbiter.convert import show
    from orbiter.errors import ConfigError, RecordError
    from orbiter.plain_yaml import read_plain_yaml

    spec: dict[str, Any] = {"name": name}
    for item in options:
        key, sign, text = item.partition("=")
        if not sign or not key.isidentifier() or key == "name":
            hint = "examples: length=5  case=false  path=tasks.jsonl"
            section, dot, field = key.partition(".")
            if sign and dot:
                hint = f"what is inside another is written with it: {section}='{{{field}: {text}}}'"
            raise ConfigError(
                f"option of the {what} must look like key=value, got {item!r}", hint=hint
            )
        if key in spec:
            raise ConfigError(f"option {key!r} of the {what} is given twice")
        try:
            _, spec[key] = read_plain_yaml(text)
        except RecordError as error:
            raise ConfigError(
                f"value of the option {show(item)} {error.problem}", hint=error.hint
            ) from None
    return spec
