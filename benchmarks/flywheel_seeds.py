"""Whether a recipe rises on other seeds than its own, and whether it does so without the rows that it verified.

    OMP_NUM_THREADS=1 python benchmarks/flywheel_seeds.py sorting reversal [--seeds 10] [--control-seeds 5]
    python benchmarks/flywheel_seeds.py --table

Runs each recipe of examples/recipes over the seeds 0, 1, 2, ..., one run at a time on one thread, then its control: the same
steps on the demonstrations alone (``curate.keep=none``). A run adds one line to the results file when it is done, and is not
done again: stop at any point and call again. A line belongs to the settings that made it; when a recipe changes, its runs are
made again and the table leaves the old lines out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from orbiter.flywheel import Flywheel, Recipe, load_recipe

HERE = Path(__file__).parent
RECIPES = HERE.parent / "examples" / "recipes"
RESULTS = HERE / "results" / "flywheel_seeds.jsonl"
VERSIONS = ("orbiter-train", "torch", "transformers", "trl", "numpy")
CONTROL = ("curate.keep=none", "generate.tasks=1", "generate.samples=1")
"""The control trains on no answer, so that it need not sample any: what it scores is the same without."""


def main() -> None:
    """Do the runs that the results file lacks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", help="names of recipes, without .yaml")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--control-seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only print the table")
    options = parser.parse_args()
    if not options.table:
        print(json.dumps(machine()), flush=True)
        for name in options.recipes:
            for keep, count in (("survivors", options.seeds), ("none", options.control_seeds)):
                for seed in range(count):
                    run_once(options.results, name, keep=keep, seed=seed)
    print(table(read_rows(options.results)))


def machine() -> dict[str, Any]:
    """Return what the figures depend on beside the settings."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
    }


def run_once(results: Path, name: str, *, keep: str, seed: int) -> None:
    """Make one run in a temporary folder and append its line, unless the results have it."""
    run = {"recipe": name, "keep": keep, "seed": seed, "settings": fingerprint(name, keep)}
    if any(run.items() <= row.items() for row in read_rows(results)):
        return
    row = run | measure(load_recipe(path_of(name), [f"seed={seed}", *changes(keep)]))
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row | machine()) + "\n")
    print(
        f"{name} {keep} seed {seed}: {' '.join(f'{p:.3f}' for p in row['held_out'])}  "
        f"{row['cpu_s']:.0f} s CPU, {row['wall_s']:.0f} s wall, load {row['load']:.1f}",
        flush=True,
    )


def path_of(name: str) -> Path:
    """Return the file of a recipe."""
    return RECIPES / f"{name}.yaml"


def changes(keep: str) -> tuple[str, ...]:
    """Return the overrides that make a run the control, or none."""
    return CONTROL if keep == "none" else ()


def measure(recipe: Recipe) -> dict[str, Any]:
    """Return what a run scored on held-out tasks after each round, and what it took."""
    import torch  # here, so that --table does not wait for it

    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        rounds = Flywheel(recipe, runs_dir=folder).run().rounds
    finally:
        shutil.rmtree(folder)
    return {
        "held_out": [row["held_out"] for row in rounds],
        "held_out_tasks": recipe.evaluate.tasks,
        "yield": [row["yield"] for row in rounds[1:]] if recipe.curate.keep != "none" else [],
        "rows": [row["rows"] for row in rounds[1:]],
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "load": round(os.getloadavg()[0], 2),
    }


def fingerprint(name: str, keep: str) -> str:
    """Return 12 hexadecimal digits of what a recipe says, but for its seed and what no result depends on."""
    plain = yaml.safe_load(path_of(name).read_text(encoding="utf-8"))
    kept = {k: v for k, v in plain.items() if k not in ("name", "description", "seed")}
    text = json.dumps([kept, *changes(keep)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the results file, oldest first; none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table: per recipe, the median pass rate of each round with its range over seeds."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["settings"] == fingerprint(row["recipe"], row["keep"]):
            groups.setdefault((row["recipe"], row["keep"]), []).append(row)
    width = max((len(row["held_out"]) for row in rows), default=0)
    rounds = [f"round {n}" if n else "cold" for n in range(width)]
    head = ["recipe", "trains on", "seeds", "rose", "by 0.3", *rounds, "CPU s", "wall s"]
    lines = [head, ["---"] * len(head)]
    for (name, keep), members in groups.items():
        gains = [row["held_out"][-1] - row["held_out"][0] for row in members]
        lines.append(
            [
                name,
                "what passed" if keep == "survivors" else "demonstrations",
                str(len(members)),
                str(sum(gain > 0 for gain in gains)),
                str(sum(gain >= 0.3 for gain in gains)),
                *(spread(column) for column in zip(*(row["held_out"] for row in members))),
                *(
                    f"{statistics.median(row[k] for row in members):.0f}"
                    for k in ("cpu_s", "wall_s")
                ),
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float]) -> str:
    """Return the median and the range of pass rates."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
