"""Verifies Python programs that a model wrote against tests, in a sandbox, as a plugin of orbiter."""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add the verifier and the sandboxes."""
    registry.add("verifier", "code", "orbiter_code.verifier:CodeVerifier")
    registry.add("sandbox", "zygote", "orbiter_code.sandbox.zygote:ZygoteSandbox")
    registry.add("sandbox", "namespaces", "orbiter_code.sandbox.zygote:NamespaceSandbox")
    registry.add("sandbox", "bubblewrap", "orbiter_code.sandbox.bubblewrap:BubblewrapSandbox")
