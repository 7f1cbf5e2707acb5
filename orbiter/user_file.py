"""Classes in files of the user's own: ``path/to/file.py:Class``, accepted wherever a name is."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from orbiter.errors import ConfigError, UserCodeLoadError, did_you_mean

_folder: ContextVar[Path] = ContextVar("orbiter_folder", default=Path())
"""Where a ``file.py`` is looked for while a component is made: its own options may name further files."""


@contextmanager
def looking_in(folder: Path | None) -> Iterator[None]:
    """Look for files in ``folder`` inside the block; None leaves it as it is."""
    token = _folder.set(_folder.get() if folder is None else folder)
    try:
        yield
    finally:
        _folder.reset(token)


def located(spec: str) -> str:
    """Return ``file.py:Name`` with the file's whole path: it is found later, too, and by another process."""
    file, _, attr = spec.rpartition(":")
    return f"{(_folder.get() / file).resolve()}:{attr}"


def load_from_file(spec: str, *, base_dir: Path | None = None) -> Any:
    """Return the object that ``path/to/file.py:Name`` points to.

    Raises:
        ConfigError: There is no such file, or no such name in it.
        UserCodeLoadError: The file raised while it was imported.
    """
    file, _, attr = spec.rpartition(":")
    path = (_folder.get() if base_dir is None else base_dir) / file
    if not path.is_file():
        raise ConfigError(
            f"file {str(path)!r} of {spec!r} does not exist",
            hint="a file.py:Class is relative to the folder of the recipe that names it",
        )
    path = path.resolve()
    # One file is one module, under a name of its own, so that its classes are the same ones on a second look-up.
    module_name = _module_name(path)
    module = sys.modules.get(module_name)
    if module is None:
        module_spec = importlib.util.spec_from_file_location(module_name, path)
        if module_spec is None or module_spec.loader is None:
            raise ConfigError(f"file {str(path)!r} cannot be imported")
        module = importlib.util.module_from_spec(module_spec)
        sys.modules[module_name] = module
        try:
            module_spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            raise UserCodeLoadError(
                f"{path} cannot be imported: {type(error).__name__}: {error}"
            ) from error
    if not hasattr(module, attr):
        names = [n for n in vars(module) if not n.startswith("_")]
        raise ConfigError(
            f"{path} has no {attr!r}{did_you_mean(attr, names)}",
            hint=f"it has: {', '.join(names) or 'nothing'}",
        )
    return getattr(module, attr)


def _module_name(path: Path) -> str:
    """Return the name of a file's module: readable in a traceback, and that of no other path."""
    stem = re.sub(r"\W", "_", path.stem)
    return f"orbiter_user_{stem}_{hashlib.sha256(bytes(path)).hexdigest()[:16]}"
