"""What training through the backend costs over TRL alone: sft, dpo and grpo.

The same rows, seed and settings, through orbiter's TRL backend and through a bare trainer of TRL fed with conversations, as its
documentation shows. Both start from the model's folder and end with a saved model. They take turns, and each pair gives one ratio.

    python benchmarks/train_overhead.py [--algorithms sft dpo grpo] [--steps 100] [--rows 4000] [--pairs 5]

Bars, for each algorithm: median time ratio <= 1.05; loss curves equal to 1e-6.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets
import orjson
import torch
from attrs import frozen
from orbiter_trl.backend import TrlBackend
from orbiter_trl.nano import make_nano_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from transformers.utils import logging as transformers_logging
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from orbiter import jsonl
from orbiter.records import Message, Pair, Task, Trajectory
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig
from orbiter.train.rewards import RewardSpec

RATIO_BAR, LOSS_BAR = 1.05, 1e-6


@frozen(kw_only=True)
class Setting:
    """What one algorithm is measured with.

    Args:
        make_row: Makes a row of its data from a number, a prompt and the right answer.
        trainer: TRL's.
        arguments: TRL's config.
        options: What the bare trainer and the backend are told alike.
        bare_only: What the bare trainer must be told, and the backend sees to itself.
        batch_size: Rows per step.
        steps: As a share of those asked for, since some algorithms take longer.
    """

    make_row: Callable[[int, str, str], Any]
    trainer: Any
    arguments: Any
    options: Mapping[str, Any] = {}
    bare_only: Mapping[str, Any] = {}
    batch_size: int = 128
    steps: float = 1.0


def said(role: str, text: str) -> tuple[Message, ...]:
    """Return one message."""
    return (Message(role, text),)


def trajectory(number: int, prompt: str, answer: str) -> Trajectory:
    """Return a demonstration."""
    return Trajectory(
        said("user", prompt) + said("assistant", answer), "sorting", f"sorting:{number}", 1.0
    )


def pair(number: int, prompt: str, answer: str) -> Pair:
    """Return a pair that prefers the digits sorted to the digits turned round."""
    return Pair(
        said("user", prompt),
        said("assistant", answer),
        said("assistant", answer[::-1]),
        "sorting",
        f"sorting:{number}",
    )


def task(number: int, prompt: str, answer: str) -> Task:
    """Return a task."""
    return Task("sorting", f"sorting:{number}", said("user", prompt), answer=answer)


def digit_share(output: str) -> float:
    """Return how much of an answer is digits."""
    return sum(c.isdigit() for c in output) / 8


def bare_reward(completions: list[list[dict[str, Any]]], **_: Any) -> list[float]:
    """Return the same as TRL asks for it."""
    return [digit_share(turns[0]["content"]) for turns in completions]


SETTINGS = {
    "sft": Setting(
        make_row=trajectory,
        trainer=SFTTrainer,
        arguments=SFTConfig,
        bare_only={"assistant_only_loss": True, "max_length": None},
    ),
    "dpo": Setting(
        make_row=pair,
        trainer=DPOTrainer,
        arguments=DPOConfig,
        options={"beta": 0.2},
        bare_only={"max_length": None},
        batch_size=64,
        steps=0.5,
    ),
    "grpo": Setting(
        make_row=task,
        trainer=GRPOTrainer,
        arguments=GRPOConfig,
        options={"num_generations": 8, "max_completion_length": 10},
        batch_size=64,
    ),
}
"""Algorithm to what it is measured with."""


def make_rows(setting: Setting, count: int, *, digits: int = 8) -> list[Any]:
    """Return rows about sorting digits."""
    rng = random.Random(0)
    rows = []
    for number in range(count):
        text = "".join(rng.choice("0123456789") for _ in range(digits))
        rows.append(setting.make_row(number, f"sort {text}:", "".join(sorted(text))))
    return rows


def through_backend(
    algorithm: str, model: Path, data: Path, folder: Path, config: TrainConfig
) -> list[float]:
    """Train through the backend, and return the losses."""
    job = TrainJob(
        algorithm=algorithm,
        model=str(model),
        data=data,
        output_dir=folder,
        config=config,
        options=SETTINGS[algorithm].options,
        rewards=(RewardSpec(name="digits", fn=digit_share),) if algorithm == "grpo" else (),
    )
    TrlBackend().train(job)
    return [
        orjson.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_bytes().splitlines()
    ]


def bare(algorithm: str, model: Path, data: Path, folder: Path, config: TrainConfig) -> list[float]:
    """Train with TRL alone, and return the losses."""
    setting = SETTINGS[algorithm]
    with data.open("rb") as file:
        rows = [conversational(orjson.loads(line)) for line in file]
    cuda = torch.cuda.is_available()
    more = {"reward_funcs": bare_reward} if algorithm == "grpo" else {}
    trainer = setting.trainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=setting.arguments(
            output_dir=str(folder),
            max_steps=config.max_steps,
            per_device_train_batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            lr_scheduler_type=config.lr_scheduler or "linear",
            warmup_steps=config.warmup_steps,
            weight_decay=config.weight_decay,
            adam_beta2=config.adam_beta2,
            logging_steps=config.log_every,
            seed=config.seed,
            use_cpu=not cuda,
            bf16=cuda,
            gradient_checkpointing=False,
            dataloader_pin_memory=cuda,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            **setting.options,
            **setting.bare_only,
        ),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(model),
        **more,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(folder))
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def conversational(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as TRL's documentation shows it."""
    if "chosen" in row:
        return {name: row[name] for name in ("prompt", "chosen", "rejected")}
    return {"messages": row["messages"]} if "score" in row else {"prompt": row["messages"]}


WAYS = {"backend": through_backend, "bare": bare}


def silence() -> None:
    """Switch the progress bars of the libraries off."""
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()


def machine() -> str:
    """Return what the figures depend on."""
    names = ("torch", "transformers", "trl", "datasets")
    return f"python {platform.python_version()}, " + ", ".join(f"{n} {version(n)}" for n in names)


def compare(
    algorithm: str, model: Path, root: Path, asked: argparse.Namespace
) -> tuple[float, float]:
    """Return the median ratio of times and the largest difference of the losses."""
    setting = SETTINGS[algorithm]
    steps = max(2, round(asked.steps * setting.steps))
    config = TrainConfig(
        max_steps=steps,
        batch_size=setting.batch_size,
        learning_rate=3e-4 if algorithm == "grpo" else 3e-3,
        lr_scheduler="cosine",
        warmup_steps=min(10, steps // 2),
        weight_decay=0.01,
        adam_beta2=0.98,
        log_every=1,
    )
    data = root / f"{algorithm}.jsonl"
    jsonl.write(data, make_rows(setting, asked.rows))
    times: dict[str, list[float]] = {"backend": [], "bare": []}
    cpu: dict[str, list[float]] = {"backend": [], "bare": []}
    difference = 0.0
    # The first run of each pays for imports and caches.
    for way, run in WAYS.items():
        few = TrainConfig(max_steps=2, batch_size=setting.batch_size)
        run(algorithm, model, data, root / f"{algorithm}-warm-{way}", few)
    for number in range(asked.pairs):
        losses = {}
        # The order alternates, so that a drift of the machine favours neither.
        for way in list(WAYS) if number % 2 else list(WAYS)[::-1]:
            start, busy = time.perf_counter(), time.process_time()
            folder = root / f"{algorithm}-{way}-{number}"
            losses[way] = WAYS[way](algorithm, model, data, folder, config)
            times[way].append(time.perf_counter() - start)
            cpu[way].append(time.process_time() - busy)
        if len(losses["backend"]) != len(losses["bare"]):
            raise SystemExit("the two ways logged different numbers of steps")
        apart = [abs(a - b) for a, b in zip(losses["backend"], losses["bare"])]
        difference = max(difference, *apart)
        print(
            f"{algorithm} pair {number}: backend {times['backend'][-1]:.2f} s, bare TRL {times['bare'][-1]:.2f} s"
        )
    ratios = [ours / theirs for ours, theirs in zip(times["backend"], times["bare"])]
    of_cpu = [ours / theirs for ours, theirs in zip(cpu["backend"], cpu["bare"])]
    median = statistics.median(ratios)
    print(
        f"{algorithm}: {steps} steps, time ratio: median {median:.3f}, min {min(ratios):.3f}, max {max(ratios):.3f} "
        f"(bar <= {RATIO_BAR}), of CPU time: median {statistics.median(of_cpu):.3f}; largest difference of the loss curves {difference:.3g} (bar <= {LOSS_BAR:g})"
    )
    return median, difference


def main() -> None:
    """Run the pairs and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algorithms", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    silence()
    print(machine())
    print(
        f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} CPUs, 1 thread; {asked.rows} rows"
    )
    with tempfile.TemporaryDirectory() as name:
        model = make_nano_model(Path(name) / "model", chars="0123456789sort :")
        found = [compare(algorithm, model, Path(name), asked) for algorithm in asked.algorithms]
    print(f"load average at the end {os.getloadavg()[0]:.2f}")
    if any(ratio > RATIO_BAR or apart > LOSS_BAR for ratio, apart in found):
        raise SystemExit("a bar does not hold")


if __name__ == "__main__":
    main()
