"""Make a component from what a recipe says of it: a name, or a name with options beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from orbiter.errors import ConfigError
from orbiter.plugin import registry
from orbiter.tasks.environment import Environment

T = TypeVar("T")

Spec = str | Mapping[str, Any]
"""A registered name or ``file.py:Class``, or ``{"name": ..., **options}``."""


def make_component(kind: str, given: object, cls: type[T], *, base_dir: Path | None = None) -> T:
    """Return ``given`` if it is a ``cls`` already, or the component of this kind that it names.

    Args:
        kind: One of the registry's kinds.
        given: A ``cls``, or a Spec.
        cls: The class of the kind.
        base_dir: Folder that a ``file.py`` is relative to; default: that of the component which is being made.

    Raises:
        ConfigError: It is neither; or the component is not a ``cls``.
        UnknownNameError: Nothing has that name.
    """
    if isinstance(given, cls):
        return given
    spec = {"name": given} if isinstance(given, str) else given
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise ConfigError(
            f"{kind} must be a {cls.__name__}, a name, or a name with options beside it, got {given!r}"
        )
    options = {key: value for key, value in spec.items() if key != "name"}
    component = registry().create(kind, spec["name"], options, base_dir=base_dir)
    if not isinstance(component, cls):
        raise ConfigError(f"{kind} {spec['name']!r} must be a {cls.__name__}, got {component!r}")
    return component


def make_environment(given: object) -> Environment:
    """Return ``given`` if it is an environment already, or the one that it names; see :func:`make_component`."""
    return make_component("environment", given, Environment)  # type: ignore[type-abstract]
