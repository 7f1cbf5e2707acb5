"""orbiter: a plugin-based framework for LLM post-training that owns the loop.

    tasks -> generate -> verify -> ledger -> curate -> train -> better model -> generate again

The rooms, in the order that data flows; each imports only from those before it:

    errors, convert, records, jsonl    what everything is made of
    hookspecs, plugin, registry        how names and observers arrive
    tasks        what is to be solved
    verify       who judges
    generate     who answers
    ledger       what happened
    curate       what is kept
    train        who learns; also the public surface ``orbiter.train``
    flywheel     the loop
    cli          the command line
    testing      checks that plugin authors run on their own classes
"""

from __future__ import annotations

import pluggy

hookimpl = pluggy.HookimplMarker("orbiter")
"""Marks a function of a plugin as an implementation of one of :mod:`orbiter.hookspecs`."""

__all__ = ["hookimpl"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("orbiter-train")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
