"""The trainers that TRL keeps in ``trl.experimental``, which may go with any release. Nothing else here imports from there."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.metadata import version
from typing import Any

from orbiter.errors import ConfigError


def experimental(module: str, *names: str) -> tuple[Any, ...]:
    """Return what ``trl.experimental.<module>`` calls by these names.

    Raises:
        ConfigError: The installed TRL has them no more.
    """
    try:
        with warnings.catch_warnings():
            # TRL warns of what this module is there for.
            warnings.filterwarnings("ignore", message=".*trl.experimental")
            found = import_module(f"trl.experimental.{module}")
        return tuple(getattr(found, name) for name in names)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"algorithm needs {names[-1]} of trl.experimental.{module}, which TRL {version('trl')} does not have: {error}",
            hint="install the release that the plugin was tested with: pip install trl==1.16.0",
        ) from error
