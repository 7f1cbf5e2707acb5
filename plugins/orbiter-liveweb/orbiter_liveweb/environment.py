"""Tasks over a cached web, with the ten actions as tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orbiter.records import Task
from orbiter.tasks.environment import Environment
from orbiter_liveweb.browser import CacheBrowser
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.composing import ENV, Composer, task_of
from orbiter_liveweb.session import Session
from orbiter_liveweb.topology import Site
from orbiter_liveweb.verifier import LiveWebVerifier


class LiveWebEnvironment(Environment):
    """Questions about a cached web, one or several to a task.

    The answer of a task stands nowhere in it: the verifier reads it from the pages that were visited.

    Args:
        cache_dir: The cache.
        include_plugins: Sites; see :func:`orbiter_liveweb.sites.topology_of`.
        num_subtasks: Questions per task: a number, or two: the least and the most.
        templates: Templates, by full name or site; None: all.
        split: ``train`` or ``held_out``: only questions about entities of that side; None: all.
        held_out_share: Share of the entities that are held out, in (0, 1).
    """

    name = ENV

    def __init__(
        self,
        *,
        cache_dir: str | Path | Cache,
        include_plugins: Sequence[str | Site] | None = None,
        num_subtasks: int | Sequence[int] = 1,
        templates: Sequence[str] | None = None,
        split: str | None = None,
        held_out_share: float = 0.1,
    ) -> None:
        self._verifier = LiveWebVerifier(cache_dir=cache_dir, include_plugins=include_plugins)
        self.composer = Composer(
            self._verifier.topology,
            num_subtasks=num_subtasks,
            templates=templates,
            split=split,
            held_out_share=held_out_share,
        )

    def task(self, index: int, *, seed: int) -> Task:
        """Return a task whose id names its questions."""
        drawn, size = self.composer.lot(index, seed=seed)
        questions = self.composer.draw(seed=drawn, num_subtasks=size)
        return task_of(self.composer.topology, questions)

    def demonstrate(self, task: Task) -> None:  # noqa: ARG002
        """Return None: a text alone answers nothing here; the synthesiser ``liveweb`` makes whole trajectories."""
        return

    def verifier(self) -> LiveWebVerifier:
        """Return the verifier by replay on the same cache."""
        return self._verifier

    def toolbox(self) -> Session:
        """Return a fresh session, whose methods are the ten actions."""
        return Session(lambda: CacheBrowser(self._verifier.cache))
