"""Make a verifier from what a recipe says of it."""

from __future__ import annotations

from pathlib import Path

from orbiter.tasks.component import make_component
from orbiter.verify.verifier import Verifier


def make_verifier(given: object, *, base_dir: Path | None = None) -> Verifier:
    """Return ``given`` if it is a verifier already, or the one that it names; see :func:`orbiter.tasks.component.make_component`."""
    return make_component("verifier", given, Verifier, base_dir=base_dir)  # type: ignore[type-abstract]
