"""Claiming a run's folder: for a recipe that starts there, or the one that made what is in it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orbiter import jsonl
from orbiter.convert import unstructure
from orbiter.errors import ConfigError, LedgerWarning
from orbiter.flywheel.provenance import provenance
from orbiter.flywheel.recipe import Recipe
from orbiter.flywheel.recipe_file import dump_recipe
from orbiter.ledger import Ledger
from orbiter.verify.verifier import Verifier

MAY_CHANGE = ("rounds", "verify", "gates", "exports", "description", "inputs")
"""Fields of a recipe that may differ when a run is gone on with: none of them changes what is durable already. What an input is put
into is compared in its place."""

SERVER = "openai"
"""The part, of several kinds, that asks a server."""

REACHED_BY = (
    "base_url",
    "api_key_env",
    "concurrency",
    "timeout_s",
    "deadline_s",
    "retries",
    "retry_wait_s",
)
"""Options that say how a server is reached, and not what it is asked: they may differ too."""


def claim_folder(ledger: Ledger, recipe: Recipe, verifier: Verifier, *, base_dir: Path) -> None:
    """Save the recipe with the run, or check that it is the one that made the run.

    Raises:
        ConfigError: Another recipe made what is in the folder.
    """
    for draft in ledger.path.rglob(".*.tmp"):
        draft.unlink()  # what a killed process was writing; the lock says that nobody writes it now
    started, now = ledger.last_event("run_started"), provenance(recipe, verifier, base_dir=base_dir)
    if started is not None:
        _compare(ledger, recipe, started)
        _note_changes(ledger, now)
    else:
        ledger.add_event(
            "run_started",
            name=recipe.name,
            base_dir=str(base_dir.resolve()),
            recipe=unstructure(recipe),
            provenance=now,
        )
    with jsonl.replace_file(ledger.path / "recipe.yaml") as file:
        file.write(dump_recipe(recipe).encode())


def _note_changes(ledger: Ledger, now: Mapping[str, Any]) -> None:
    """Record and tell when other code or other files than before go on with the run: its rows are then not all of one making."""
    before = ledger.last_event("provenance_changed") or ledger.last_event("run_started")
    found, present = _by_name((before or {}).get("provenance") or {}), _by_name(now)
    changed = sorted(
        name for name in found.keys() | present.keys() if found.get(name) != present.get(name)
    )
    if not changed:
        return
    ledger.add_event("provenance_changed", changed=changed, provenance=now)
    warnings.warn(
        f"run {str(ledger.path)!r} goes on with other code or files than it began with: {', '.join(changed)} changed",
        LedgerWarning,
        stacklevel=2,
    )


def _by_name(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what results come from by name, each file of the recipe by its own."""
    files = provenance.get("files") or {}
    others = {name: value for name, value in provenance.items() if name != "files"}
    return others | {f"file {name}": digest for name, digest in files.items()}


def _compare(ledger: Ledger, recipe: Recipe, started: Mapping[str, Any]) -> None:
    before = _unchangeable(started.get("recipe") or {})
    now = _unchangeable(unstructure(recipe))
    differing = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
    if differing:
        place, was, wanted = _first_difference(before, now, "")
        written = ("dataset_written", "checkpoint_written")
        made = any(event["event"] in written for event in ledger.events()) or any(ledger.attempts())
        way_out = "restore the recipe" if made else "delete the folder: nothing was made there yet"
        raise ConfigError(
            f"run {str(ledger.path)!r} was made by another recipe: {', '.join(differing)} differs; "
            f"{place} was {was!r}, now {wanted!r}",
            hint=f"choose another name with name=..., or {way_out}",
        )


def _first_difference(before: Any, now: Any, place: str) -> tuple[str, Any, Any]:
    """Return the field in which two recipes first differ, and both values of it."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted(before.keys() | now.keys()):
            was, wanted = before.get(key), now.get(key)
            if was != wanted:
                return _first_difference(was, wanted, f"{place}.{key}" if place else key)
    return place, before, now


def _unchangeable(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a recipe must say still when its run is gone on with: of the stages all but their gates, and of the last its rounds."""
    kept = {key: _asked(value) for key, value in recipe.items() if key not in MAY_CHANGE}
    stages = {
        name: {key: value for key, value in stage.items() if key != "gates"}
        for name, stage in (kept.get("stages") or {}).items()
    }
    if stages:
        stages[list(stages)[-1]].pop("rounds", None)
        # Two mappings are equal in any order, and two graphs are not.
        kept |= {"stages": stages, "stage order": list(stages)}
    return kept


def _asked(part: Any) -> Any:
    """Return a part of a recipe without what only says how servers are reached."""
    if isinstance(part, Mapping):
        left_out = REACHED_BY if str(part.get("name")).rpartition("/")[2] == SERVER else ()
        return {key: _asked(value) for key, value in part.items() if key not in left_out}
    return [_asked(one) for one in part] if isinstance(part, list | tuple) else part
