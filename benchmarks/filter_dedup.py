"""Filter and deduplicate a file of trajectories: plain json beside orbiter, in one run.

The plain way is what most pipelines hold: ``json.loads`` every line, compare scores, keep the best row of each
(env, task_id), ``json.dumps`` the rest. It checks nothing. orbiter's ``filter_file`` gives the same rows with every
check on: encoding, NaN, repeated keys, missing and mistyped fields, and the file replaced atomically and synced.

    python benchmarks/filter_dedup.py [--rows 200000]

Exit status 1 if orbiter is less than 4 times as fast.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import math
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson

from orbiter import jsonl
from orbiter.curate.quality import filter_file

BAR = 4.0
MIN_SCORE = 0.5
ROUNDS = 3

WORDS = (
    "the a we then so value number sum each list of in to is and that therefore because first second next compute "
    "check result answer step since which gives have must digit order larger smaller pair equation solve both"
).split()
SPICE = (
    "$x = \\frac{a}{b}$",
    "\\boxed{42}",
    'he said "no": it cannot be',
    '{"action": "search", "query": "capital of France"}',
    "naïve",
    "π ≈ 3.14",
    "Réponse : 12",
    '```python\ndef solve(xs: list[int]) -> dict:\n    seen = {"a": 1}\n    return seen\n```',
)
ENDS = (". ", ". ", ". ", ", ", ": ", ".\n", "\n\n- ", ".\n\nStep 2: ")


def prose(rng: random.Random, size: int) -> str:
    """Return text of about ``size`` characters: sentences, some with mathematics, code, quotes or other scripts."""
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        parts += " ".join(rng.choices(WORDS, k=rng.randint(4, 14)))
        if rng.random() < 0.08:
            parts += " ", rng.choice(SPICE)
        parts += rng.choice(ENDS)
    return "".join(parts).strip()


def make_rows(count: int) -> Iterator[dict[str, Any]]:
    """Yield rows of mixed lengths, 2 kB on average, four attempts at each task."""
    rng = random.Random(0)
    prompts = [prose(rng, 250) for _ in range(500)]
    sizes = [min(12_000, max(80, int(rng.lognormvariate(6.8, 0.8)))) for _ in range(2000)]
    answers = [prose(rng, size) for size in sizes]
    for index in range(count):
        task = index // 4
        messages = [
            {"role": "system", "content": "Think step by step, then answer."},
            {"role": "user", "content": prompts[task % len(prompts)]},
            {"role": "assistant", "content": rng.choice(answers)},
        ]
        if rng.random() < 0.25:
            messages.append({"role": "user", "content": "Are you sure?"})
            messages.append({"role": "assistant", "content": rng.choice(answers)})
        chance = rng.random()
        score = None if chance < 0.01 else 0 if chance < 0.4 else round(rng.random(), 3)
        yield {
            "messages": messages,
            "env": ("sorting", "countdown", "math")[task % 3],
            "task_id": f"task-{task}",
            "score": score,
            "verdict": None
            if score is None
            else {"outcome": "pass" if score else "fail", "score": score, "verifier": "exact"},
            "metadata": {"difficulty": task % 7, "finish_reason": "stop"},
            "generator": "policy",
            "model": "runs/sorting/round-2",
            "sampling": {"temperature": 1.0, "max_tokens": 1024},
            "seed": index,
            "round": 2,
            "id": hashlib.blake2b(str(index).encode(), digest_size=8).hexdigest(),
        }


def plain_filter(source: Path, target: Path) -> int:
    """Filter and deduplicate with the standard library alone."""
    with open(source, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    filtered = [r for r in records if (r.get("score") or 0.0) >= MIN_SCORE]
    best: dict[Any, Any] = {}
    for r in filtered:
        key = (r.get("env"), r.get("task_id"))
        if key not in best or r.get("score", 0) > best[key].get("score", 0):
            best[key] = r
    with open(target, "w", encoding="utf-8") as file:
        for r in best.values():
            file.write(json.dumps(r) + "\n")
    return len(best)


def orbiter_filter(source: Path, target: Path) -> int:
    """Filter and deduplicate with orbiter."""
    return filter_file(source, target, min_score=MIN_SCORE).kept


def timed(work: Callable[..., Any], *args: Any) -> tuple[float, float, Any]:
    """Return wall seconds, CPU seconds and result of one call."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(*args)
    return time.perf_counter() - wall, time.process_time() - cpu, result


def compare(source: Path, rows: int) -> float:
    """Print the times of both ways on one file, and return how many times as fast orbiter is."""
    ways = {"plain json": plain_filter, "orbiter": orbiter_filter}
    walls, cpus, kept = dict.fromkeys(ways, math.inf), dict.fromkeys(ways, math.inf), {}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            wall, cpu, kept[name] = timed(way, source, source.with_suffix(f".{name[:5]}"))
            walls[name], cpus[name] = min(walls[name], wall), min(cpus[name], cpu)
    assert kept["plain json"] == kept["orbiter"], kept
    for name in ways:
        per_row = (
            f"{walls[name] / rows * 1e6:5.1f} us/row, CPU {cpus[name] / rows * 1e6:5.1f} us/row"
        )
        print(f"  {name:12} {walls[name]:6.2f} s  {per_row}  kept {kept[name]}")
    ratio = walls["plain json"] / walls["orbiter"]
    print(f"  ratio        {ratio:6.2f}    of CPU time {cpus['plain json'] / cpus['orbiter']:.2f}")
    return ratio


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args().rows
    print(
        f"python {platform.python_version()}, orjson {orjson.__version__}, msgspec {msgspec.__version__}, "
        f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.2f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        compact, spaced = Path(folder, "compact.jsonl"), Path(folder, "spaced.jsonl")
        jsonl.write(compact, make_rows(rows))
        print(f"{rows} rows of {compact.stat().st_size / rows:.0f} bytes, as orbiter writes them")
        ratios = [compare(compact, rows)]
        wall, cpu, _ = timed(lambda: sum(1 for _ in jsonl.read(compact)))
        per_row = f"{wall / rows * 1e6:5.1f} us/row, CPU {cpu / rows * 1e6:5.1f} us/row"
        print(f"  typed read   {wall:6.2f} s  {per_row}")
        with open(spaced, "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in make_rows(rows))
        print(f"{rows} rows of {spaced.stat().st_size / rows:.0f} bytes, as json.dumps writes them")
        ratios.append(compare(spaced, rows))
    missed = min(ratios) < BAR
    print(
        f"least ratio {min(ratios):.2f}, bar {BAR} {'MISSED' if missed else 'held'}, "
        f"load average {os.getloadavg()[0]:.2f}"
    )
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
