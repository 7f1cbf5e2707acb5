"""Process CPU time of ``import orbiter.train`` and ``orbiter --help``, above that of a bare interpreter.

    python benchmarks/import_time.py

Bar: the import costs at most 0.15 s of CPU and loads none of torch, transformers, trl, verl, ray and pyspiel.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys

HEAVY = ("torch", "transformers", "trl", "verl", "ray", "pyspiel")
BAR_S = 0.15
CASES = {
    "bare interpreter": "pass",
    "import orbiter.train": "import orbiter.train",
    "orbiter --help": "import orbiter.cli, sys; sys.argv[1:] = ['--help']; orbiter.cli.main()",
}


def cpu_s(code: str) -> float:
    """Return the least user and system time of five runs of ``code`` in a new process, in seconds."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def main() -> None:
    """Measure and print."""
    print(f"python {platform.python_version()}, load {os.getloadavg()[0]:.2f}")
    times = {name: cpu_s(code) for name, code in CASES.items()}
    bare = times["bare interpreter"]
    for name, seconds in times.items():
        print(f"{name:24} {seconds:.3f} s CPU, {seconds - bare:.3f} s above the bare interpreter")
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys, orbiter.train; print({{*{HEAVY!r}}} & set(sys.modules))",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    print(f"heavy modules loaded: {loaded}")
    holds = times["import orbiter.train"] - bare <= BAR_S and loaded == "set()"
    print(f"bar {BAR_S} s: {'holds' if holds else 'missed'}")


if __name__ == "__main__":
    main()
