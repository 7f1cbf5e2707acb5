"""Cached webs for orbiter: tasks over recorded sites, a teacher that is right by construction, a verifier by replay.

    environment  liveweb   questions about the pages of a cache, with ten browser actions as tools
    verifier     liveweb   acts a trajectory out again, and finds the truth on the pages that it visited
    synthesiser  liveweb   trajectories of a teacher that knows where each answer stands
    command      liveweb   orbiter liveweb record | import | export | check | synth | teach | coverage | view

The files, in the order that they build on each other:

    HTML to the accessibility tree of a browser  whitespace, dom, styles, roles, inspection, names, aria
    what a page is, and where it is kept         urls, screen, snapshot, links, cache
    how pages come, and go                       content, placeholders, fetching, record; importing, har, warc
    what is shown and done                       forms, browser, chromium, session
    what is asked                                topology, sites, answers, composing
    who answers, and who judges                  guide, verifier, teacher, environment
    what is looked at afterwards                 checking, coverage, rendering

``synthetic`` generates a web, and ``command`` is the command.
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
