"""What judging in worker processes costs, and how much of it hides behind generating.

    python benchmarks/verify_pool.py [--batches 50] [--repeats 3]

Overlap: a rollout whose policy waits for each batch, as for a model server, and whose verifier burns the CPU for about as long. It is run
with the policy alone, with the verifier alone and with both, in turns. Bar: both take at most 1.05 times the longer of the two. The same
with a verifier that waits instead shows what is left of that on a machine whose cores others want.

Cost: the cheapest verifier there is on small answers, 256 at a time, in a worker and in this process, in turns; wall time, and CPU time
of this process, which is what generating loses. Replacement: what one answer that crashes its worker costs.

Exit status 1 if the bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time, sleep

from attrs import frozen

from orbiter.flywheel.rollout import Rollout, RolloutPlan
from orbiter.flywheel.waves import UniformWaves
from orbiter.generate import Completion, Policy, Request, Sampling
from orbiter.ledger import Ledger
from orbiter.records import Task, Trajectory, Verdict
from orbiter.tasks.sorting import Sorting
from orbiter.verify import Verifier
from orbiter.verify.answer import answered
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.pool import VerifierPool
from orbiter.verify.verifier import judge

BAR = 1.05
BATCH = 16
BATCH_S = 0.1


class Waiting(Policy):
    """Answers after a while, as a server does."""

    name, batch_size = "waiting", BATCH

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def complete(self, requests: Sequence[Request], _: Sampling) -> list[Completion]:
        await asyncio.sleep(self.seconds)
        return [Completion.of("0") for _ in requests]


class Busy(Verifier):
    """Takes its time: keeps a core busy, or waits."""

    name = "busy"

    def __init__(self, seconds: float, *, burns: bool = True) -> None:
        self.seconds, self.burns = seconds, burns

    def verify(self, _: Task, trajectory: Trajectory) -> Verdict:
        if trajectory.answer == "crash":
            os._exit(1)
        if not self.burns:
            sleep(self.seconds)
        end = perf_counter() + self.burns * self.seconds
        while perf_counter() < end:
            pass
        return Verdict.passed()


@frozen
class Overlap:
    """Median seconds of the three rollouts, and the median of the ratios of their turns."""

    generate_s: float
    verify_s: float
    both_s: float
    ratio: float


def overlap(*, batches: int = 50, repeats: int = 3, burns: bool = True) -> Overlap:
    """Return how long generating and judging take alone, and together."""
    environment = Sorting(length=8)
    tasks = [environment.task(n, seed=0) for n in range(batches * BATCH)]
    each = BATCH_S / BATCH
    with (
        VerifierPool(Busy(0.0), workers=1) as idle,
        VerifierPool(Busy(each, burns=burns), workers=1) as busy,
    ):
        for pool in (idle, busy):
            pool.judge_all([(tasks[0], answered(tasks[0], "0"))])  # its worker starts
        turns = [
            (
                _roll_out(tasks, Waiting(BATCH_S), idle),
                _roll_out(tasks, Waiting(0.0), busy),
                _roll_out(tasks, Waiting(BATCH_S), busy),
            )
            for _ in range(repeats)
        ]
    generate_s, verify_s, both_s = (statistics.median(column) for column in zip(*turns))
    ratio = statistics.median(both / max(alone, other) for alone, other, both in turns)
    return Overlap(generate_s, verify_s, both_s, ratio)


def _roll_out(tasks: list[Task], policy: Policy, pool: VerifierPool) -> float:
    plan = RolloutPlan(
        run="r",
        round=1,
        engine="policy",
        tasks=tasks,
        waves=UniformWaves(1),
        seed=0,
        sampling=Sampling(),
    )
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "r") as ledger:
        rollout = Rollout(plan, policy=policy, pool=pool, ledger=ledger)
        began = perf_counter()
        asyncio.run(rollout.run())
        return perf_counter() - began


@frozen
class Cost:
    """Median microseconds per verdict: in this process, in a worker, and of this process's CPU meanwhile."""

    here_us: float
    pool_us: float
    pool_cpu_us: float
    single_us: float
    """Of a pair that is judged alone, in a worker."""


def cost(*, count: int = 256, repeats: int = 50) -> Cost:
    """Return what a verdict of the cheapest verifier costs."""
    environment = Sorting(length=8)
    tasks = [environment.task(n, seed=0) for n in range(count // 8)]
    pairs = [(task, answered(task, environment.demonstrate(task))) for task in tasks] * 8
    verifier = ExactVerifier()
    here, wall, cpu, single = [], [], [], []
    with VerifierPool(verifier, workers=1) as pool:
        assert pool.judge_all(pairs) == [judge(verifier, *pair) for pair in pairs]
        for _ in range(repeats):
            here.append(_timed(lambda: [judge(verifier, *pair) for pair in pairs])[0] / count)
            spent = _timed(lambda: pool.judge_all(pairs))
            wall.append(spent[0] / count)
            cpu.append(spent[1] / count)
            single.append(_timed(lambda: pool.judge_all(pairs[:1]))[0])
    return Cost(*(1e6 * statistics.median(times) for times in (here, wall, cpu, single)))


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    began, cpu = perf_counter(), process_time()
    work()
    return perf_counter() - began, process_time() - cpu


def replacement(*, repeats: int = 7) -> float:
    """Return the median seconds that one answer which crashes its worker adds to a batch."""
    task = Sorting(length=8).task(0, seed=0)
    good, bad = (task, answered(task, "0")), (task, answered(task, "crash"))
    added = []
    with VerifierPool(Busy(0.0), workers=1) as pool:
        pool.judge_all([good])
        for _ in range(repeats):
            quiet = _timed(lambda: pool.judge_all([good] * 8))[0]
            added.append(_timed(lambda: pool.judge_all([good] * 4 + [bad] + [good] * 4))[0] - quiet)
    return statistics.median(added)


def _shown(found: Overlap) -> str:
    return (
        f"generate {found.generate_s:.2f} s, verify {found.verify_s:.2f} s, both {found.both_s:.2f} s, "
        f"{found.ratio:.3f} times the longer"
    )


def main() -> int:
    """Run and print."""
    logging.getLogger("orbiter").addHandler(logging.NullHandler())  # crashes are meant here
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"python {platform.python_version()}, orbiter {version('orbiter-train')}")
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    waiting = overlap(batches=options.batches, repeats=options.repeats, burns=False)
    print(f"verifier that waits: {_shown(waiting)}")
    found = overlap(batches=options.batches, repeats=options.repeats)
    held = "holds" if found.ratio <= BAR else "missed"
    print(f"verifier that burns: {_shown(found)}; bar {BAR}: {held}")
    spent = cost()
    print(
        f"a verdict of exact, 256 at a time: {spent.here_us:.1f} us here, {spent.pool_us:.1f} us in a worker, of which "
        f"{spent.pool_cpu_us:.1f} us of this process's CPU ({spent.pool_cpu_us / spent.here_us:.2f} times judging here)"
    )
    print(f"a verdict alone, in a worker: {spent.single_us:.0f} us")
    print(f"an answer that crashes its worker: {1000 * replacement():.0f} ms more")
    print(f"load {os.getloadavg()[0]:.2f}")
    return 0 if found.ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
