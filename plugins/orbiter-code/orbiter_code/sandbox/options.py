"""What a process inside is told when it is started."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orbiter.errors import ConfigError
from orbiter.verify.sandbox import Limits

WARM = (
    "array bisect cmath collections copy dataclasses datetime decimal enum fractions functools heapq itertools json math "
    "numbers operator queue random re statistics string textwrap time typing"
).split()
"""Modules that lie imported in every job; any other of the standard library is imported when a program asks for it."""

_FIRST_USER = 0x6F720000
"""Where root starts them, jobs run as a user from here on: nobody else's, and hardly ever that of another verifier, whose threads
would count for both."""


def inside_options(
    limits: Limits,
    packages: Sequence[str],
    *,
    confined: bool = True,
    namespaces: bool = False,
    alone: bool = False,
) -> dict[str, Any]:
    """Return the arguments of :class:`orbiter_code.inside.options.Options`.

    Args:
        limits: Of the process.
        packages: Installed packages to be importable beside the standard library.
        confined: Whether there is a sandbox at all.
        namespaces: Whether it makes namespaces.
        alone: Whether it is in a user namespace of its own, made by whoever is not root.

    Raises:
        ConfigError: A package is not installed.
    """
    folders = [folder for package in packages for folder in folders_of(package)]
    return {
        "memory": limits.memory_mb << 20,
        "cpu_s": limits.cpu_s,
        "user": _FIRST_USER + secrets.randbelow(1 << 16),
        "confined": confined,
        "namespaces": namespaces,
        "alone": alone,
        "read": [str(folder) for folder in folders],
        "path": sorted({str(folder.parent) for folder in folders}),
        "warm": [*WARM, *packages],
    }


def folders_of(package: str) -> list[Path]:
    """Return the folder of an installed package, or the file of a module, and the libraries that its wheel brought beside it.

    Raises:
        ConfigError: It is not installed.
    """
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"packages must be installed top-level packages, got {package!r}",
            hint=f"pip install {package}",
        )
    origin = Path(spec.origin)
    folder = origin.parent if spec.submodule_search_locations else origin
    libraries = folder.with_name(f"{package}.libs")
    return [folder, libraries] if libraries.is_dir() else [folder]
