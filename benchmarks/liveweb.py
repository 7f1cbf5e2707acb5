"""Verified composite trajectories per minute on one core, without a browser; and the tree of a page beside Chromium's.

    python benchmarks/liveweb.py [--seconds 20] [--subtasks 3] [--repeats 3] [--cache DIR]

The synthetic web of full size, each trajectory made and then acted out again by the verifier, and written as JSONL. The count is per
minute of processor time of this one process, and per minute of the clock beside it: on a busy machine the second is lower. The first repeat
begins with nothing read, not even the list of pages; the others know the pages. Bar: at least 2,000 a minute of processor time, in every
repeat. With ``--cache`` it is that web instead, such as the recorded Python documentation with its long pages. The most memory that the
process had is printed. Where there are Playwright and Chromium, the time of one page's accessibility tree is measured there and here.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from orbiter_liveweb.aria import aria_snapshot
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.dom import parse
from orbiter_liveweb.synthetic import build
from orbiter_liveweb.teacher import TeacherGenerator

from orbiter import jsonl
from orbiter.errors import OrbiterError
from orbiter.records import Outcome

BAR = 2_000


def measure(
    folder: Path, teacher: TeacherGenerator | None, *, seconds: float, subtasks: int, start: int
) -> tuple[TeacherGenerator, int, int, float, float]:
    """Return the teacher, how many trajectories were made and how many of them pass, and the processor's and the clock's seconds."""
    made = passed = 0
    clock, processor = time.perf_counter(), time.process_time()
    lines = hashlib.sha256()
    teacher = teacher or TeacherGenerator(folder)
    while time.process_time() - processor < seconds:
        done = teacher.compose(seed=start + made, num_subtasks=subtasks)
        lines.update(jsonl.dumps(done.trajectory))
        made += 1
        passed += done.verdict.outcome is Outcome.PASS
    return teacher, made, passed, time.process_time() - processor, time.perf_counter() - clock


def beside_chromium(cache: Cache) -> None:
    """Print how long the trees of some pages take in Chromium and here."""
    from orbiter_liveweb.chromium import launched, tree_in

    urls = cache.urls()[:: len(cache.urls()) // 20]
    theirs, ours, same = [], [], 0
    with launched() as chromium:
        for url in urls:
            html = cache.get(url).html
            begun = time.perf_counter()
            tree = tree_in(chromium, url, html)
            middle = time.perf_counter()
            same += tree == aria_snapshot(parse(html))
            theirs.append(middle - begun)
            ours.append(time.perf_counter() - middle)
    print(
        f"tree of a page: {1000 * statistics.median(theirs):.1f} ms in a fresh tab of Chromium, {1000 * statistics.median(ours):.2f} ms here, "
        f"{statistics.median(a / b for a, b in zip(theirs, ours)):.0f} times as long; {same} of {len(urls)} equal"
    )


def main() -> None:
    """Measure, print and exit with 1 below the bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--subtasks", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cache", type=Path, help="a recorded web (default: the synthetic one)")
    options = parser.parse_args()
    print(
        f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"selectolax {version('selectolax')}, orbiter-liveweb {version('orbiter-liveweb')}"
    )
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        if options.cache is None:
            cache = build(Path(folder) / "web", size="full")
            print(
                f"{len(cache.urls())} pages made in {time.process_time() - begun:.1f} s of processor time"
            )
        else:
            cache = Cache(options.cache)
            print(f"{len(cache.urls())} pages of {options.cache.name}")
        teacher = None
        for repeat in range(options.repeats):
            teacher, made, passed, processor, clock = measure(
                cache.folder,
                teacher,
                seconds=options.seconds,
                subtasks=options.subtasks,
                start=repeat * 10**6,
            )
            rates.append(60 * passed / processor)
            print(
                f"{made} trajectories of {options.subtasks} questions, {passed} verified: {rates[-1]:.0f} a minute of processor time, "
                f"{60 * passed / clock:.0f} of the clock"
            )
            if passed < made:
                sys.exit("a trajectory of the teacher does not pass")
        print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of memory")
        try:
            beside_chromium(cache)
        except OrbiterError as error:
            print(f"no comparison with a browser: {error.message}")
    if min(rates, default=BAR) < BAR:
        sys.exit(f"below the bar of {BAR} a minute")


if __name__ == "__main__":
    main()
