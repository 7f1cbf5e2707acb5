"""Choose a sandbox: the first that holds against its probes, and none in silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orbiter.errors import SandboxError
from orbiter.plugin import registry
from orbiter.verify.sandbox import Limits, Sandbox
from orbiter_code.sandbox.zygote import NoSandbox

AUTO = ("zygote", "namespaces", "bubblewrap")
"""What ``auto`` tries, in this order."""

_proved: set[tuple[str, tuple[str, ...], str | None]] = set()
"""Sandboxes that held in this process, and need not be probed again."""


def choose_sandbox(
    name: str = "auto",
    *,
    limits: Limits,
    packages: Sequence[str] = (),
    interpreter: str | None = None,
    allow_unsandboxed: bool = False,
) -> Sandbox:
    """Return a sandbox that held when it was attacked.

    Args:
        name: Registered name, or ``auto`` for the first of :data:`AUTO` that holds.
        limits: Of each job.
        packages: Installed packages that programs may import.
        interpreter: Path of the Python that runs the jobs; default: this one.
        allow_unsandboxed: If none holds, run programs without.

    Raises:
        ConfigError: An option cannot be used.
        SandboxError: None holds; says why of each, and which option overrides.
    """
    options: dict[str, Any] = {"limits": limits, "packages": tuple(packages)}
    if interpreter is not None:
        options["interpreter"] = interpreter
    failures = []
    for one in AUTO if name == "auto" else (name,):
        sandbox: Sandbox = registry().create("sandbox", one, options)
        try:
            _prove(sandbox, (one, tuple(packages), interpreter))
        except SandboxError as error:
            sandbox.close()
            failures.append(f"{one}: {error.message}")
        else:
            return sandbox
    if allow_unsandboxed:
        return NoSandbox(**options)
    raise SandboxError(
        f"no sandbox holds here: {'; '.join(failures)}",
        hint="orbiter doctor tells more; the option allow_unsandboxed: true runs programs with your own rights instead",
    )


def _prove(sandbox: Sandbox, key: tuple[str, tuple[str, ...], str | None]) -> None:
    if key in _proved:
        return
    broken = [probe for probe in sandbox.probe() if not probe.held]
    if broken:
        raise SandboxError("; ".join(f"{probe.attack}: {probe.found}" for probe in broken))
    _proved.add(key)
