"""Packages whose names are imported when they are first used (PEP 562).

The names stand twice in such a package, because a type checker reads imports alone; a test holds the two together.

    if TYPE_CHECKING:
        from orbiter.flywheel.recipe import Recipe as Recipe

    HOMES = homes({"orbiter.flywheel.recipe": "Recipe"})
    __all__ = sorted(HOMES)

    if not TYPE_CHECKING:  # a checker that sees __getattr__ takes any name for good
        __getattr__, __dir__ = lazy_names(__name__, HOMES)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def homes(names: Mapping[str, str]) -> dict[str, str]:
    """Return name to module, from module to its names, which are parted by spaces."""
    return {name: module for module, listed in names.items() for name in listed.split()}


def lazy_names(
    package: str, names: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package that imports its names on first use.

    Args:
        package: The package's ``__name__``.
        names: Name to the module that it lives in.
    """

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(names[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *names})
