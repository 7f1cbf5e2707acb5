"""Mending: what verl 0.9.1 does that fails here, put right in the running process. Each function names the place."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any


def mend() -> None:
    """Put right all there is."""
    _hide_trl_without_value_heads()
    _name_gloo_once()


def _hide_trl_without_value_heads() -> None:
    """Say that TRL is absent, unless it has the class that verl wants of it.

    verl/models/transformers/monkey_patch.py imports AutoModelForCausalLMWithValueHead for every model that it builds if TRL can be
    imported; TRL removed the class in 1.13.
    """
    import verl.utils.import_utils as probes

    trl = importlib.util.find_spec("trl")
    places = [] if trl is None else list(trl.submodule_search_locations or [])
    # A look at the folder: to import TRL would cost each process a second.
    found = any(Path(place, "experimental", "ppo").exists() for place in places)
    if not found:
        probes.is_trl_available = lambda: False


def _name_gloo_once() -> None:
    """Name a backend for one device where verl/utils/distributed.py would say ``cpu:gloo,cpu:gloo``, which torch refuses."""
    import verl.utils.distributed as distributed

    begin = distributed.initialize_global_process_group_ray

    @functools.wraps(begin)
    def begin_once(timeout_second: Any = None, backend: str | None = None) -> Any:
        from verl.utils.device import get_device_name

        if backend is None and get_device_name() == "cpu":
            backend = "cpu:gloo"
        return begin(timeout_second, backend)

    distributed.initialize_global_process_group_ray = begin_once
