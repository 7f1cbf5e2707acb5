"""Where a process inside begins: a fresh interpreter that has imported nothing yet."""

from __future__ import annotations

import importlib
import os
import sys


def start(module: str, control_fd: int, options: str) -> None:
    """Run ``inside.<module>``, which is ``zygote`` or ``referee``; nothing else of this package's folder can be imported later."""
    _import_without_forks("random", "threading")
    main = importlib.import_module(f"inside.{module}").main
    sys.path.pop(0)
    main(control_fd, options)


def _import_without_forks(*names: str) -> None:
    """Import modules without what they would do after every fork: together, a fifth of the time of a job.

    The one seeds numbers, which a job does anyhow; the other makes new locks and forgets other threads, of which who forks here
    has none.
    """
    register, os.register_at_fork = os.register_at_fork, lambda **_: None
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        os.register_at_fork = register
