"""What a process inside is told when it is started: nothing about tasks, only how it is to be held."""

from __future__ import annotations

import importlib
import os
import sys

MAX_FILES = 1 << 20
"""No descriptor is numbered higher; whoever starts these processes may have had many files open."""


class Options:
    """How a process is to be held.

    Args:
        memory: Bytes of address space.
        cpu_s: Seconds of processor time of a job.
        user: Id of the user and group to become, where the process is root's.
        confined: Whether there is a sandbox at all.
        namespaces: Whether to add namespaces.
        alone: Whether the kernel counts nobody else's threads as those of its user, be it root or not.
        read: Files and folders that may be read beside the standard library.
        path: Folders to import named packages from.
        warm: Modules that are imported beforehand, so that no job pays for them.
    """

    def __init__(
        self,
        *,
        memory: int,
        cpu_s: int,
        user: int,
        confined: bool,
        namespaces: bool,
        alone: bool,
        read: list[str],
        path: list[str],
        warm: list[str],
    ) -> None:
        self.memory, self.cpu_s, self.user = memory, cpu_s, user
        self.confined, self.namespaces, self.alone = confined, namespaces, alone
        self.read, self.path, self.warm = tuple(read), tuple(path), tuple(warm)


def warm_up(options: Options) -> None:
    """Import what jobs will need, and forget the environment."""
    os.environ.clear()
    os.chdir("/")
    sys.path.extend(options.path)
    for name in options.warm:
        importlib.import_module(name)
