"""Verify programs in the sandbox beside the two usual ways that hold nothing: a process per program, and a bare fork.

Each job is one program of a few lines, right, with ten asserts. ``subprocess`` is what most graders do: ``python -I`` on a file
that holds the program and the asserts, judged by its exit code; anything can forge it. ``fork`` is the floor: a warm interpreter,
with the modules that programs use already imported, forks and runs program and asserts in the child.

    python benchmarks/verify_code.py [--jobs 100] [--rounds 5]

``computed`` is ``zygote`` on tests whose arguments are computed by builtins, and ``waiting`` on tests whose arguments are variables, so
that no call can be asked ahead.

Latency is that of one job after the other in one process; throughput that of two processes at once, on two cores. The ways take
turns, job by job or round by round, so that a change of load hits all of them. Exit status 1 if a sandbox (T1, T2) gives less than
5 times the verdicts of ``subprocess`` or a job in it takes more than 1.5 times a bare fork.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import attrs
from orbiter_code.sandbox.options import WARM
from orbiter_code.verifier import CodeVerifier

from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered

THROUGHPUT_BAR, LATENCY_BAR = 5.0, 1.5
WORKERS = 2
SANDBOXES = ("zygote", "namespaces")
PROGRAM = """\
import math
from collections import Counter
from typing import List


def heaviest(words: List[str], limit: int) -> List[str]:
    counts = Counter(word.lower() for word in words)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return ranked[: math.floor(limit)]
"""
ASSERTS = [
    f"assert heaviest({['b', 'A', 'b', 'c', 'a', 'b'] * i!r}, {i % 4}) == {['b', 'a', 'c'][: i % 4]!r}"
    for i in range(1, 11)
]
SCRIPT = "\n".join([PROGRAM, *ASSERTS])
TASK = Task("bench", "bench:1", (Message("user", "?"),), answer=ASSERTS)
COMPUTED = [
    text.replace("heaviest([", "heaviest([*[").replace("], ", "]], ", 1) for text in ASSERTS
]
"""The same with arguments that the text does not spell out."""
WAITING = [
    text.replace("assert heaviest(", "words, limit = (").replace(
        ") == ", ")\nassert heaviest(words, limit) == "
    )
    for text in ASSERTS
]
"""The same with arguments that are named, so that each call waits for the one before."""
ANSWER = answered(TASK, f"```python\n{PROGRAM}```")

Way = Callable[[], bool]


def sandboxed(name: str, tests: Sequence[str] = ASSERTS) -> Way:
    """Return the way of the verifier, in the sandbox of this name."""
    verifier = CodeVerifier(sandbox=name)
    task = attrs.evolve(TASK, answer=tests)
    return lambda: verifier.verify(task, ANSWER).outcome is Outcome.PASS


def by_subprocess() -> Way:
    """Return the way of one interpreter per program."""
    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as file:
        file.write(SCRIPT)
    command = [sys.executable, "-I", file.name]
    return lambda: subprocess.run(command, check=False, timeout=20).returncode == 0


def by_fork() -> Way:
    """Return the way of a bare fork of a warm interpreter, which is a process of its own as the zygote is."""
    server = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _FORK_SERVER, *WARM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    to, back = server.stdin.fileno(), server.stdout.fileno()
    text = SCRIPT.encode()

    def run() -> bool:
        os.write(to, len(text).to_bytes(4, "big") + text)
        return os.read(back, 1) == b"0"

    return run


_FORK_SERVER = """
import gc, importlib, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
gc.collect()
gc.freeze()
while size := os.read(0, 4):
    text = os.read(0, int.from_bytes(size, "big"))
    child = os.fork()
    if not child:
        status = 1
        try:
            exec(compile(text, "program", "exec"), {"__name__": "__main__"})
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    os.write(1, b"0" if status == 0 else b"1")
"""

WAYS: dict[str, Callable[[], Way]] = {
    "subprocess": by_subprocess,
    "fork": by_fork,
    **{name: lambda name=name: sandboxed(name) for name in SANDBOXES},
    "computed": lambda: sandboxed("zygote", COMPUTED),
    "waiting": lambda: sandboxed("zygote", WAITING),
}


def latencies(jobs: int) -> dict[str, list[float]]:
    """Return seconds per job by way; the ways take turns, job by job."""
    ways = {name: make() for name, make in WAYS.items()}
    out: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        assert way(), "the program is right"
    for _ in range(jobs):
        for name, way in ways.items():
            begun = time.perf_counter()
            assert way()
            out[name].append(time.perf_counter() - begun)
    return out


_ways: dict[str, Way] = {}


def worker(name: str, jobs: int) -> int:
    """Do so many jobs in this process."""
    if name not in _ways:
        _ways[name] = WAYS[name]()
    return sum(_ways[name]() for _ in range(jobs))


def throughput(jobs: int, rounds: int) -> dict[str, list[float]]:
    """Return verdicts a second of two processes at once by way and round; the ways take turns."""
    out: dict[str, list[float]] = {name: [] for name in WAYS}
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        for round_ in range(rounds + 1):
            for name in WAYS:
                begun = time.perf_counter()
                done = sum(pool.map(worker, [name] * WORKERS, [jobs] * WORKERS))
                assert done == WORKERS * jobs
                if round_:  # the first one starts the processes
                    out[name].append(done / (time.perf_counter() - begun))
    return out


def main() -> int:
    """Print the table; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, {platform.machine()}, Linux {platform.release()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start"
    )
    for name in WARM:
        importlib.import_module(name)
    gc.collect()
    seconds = latencies(options.jobs)
    rates = throughput(options.jobs // 2, options.rounds)
    print(
        f"{'way':12} {'job ms':>8} {'min':>6} {'x fork':>7} {'verdicts/s':>11} {'x subprocess':>13}"
    )
    worst: list[float] = []
    for name in WAYS:
        latency = statistics.median(a / b for a, b in zip(seconds[name], seconds["fork"]))
        gain = statistics.median(a / b for a, b in zip(rates[name], rates["subprocess"]))
        print(
            f"{name:12} {statistics.median(seconds[name]) * 1e3:8.2f} {min(seconds[name]) * 1e3:6.2f} "
            f"{latency:7.2f} {statistics.median(rates[name]):11.0f} {gain:13.1f}"
        )
        if name in SANDBOXES:
            worst += [latency / LATENCY_BAR, THROUGHPUT_BAR / gain]
    print(f"load {os.getloadavg()[0]:.2f} at the end")
    return int(max(worst) > 1)


if __name__ == "__main__":
    sys.exit(main())
