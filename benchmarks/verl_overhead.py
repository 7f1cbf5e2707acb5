"""What training through the backend costs over verl alone: GRPO on a CPU, or on the GPU that is there.

The same rows, seed and settings, through orbiter's verl backend and through a script that calls verl's ``run_ppo`` with the same
configuration, verl's own reward manager and a reward file, as its documentation shows. They take turns, and each pair gives one ratio. The
weights must be equal.

    python benchmarks/verl_overhead.py [--steps 20] [--pairs 3]

Beside the seconds stands the CPU time of all processes of a training, this one among them, which other work on the machine changes less. A
step is one after the first, in which workers start.

Bars: median ratio of whole seconds, Ray's start and end among them, <= 1.05; median ratio of seconds per step <= 1.05.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import inspect
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Self

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import orjson
import psutil
import yaml
from attrs import frozen
from orbiter_trl.nano import make_nano_model
from orbiter_verl.backend import VerlBackend

from orbiter import jsonl
from orbiter.curate.export.verl import Verl
from orbiter.records import Message, Task
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig
from orbiter.train.rewards import RewardSpec

BAR = 1.05

MEASURED = {
    "seconds": "whole",
    "step_s": "step",
    "cpu_s": "CPU time of the whole",
    "step_cpu_s": "CPU time of a step",
}
"""A field of :class:`Cost` to what it is called."""

BARRED = ("seconds", "step_s")
"""Those that have a bar."""


def share_of_a(output: str) -> float:
    """Return how much of an answer is the letter a."""
    return output.count("a") / max(1, len(output))


REWARD = f"""
{inspect.getsource(share_of_a)}

def compute_score(data_source, solution_str, ground_truth, extra_info=None, **more):
    return share_of_a(solution_str)
"""

BARE = """
import sys
import ray
from omegaconf import OmegaConf
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config

config = OmegaConf.load(sys.argv[1])
validate_config(config, need_reference_policy(config), need_critic(config))
run_ppo(config, task_runner_class=TaskRunnerV1)
ray.shutdown()
"""


@frozen
class Cost:
    """What one training took.

    Args:
        seconds: From the first line to the weights.
        step_s: Median seconds per step.
        cpu_s: CPU time of all its processes.
        step_cpu_s: Mean CPU time per step.
        weights: What they hash to.
    """

    seconds: float
    step_s: float
    cpu_s: float
    step_cpu_s: float
    weights: str


class CpuClock(threading.Thread):
    """Adds up the CPU time of this process and of all below it, Ray's too, while the block runs.

    A process that ends between two looks is counted up to the last, a second or a step before.

    Args:
        metrics: File that gets a line at the end of each step.
    """

    def __init__(self, metrics: Path) -> None:
        super().__init__(daemon=True)
        self._metrics, self._ended = metrics, threading.Event()
        self._seconds: dict[tuple[int, float], float] = {}
        self._steps: list[float] = []
        self._before = 0.0

    def __enter__(self) -> Self:
        self._look()
        self._before = self.seconds
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    @property
    def seconds(self) -> float:
        """CPU time since the block was entered."""
        return sum(self._seconds.values()) - self._before

    @property
    def step_s(self) -> float:
        """Mean CPU time per step, without the first."""
        return (self._steps[-1] - self._steps[0]) / (len(self._steps) - 1)

    def run(self) -> None:
        """Look at the end of each step, and once a second."""
        looked = time.perf_counter()
        while not self._ended.wait(0.05):
            count = self._metrics.read_bytes().count(b"\n") if self._metrics.exists() else 0
            if count > len(self._steps) or time.perf_counter() - looked > 1:
                self._look()
                looked = time.perf_counter()
                # Where two steps ended since the last look, the CPU time between is shared.
                self._steps += [self.seconds] * (count - len(self._steps))

    def _look(self) -> None:
        me = psutil.Process()
        for process in (me, *me.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                self._seconds[process.pid, process.create_time()] = times.user + times.system


def make_job(folder: Path, data: Path, model: Path, config: TrainConfig) -> TrainJob:
    """Return the job."""
    return TrainJob(
        algorithm="grpo",
        model=str(model),
        data=data,
        output_dir=folder,
        config=config,
        rewards=(RewardSpec(name="a", fn=share_of_a),),
        options={"group_size": 4, "max_prompt_length": 32, "max_response_length": 16},
    )


def through_backend(job: TrainJob) -> Cost:
    """Train through the backend."""
    metrics = job.output_dir / "verl/attempt-1/metrics.jsonl"
    begun = time.perf_counter()
    with CpuClock(metrics) as clock:
        result = VerlBackend().train(job)
    seconds = time.perf_counter() - begun
    return Cost(
        seconds, step_time(metrics), clock.seconds, clock.step_s, weights_of(result.checkpoint)
    )


def bare(job: TrainJob, folder: Path) -> Cost:
    """Train with verl alone, as the configuration of the backend says."""
    folder.mkdir(parents=True)
    config = yaml.safe_load(VerlBackend().native_config(job))
    config.pop("orbiter", None)
    (folder / "reward.py").write_text(REWARD)
    rows = [Verl().row(task, index=i) for i, task in enumerate(jsonl.read(job.data, Task))]
    Verl().save(iter(rows), folder / "train.parquet")
    config["data"] |= {
        "train_files": str(folder / "train.parquet"),
        "val_files": str(folder / "train.parquet"),
    }
    config["reward"]["custom_reward_function"] = {
        "path": str(folder / "reward.py"),
        "name": "compute_score",
    }
    steps_per_epoch = len(rows) // config["data"]["train_batch_size"]
    config["trainer"] |= {
        "default_local_dir": str(folder / "checkpoints"),
        "total_epochs": -(-job.config.max_steps // steps_per_epoch),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "bare.py").write_text(BARE)
    metrics = folder / "metrics.jsonl"
    begun = time.perf_counter()
    with (
        (folder / "log.txt").open("wb") as log,
        tempfile.TemporaryDirectory(prefix="ray-") as home,
        CpuClock(metrics) as clock,
    ):
        subprocess.run(
            [sys.executable, folder / "bare.py", folder / "config.yaml"],
            env={
                **os.environ,
                "VERL_FILE_LOGGER_PATH": str(metrics),
                "RAY_TMPDIR": home,
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_AUTH_MODE": "disabled",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            check=True,
        )
    seconds = time.perf_counter() - begun
    trained = folder / f"checkpoints/global_step_{job.config.max_steps}/actor/huggingface"
    return Cost(seconds, step_time(metrics), clock.seconds, clock.step_s, weights_of(trained))


def step_time(metrics: Path) -> float:
    """Return the median seconds of a step, without the first, in which workers start."""
    rows = [orjson.loads(line)["data"] for line in metrics.read_bytes().splitlines()]
    return statistics.median(row["timing_s/step"] for row in rows[1:])


def weights_of(folder: Path) -> str:
    """Return what the weights of a folder hash to."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:12]


def main() -> None:
    """Measure, print, and fail if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("verl", "ray", "torch", "transformers")
    )
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {versions}"
    )
    ratios: dict[str, list[float]] = {name: [] for name in MEASURED}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = make_nano_model(folder / "nano", chars="abcdefgh say:", max_length=128)
        tasks = [
            Task("toy", f"toy:{i}", (Message("user", f"say {a}{b}{c}"),))
            for i, (a, b, c) in enumerate((a, b, c) for a in "abcd" for b in "abcd" for c in "abcd")
        ]
        jsonl.write(folder / "tasks.jsonl", tasks)
        config = TrainConfig(
            max_steps=options.steps, batch_size=16, learning_rate=2e-3, log_every=1
        )
        for pair in range(options.pairs):
            job = make_job(folder / f"ours-{pair}", folder / "tasks.jsonl", model, config)
            turns = [
                lambda job=job: through_backend(job),
                lambda job=job, pair=pair: bare(job, folder / f"bare-{pair}"),
            ]
            costs = [turns[i]() for i in ((0, 1) if pair % 2 else (1, 0))]
            ours, alone = costs if pair % 2 else reversed(costs)
            print(
                f"pair {pair + 1}: weights {'equal' if ours.weights == alone.weights else 'DIFFER'}; load {os.getloadavg()[0]:.1f}"
            )
            for name, what in MEASURED.items():
                one, other = getattr(ours, name), getattr(alone, name)
                ratios[name].append(one / other)
                print(
                    f"  {what}: {one:7.3f} s and {other:7.3f} s, ratio {one / other:.3f}",
                    flush=True,
                )
            assert ours.weights == alone.weights, "the backend must train what verl trains"
    missed = False
    for name, what in MEASURED.items():
        ratio = statistics.median(ratios[name])
        judged = f" (bar {BAR})  {'ok' if ratio <= BAR else 'MISSED'}" if name in BARRED else ""
        print(f"{what}: median ratio {ratio:.3f}{judged}")
        missed |= name in BARRED and ratio > BAR
    if missed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
