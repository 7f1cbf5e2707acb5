"""The Sandbox ABC: where code that a model wrote is run; and what shows that it holds."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence

from attrs import frozen

UNSANDBOXED = "T0"
"""The tier of what is no sandbox at all."""


@frozen(kw_only=True)
class Limits:
    """What one job may use.

    Args:
        memory_mb: Mebibytes of address space.
        cpu_s: Whole seconds of processor time.
    """

    memory_mb: int = 512
    cpu_s: int = 10


@frozen(kw_only=True)
class Ending:
    """How a job ended.

    Args:
        status: Exit code, or minus the number of the signal that killed it; -9 where it was still running and had to be ended.
        memory: Most bytes of memory that were resident.
        cpu_s: Processor time, in seconds.
    """

    status: int
    memory: int
    cpu_s: float


@frozen
class Probe:
    """An attack that was tried on a sandbox.

    Args:
        attack: What was tried.
        held: Whether the sandbox held.
        found: What happened, in a few words.
    """

    attack: str
    held: bool
    found: str


class Sandbox(ABC):
    """Runs untrusted Python programs, one at a time, each in a fresh interpreter that knows nothing of any other.

    The caller is at fault if it starts a job before it ended the one before; it holds a lock where it has threads. An
    implementation takes ``limits: Limits`` and ``packages: Sequence[str]`` (importable by the jobs beside the standard library) as
    keyword arguments. What a job speaks on its channel is described in the plugin orbiter-code.
    """

    name: str
    """Registered name, written into every verdict."""

    tier: str
    """What it is made of, from ``T1`` to ``T3``, or :data:`UNSANDBOXED`."""

    @abstractmethod
    def start(self) -> socket.socket:
        """Return the channel of a fresh job that is confined and waits for its program; the caller closes it.

        Raises:
            SandboxError: No job can be started.
        """

    @abstractmethod
    def end(self) -> Ending:
        """Kill the job unless it ended by itself, and return how it ended.

        Raises:
            SandboxError: The sandbox broke; the next ``start`` makes a new one.
        """

    def kill(self) -> None:
        """Kill the job; how it ended is not asked for, so that an implementation need not wait.

        Raises:
            SandboxError: The sandbox broke; the next ``start`` makes a new one.
        """
        self.end()

    @abstractmethod
    def probe(self) -> Sequence[Probe]:
        """Try a dozen real attacks from inside and return what became of each; less than a second.

        Raises:
            SandboxError: The sandbox does not start here.
        """

    @abstractmethod
    def close(self) -> None:
        """End every process of this sandbox. Called once or more; nothing else is called after."""
