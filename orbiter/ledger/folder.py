"""The folder of a run: what it may be called, and the files that make it one."""

from __future__ import annotations

import os
import re
from pathlib import Path

from orbiter.errors import ConfigError
from orbiter.ledger.history import FILES

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""What the folder of a run may be called."""


def check_name(path: Path) -> None:
    """Raise ConfigError unless a folder is named as a run may be."""
    name = path.resolve().name
    if not RUN_NAME.fullmatch(name):
        raise ConfigError(
            f"name of a run must be 1 to 100 letters, digits, '_', '.' and '-', got {name!r}"
        )


def make_files(path: Path) -> None:
    """Make the empty files of a run, durably."""
    # rounds.jsonl comes last, so that its presence says that all are there.
    for name in reversed(FILES):
        (path / f"{name}.jsonl").touch()
    for folder in (path, path.resolve().parent):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
