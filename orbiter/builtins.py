"""The built-in names, arriving through the same hook as a plugin's."""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry

NAMES: dict[str, dict[str, str]] = {
    "environment": {
        "sorting": "orbiter.tasks.sorting:Sorting",
    },
    "verifier": {
        "exact": "orbiter.verify.exact:ExactVerifier",
    },
    "policy": {
        "scripted": "orbiter.generate.scripted:ScriptedPolicy",
    },
    "exporter": {},
}
"""Kind to name to ``module:attr``."""


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add every built-in name."""
    for kind, names in NAMES.items():
        for name, target in names.items():
            registry.add(kind, name, target)
