"""The driver: the process, with the interpreter that has verl, that composes a configuration or runs verl's ``run_ppo``.

    python -m orbiter_verl.driver        with an order as one line of JSON on standard input

It lives no longer than the process that started it: when standard input ends, it shuts the cluster down and goes.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import attrs
import orjson
from attrs import frozen

from orbiter.convert import structure
from orbiter.errors import ConfigError, MissingPluginError, OrbiterError
from orbiter_verl.composing import compose
from orbiter_verl.keys import Request
from orbiter_verl.nursery import open_nursery
from orbiter_verl.preflight import preflight
from orbiter_verl.settings import Settings, check_machine

INTERRUPTED = 130

LAST_S = 30.0
"""Seconds that a driver has to shut its cluster down, once nobody is there to wait for it."""

FOLDER = "ORBITER_VERL_RAY"
"""Environment variable with the folder of a cluster that is the job's alone; RAY_TMPDIR may be somebody's."""


@frozen(kw_only=True)
class Order:
    """What the driver is to do.

    Args:
        request: The configuration to compose.
        folder: Where ``config.yaml`` and, if it fails, ``error.json`` go.
        prompts: Files of tasks to look at before anything else, with the model; what looks wrong goes to ``notes.json``. None for the
            configuration alone.
        train: Whether to train.
    """

    request: Request
    folder: str
    prompts: tuple[str, ...] = ()
    train: bool = False


def main() -> int:
    """Carry an order out; the exit code is 0, or 1 with ``error.json``, or 130 after an interruption."""
    order = structure(orjson.loads(sys.stdin.readline()), Order, source="order")
    folder = Path(order.folder)
    try:
        _carry_out(order, folder)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BaseException as error:  # a library that calls sys.exit(0) has not done what was asked
        failure = {**describe(error), "traceback": _traceback(error)}
        (folder / "error.json").write_bytes(orjson.dumps(failure))
        return 1
    return 0


def _carry_out(order: Order, folder: Path) -> None:
    request = attrs.evolve(order.request, settings=decide(order.request.settings))
    config = compose(request)
    from omegaconf import OmegaConf

    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config), encoding="utf-8")
    if order.prompts:
        (folder / "notes.json").write_bytes(orjson.dumps(preflight(request, order.prompts)))
    if not order.train:
        return
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    if request.settings.device == "cpu":
        _keep_to_the_cpu()
    if forks(config):
        open_nursery(Path(os.environ[FOLDER]))
    # Not before the fork, which would find the thread gone and what it holds still held.
    threading.Thread(target=_live_as_long_as_the_parent, daemon=True).start()
    _run(config)


def decide(settings: Settings) -> Settings:
    """Return the settings with the device and the rollout decided.

    Raises:
        ConfigError: They do not go together with the rest.
        MissingPluginError: The device or the rollout that is asked for is not there.
    """
    device, rollout = settings.device, settings.rollout
    if device == "auto":
        device = "cuda" if has_gpu() else "cpu"
    if rollout == "auto":
        fast = device == "cuda" and is_installed("vllm")
        rollout = "vllm" if fast else "transformers"
    if rollout in ("vllm", "sglang") and not is_installed(rollout):
        raise MissingPluginError(
            f"rollout {rollout!r} is not installed in {sys.executable}",
            hint=f"pip install {rollout}, or take the rollout 'transformers'",
        )
    decided = attrs.evolve(settings, device=device, rollout=rollout)
    check_machine(decided)
    return decided


def is_installed(module: str) -> bool:
    """Return whether a module could be imported here."""
    return importlib.util.find_spec(module) is not None


def has_gpu() -> bool:
    """Return whether this machine has an NVIDIA GPU that is not hidden; asks no library."""
    return not hides_gpus() and Path("/dev/nvidiactl").exists()


def hides_gpus() -> bool:
    """Return whether the environment hides every GPU."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")


def _keep_to_the_cpu() -> None:
    os.environ["VERL_PLATFORM"] = "cpu"
    if hides_gpus():
        # Ray would refuse to count a training process as a logical GPU.
        del os.environ["CUDA_VISIBLE_DEVICES"]
    # As Ray has it in every worker, but the libraries of a fork have read it by then.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def forks(config: Any) -> bool:
    """Return whether Ray's workers can be forks: on a CPU, in a cluster of the job's own, with an environment like the driver's."""
    wanted = config.ray_kwargs.ray_init.get("runtime_env") or {}
    return (
        config.trainer.device == "cpu"
        and FOLDER in os.environ
        and all(value is None for value in wanted.values())
        and sys.platform == "linux"
    )


def _run(config: Any) -> None:
    """Run verl, and shut its cluster down whatever happens."""
    import ray
    import verl  # noqa: F401  # loads the platform
    from verl.experimental.reward_loop import migrate_legacy_reward_impl
    from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    _keep_the_present_folder_off_the_workers_path()
    try:
        config = migrate_legacy_reward_impl(config)
        try:
            validate_config(
                config=config,
                use_reference_policy=need_reference_policy(config),
                use_critic=need_critic(config),
            )
        except (ValueError, AssertionError, TypeError) as error:
            raise ConfigError(f"verl refuses its configuration: {error}") from error
        run_ppo(config, task_runner_class=TaskRunnerV1)
    finally:
        ray.shutdown()
        _remove_the_clusters_folder()


def _keep_the_present_folder_off_the_workers_path() -> None:
    """Have Ray tell its workers nothing of the driver's folder, which it would put before all libraries on their path.

    ray/_private/worker.py, connect, leaves it out only where the job brings a folder of its own, in which the workers would then be; they
    are to stay in the present one, where a reward may have its files.
    """
    from ray.job_config import JobConfig

    JobConfig._runtime_env_has_working_dir = lambda _: True


def _remove_the_clusters_folder() -> None:
    """Remove what Ray wrote, also if nobody is left to see to it; its last processes may still be writing."""
    folder = os.environ.get(FOLDER, "")
    for _ in range(20):
        if not os.path.isdir(folder):
            return
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt


def _live_as_long_as_the_parent() -> None:
    while sys.stdin.read(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_S)  # Ray's own code, which waits for a worker, hears no signal
    os._exit(INTERRUPTED)


def describe(error: BaseException) -> dict[str, Any]:
    """Return an error as plain data: its kind, its message and its hint; of one that a worker raised, the worker's own."""
    cause = error
    # Ray's, one per process that it crossed.
    while isinstance(getattr(cause, "cause", None), BaseException):
        cause = cause.cause  # type: ignore[attr-defined]
    if isinstance(cause, OrbiterError):
        return {"kind": type(cause).__name__, "message": cause.message, "hint": cause.hint}
    said = str(cause).strip().splitlines() or [""]
    return {
        "kind": "",
        "message": f"{type(cause).__name__}: {said[0]}".removesuffix(": "),
        "hint": None,
    }


def _traceback(error: BaseException) -> str:
    """Return the traceback, those of the workers in it, without the colours that Ray gives them."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "".join(traceback.format_exception(error)))


if __name__ == "__main__":
    sys.exit(main())
