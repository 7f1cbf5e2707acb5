"""What recipes reach, and at what cost, from one cold start; and what TRL's GRPO takes alone.

    OMP_NUM_THREADS=1 python benchmarks/recipes.py [--task addition] [--seeds 5]
    python benchmarks/recipes.py --table

Runs ``raft.yaml`` on sorting, or from the start of another task's recipe, until it passes 90 % of the held-out tasks, and then TRL's own
trainer, nothing of orbiter but the tasks and the comparison of answers, from the very checkpoint that raft began with, on the same prompts,
until it does as well, or for ``--steps``. Both are measured on the same held-out tasks, greedily; neither the cold start nor a measurement
is counted. A seed that is in the results file is not run again. ``orbiter compare`` makes the table of recipes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs

from orbiter.flywheel import Flywheel, Recipe, load_recipe
from orbiter.generate.policy import Request, Sampling
from orbiter.records import Task

HERE = Path(__file__).parent
RECIPES = HERE.parent / "examples" / "recipes"
RESULTS = HERE / "results" / "recipes.jsonl"
TARGET, STEPS = 0.9, 20
"""Held-out pass rate, and steps of GRPO between its measurements."""

GRPO = {
    "learning_rate": 3e-4,
    "num_generations": 8,
    "per_device_train_batch_size": 128,
    "beta": 0.0,
}
"""The settings of TRL's trainer, those of grpo.yaml; loss and clipping are TRL's defaults."""


def main() -> None:
    """Do the runs that the results file lacks, and print what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=("sorting", "addition"), default="sorting")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=GRPO["learning_rate"])
    parser.add_argument("--steps", type=int, default=1_000, help="bound on the steps of GRPO")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only print the table")
    options = parser.parse_args()
    if not options.table:
        for seed in range(1, options.seeds + 1):
            measure(options.results, options.task, seed, options.learning_rate, options.steps)
    print(table(read_rows(options.results)))


def measure(results: Path, task: str, seed: int, learning_rate: float, steps: int) -> None:
    """Make the runs of one seed and append a line each, unless the results have them."""
    known = {(row["method"], row["seed"]) for row in read_rows(results) if row["task"] == task}
    bare = f"TRL GRPO, lr {learning_rate:g}"
    if {("raft", seed), (bare, seed)} <= known:
        return
    with tempfile.TemporaryDirectory() as folder:
        recipe = load_recipe(
            RECIPES / "raft.yaml",
            [f"seed={seed}", "stages.raft.rounds=10", f"gates.stop_at={TARGET}"],
            start=RECIPES / f"{task}.yaml",
        )
        wheel = Flywheel(recipe, runs_dir=Path(folder), base_dir=RECIPES)
        before = time.process_time()
        rows = wheel.run().rounds
        if ("raft", seed) not in known:
            append(results, task, "raft", seed, _course(rows), time.process_time() - before)
        if (bare, seed) not in known:
            before = time.process_time()
            course = bare_grpo(recipe, wheel, learning_rate=learning_rate, steps=steps)
            append(results, task, bare, seed, course, time.process_time() - before)


def _course(rows: Sequence[Any]) -> list[dict[str, float]]:
    samples = seconds = 0.0
    course = []
    for row in rows:
        if row["round"]:
            samples, seconds = samples + row["spent"]["samples"], seconds + row["spent"]["seconds"]
        course.append({"rate": row["held_out"], "samples": samples, "seconds": round(seconds, 2)})
    return course


def bare_grpo(
    recipe: Recipe, wheel: Flywheel, *, learning_rate: float, steps: int
) -> list[dict[str, float]]:
    """Train with TRL's GRPOTrainer, and return what it scored and had spent every few steps until the target."""
    import torch
    from datasets import Dataset
    from orbiter_trl.answering import Answerer
    from orbiter_trl.quiet import quiet
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        PrinterCallback,
        TrainerCallback,
    )
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(1)
    start = wheel.path / "checkpoints" / "round-0" / "checkpoint"
    wheel = Flywheel(attrs.evolve(recipe, name="tasks"), runs_dir=wheel.path.parent)
    held_out = wheel.stream("held_out").take(recipe.evaluate.tasks)
    first = recipe.teach.demonstrations if recipe.teach is not None else 0
    tasks = wheel.stream("train").take(
        steps * GRPO["per_device_train_batch_size"] // GRPO["num_generations"], start=first
    )
    rows = [
        {"prompt": [{"role": "user", "content": task.prompt}], "answer": task.answer}
        for task in tasks
    ]

    def right(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
        said = ["".join(message["content"] for message in turn) for turn in completions]
        return [float(one == other) for one, other in zip(said, answer)]

    tokenizer = AutoTokenizer.from_pretrained(start)
    course: list[dict[str, float]] = []
    clock = Clock()

    def score(model: Any) -> float:
        answerer = Answerer.open(str(start), device="cpu")
        answerer.model.load_state_dict(model.state_dict())
        return rate_of(answerer.answer, held_out, recipe.policy.max_new_tokens)

    class Measure(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **more: Any) -> None:
            with clock.stopped():
                course.append({"rate": score(more["model"]), "samples": 0, "seconds": 0.0})
            clock.start()

        def on_step_end(self, _: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step % STEPS:
                return
            with clock.stopped():
                samples = state.global_step * GRPO["per_device_train_batch_size"]
                row = {"rate": score(more["model"]), "samples": samples}
                course.append(row | {"seconds": round(clock.seconds, 2)})
                control.should_training_stop = row["rate"] >= TARGET

    with tempfile.TemporaryDirectory() as folder, quiet():
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(start),
            reward_funcs=[right],
            args=GRPOConfig(
                output_dir=folder,
                **GRPO | {"learning_rate": learning_rate},
                max_completion_length=recipe.policy.max_new_tokens,
                max_steps=steps,
                lr_scheduler_type="constant_with_warmup",
                warmup_steps=10,
                adam_beta2=0.98,
                seed=recipe.seed,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[Measure()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return course


def rate_of(answer: Callable[..., Any], tasks: Sequence[Task], max_new_tokens: int) -> float:
    """Return the share of tasks that are answered rightly, greedily."""
    requests = [Request(messages=task.messages) for task in tasks]
    said = answer(requests, Sampling(temperature=0, max_new_tokens=max_new_tokens))
    return sum(c.messages[0].text == task.answer for c, task in zip(said, tasks)) / len(tasks)


class Clock:
    """Seconds of training alone."""

    def __init__(self) -> None:
        self.seconds, self._since = 0.0, 0.0

    def start(self) -> None:
        """Begin to count."""
        self._since = time.perf_counter()

    def stopped(self) -> Clock:
        """Count nothing in a with block."""
        return self

    def __enter__(self) -> None:
        self.seconds += time.perf_counter() - self._since if self._since else 0.0

    def __exit__(self, *_: object) -> None:
        self._since = time.perf_counter() if self._since else 0.0


def append(
    results: Path, task: str, method: str, seed: int, course: list[dict[str, float]], cpu_s: float
) -> None:
    """Add the line of a run to the results."""
    row = {"task": task, "method": method, "seed": seed, "course": course, "cpu_s": round(cpu_s, 1)}
    row |= {
        "load": round(os.getloadavg()[0], 1),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "transformers", "trl")},
    }
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    last = course[-1]
    print(
        f"{task}: {method} seed {seed}: {last['rate']:.3f} after {last['samples']:,.0f} samples, {last['seconds']:.0f} s "
        f"({cpu_s:.0f} s CPU, load {row['load']})",
        flush=True,
    )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the results file; none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table: median rate, and samples and seconds to the target, by task and method."""
    lines = [
        f"| task | method | seeds | held-out at the end | reached {TARGET:g} | samples | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for task, method in dict.fromkeys((row["task"], row["method"]) for row in rows):
        members = [r["course"] for r in rows if (r["task"], r["method"]) == (task, method)]
        found = [next((m for m in course if m["rate"] >= TARGET), None) for course in members]
        shown = []
        for name in ("samples", "seconds"):
            value = statistics.median(math.inf if mark is None else mark[name] for mark in found)
            least = min(course[-1][name] for course in members)
            shown.append(f"more than {least:,.0f}" if value == math.inf else f"{value:,.0f}")
        reached = sum(mark is not None for mark in found)
        rate = statistics.median(course[-1]["rate"] for course in members)
        lines.append(
            f"| {task} | {method} | {len(members)} | {rate:.3f} | {reached} | {' | '.join(shown)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
