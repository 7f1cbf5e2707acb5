"""The hooks: how names arrive and how a run is watched.

A plugin is an installed distribution with an entry point in the group ``orbiter`` that names a module. Its functions marked
with :data:`orbiter.hookimpl` are called here. A plugin may add names and watch; it never changes the data or the
gradient of a run.

    # my_plugin.py; pyproject.toml: [project.entry-points.orbiter]  my-plugin = "my_plugin"
    from orbiter import hookimpl

    @hookimpl
    def orbiter_register(registry):
        registry.add("verifier", "shouting", "my_plugin.shouting:ShoutingVerifier")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy
from attrs import field, frozen

from orbiter.records import Trajectory, Verdict

if TYPE_CHECKING:
    from orbiter.registry import Registry

hookspec = pluggy.HookspecMarker("orbiter")


@frozen
class StateEvent:
    """A state machine moved: ``subject`` (a trainer, a pipeline, a run) went from ``old`` to ``new``."""

    subject: str
    old: str
    new: str
    cause: str | None = None


@frozen
class RoundEvent:
    """A round of a run ended; ``summary`` is the row of rounds.jsonl."""

    run: str
    round: int
    summary: Mapping[str, Any] = field(factory=dict)


@frozen
class VerdictsEvent:
    """A batch of attempts was judged and is durable in the ledger."""

    run: str
    round: int
    trajectories: tuple[Trajectory, ...]
    verdicts: tuple[Verdict, ...]


@frozen
class MetricsEvent:
    """A trainer logged metrics at a step."""

    run: str
    step: int
    metrics: Mapping[str, float]


@hookspec(historic=True)
def orbiter_register(registry: Registry) -> None:
    """Add names to the registry. Called once, before the first look-up."""


@hookspec(firstresult=True)
def orbiter_load_records(source: str) -> Iterable[Trajectory] | None:
    """Return the trajectories behind ``source`` (a path or an address), or None if it is not yours.

    Called for sources that are not JSONL files; the first plugin that returns something wins.
    """


@hookspec
def orbiter_on_state(event: StateEvent) -> None:
    """A trainer, pipeline or run changed its state."""


@hookspec
def orbiter_on_round(event: RoundEvent) -> None:
    """A round of a run ended."""


@hookspec
def orbiter_on_verdicts(event: VerdictsEvent) -> None:
    """A batch of attempts was judged."""


@hookspec
def orbiter_on_metrics(event: MetricsEvent) -> None:
    """A trainer logged metrics."""
