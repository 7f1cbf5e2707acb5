"""The nursery: a process that imports the libraries once, and of which Ray's workers are forks.

Ray starts an interpreter for each worker, and every one of verl's would import the same libraries, for longer than a small model trains.
The nursery is forked from the driver before Ray is there. What Ray starts in the place of a worker (``asking``) hands it the worker's
arguments, environment, folder and streams; at the first such request it imports Ray and verl, and each worker is then a fork.

Only where no worker uses an accelerator: what CUDA sets up does not survive a fork.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import runpy
import selectors
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from orbiter_verl import asking

LIBRARIES = (
    "torch", "torch.distributed.fsdp", "tensordict", "transformers.generation", "transformers.modeling_utils", "accelerate", "aiohttp", "datasets",
    "fastapi", "hydra", "peft",
)  # fmt: skip
"""What verl imports and takes long; none of it imports Ray."""

WORKERS = (
    "ray._private.workers.setup_worker", "verl.trainer.main_ppo", "verl.trainer.ppo.v1", "verl.workers.engine_workers",
    "orbiter_verl.runtime.agent", "orbiter_verl.runtime.engines", "orbiter_verl.runtime.rewarding", "orbiter_verl.runtime.rollout",
    "orbiter_verl.runtime.sampler",
)  # fmt: skip
"""What the workers import beside."""

AT_START = frozenset({"PYTHONHASHSEED"})
"""Environment variables that an interpreter reads when it starts, and a fork does not."""


def open_nursery(folder: Path) -> None:
    """Import the libraries, fork the nursery, and have Ray ask it for its workers; it ends with this process.

    Args:
        folder: Gets the nursery's socket; nobody else may look into it.
    """
    _import(LIBRARIES)
    if "ray" in sys.modules:
        # It has read the environment of the driver, where a worker's should have been.
        return
    os.environ[asking.ADDRESS] = str(folder / "nursery")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.environ[asking.ADDRESS])
    listener.listen(128)
    end, life = os.pipe()
    if _fork() == 0:
        os.close(life)  # the driver alone holds it, as long as it lives
        atexit._clear()  # what the driver does at its end
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _end_after(partial(_tend, listener, end))
    listener.close()
    os.close(end)

    from ray._private import ray_constants

    # ray/_private/node.py joins it to a folder of Ray's own, which the path of a file replaces.
    ray_constants.SETUP_WORKER_FILENAME = asking.__file__


def _import(names: Sequence[str]) -> None:
    for name in names:
        importlib.import_module(name)


def _fork() -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # The threads that there are belong to libraries that handle a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _end_after(work: Callable[[], object]) -> NoReturn:
    """Do the work of a forked process and end it; it never goes back to what its parent was doing."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _tend(listener: socket.socket, end: int) -> None:
    """Fork a worker for each request, until the driver is gone; an error ends it, and all who ask then begin the way of Ray."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a worker
    ready = False
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(end, selectors.EVENT_READ)
        while all(key.fd != end for key, _ in selector.select()):
            connection, _ = listener.accept()
            with connection:
                wanted, streams = asking.receive(connection)
                if not ready:
                    _get_ready(wanted["environ"])
                    ready = True
                if _fork() == 0:
                    for held in (selector, listener, connection):
                        held.close()
                    os.close(end)
                    _end_after(partial(_be_worker, wanted, streams))
                with contextlib.suppress(OSError):  # who asked is gone
                    connection.sendall(asking.DONE)
            for stream in streams:
                os.close(stream)


def _get_ready(environ: Mapping[str, str]) -> None:
    """Import what all workers need, in the environment of the first: Ray's job and raylet are the same for every one."""
    os.environ.update(environ)
    try:
        _import(WORKERS)
    except Exception:  # the worker that needs it says so
        traceback.print_exc()
    gc.freeze()  # what the forks share, their collections leave alone


def _be_worker(wanted: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Take over what a worker was given, and do what ray/_private/workers/setup_worker.py would do."""
    for number, handler in (
        (signal.SIGCHLD, signal.SIG_DFL),
        (signal.SIGINT, signal.default_int_handler),
    ):
        signal.signal(number, handler)
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    os.environ.clear()
    os.environ.update(wanted["environ"])
    os.chdir(wanted["folder"])
    try:
        from ray._private.runtime_env.context import RuntimeEnvContext
        from ray._private.utils import update_envs
        from ray._private.workers.setup_worker import parser

        known, rest = parser.parse_known_args(wanted["arguments"])
        context = RuntimeEnvContext.deserialize(known.serialized_runtime_env_context or "{}")
        plain = RuntimeEnvContext(env_vars=context.env_vars)
    except (ImportError, AttributeError, TypeError):  # another version of Ray
        asking.begin_rays_way(wanted["arguments"])
    if context.serialize() != plain.serialize() or AT_START & set(context.env_vars):
        asking.begin_rays_way(wanted["arguments"])
    import numpy as np

    update_envs(context.env_vars)
    np.random.seed()  # or all forks would draw the same
    file = asking.worker_file(rest)
    sys.argv = rest[rest.index(file) :]
    runpy.run_path(file, run_name="__main__")
