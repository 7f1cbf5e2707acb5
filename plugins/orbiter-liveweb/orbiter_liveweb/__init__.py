"""Cached webs for orbiter: tasks over recorded sites, a teacher that is right by construction, a verifier by replay.

    environment  liveweb   questions about the pages of a cache, with ten browser actions as tools
    verifier     liveweb   acts a trajectory out again, and finds the truth on the pages that it visited
    synthesiser  liveweb   trajectories of a teacher that knows where each answer stands
    command      liveweb   orbiter liveweb record | import | export | check | synth | teach | coverage | view

The files, in the order that they build on each other: ``dom``, ``styles``, ``roles``, ``names`` and ``aria`` (HTML to the accessibility
tree of a browser), ``urls``, ``snapshot`` and ``cache``, ``fetching``, ``record``, ``importing``, ``har`` and ``warc`` (how pages come),
``screen``, ``browser``, ``chromium`` and ``session`` (what is shown and done), ``topology``, ``sites`` and ``composing`` (what is
asked), ``guide`` and ``teacher``, ``verifier``, then ``coverage``, ``checking`` and ``rendering``.
"""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add the environment, the verifier, the synthesiser and the command."""
    registry.add("environment", "liveweb", "orbiter_liveweb.environment:LiveWebEnvironment")
    registry.add("verifier", "liveweb", "orbiter_liveweb.verifier:LiveWebVerifier")
    registry.add("synthesiser", "liveweb", "orbiter_liveweb.teacher:TeacherGenerator")
    registry.add("command", "liveweb", "orbiter_liveweb.command:LiveWebCommand")
