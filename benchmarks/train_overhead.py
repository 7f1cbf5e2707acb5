"""What training through the backend costs over TRL alone.

The same rows, seed and settings, through orbiter's TRL backend and through a bare ``trl.SFTTrainer`` fed with conversations, as its
documentation shows. Both start from the model's folder and end with a saved model. They take turns, and each pair gives one ratio.

    python benchmarks/train_overhead.py [--steps 100] [--rows 4000] [--pairs 5]

Bars: median time ratio <= 1.05; loss curves equal.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets
import orjson
import torch
from orbiter_trl.backend import TrlBackend
from orbiter_trl.nano import make_nano_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from transformers.utils import logging as transformers_logging
from trl import SFTConfig, SFTTrainer

from orbiter import jsonl
from orbiter.records import Message, Trajectory
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig


def make_rows(count: int) -> list[Trajectory]:
    """Sorting demonstrations of eight digits."""
    rng = random.Random(0)
    rows = []
    for number in range(count):
        digits = "".join(rng.choice("0123456789") for _ in range(8))
        chat = (Message("user", f"sort {digits}:"), Message("assistant", "".join(sorted(digits))))
        rows.append(Trajectory(chat, "sorting", f"sorting:{number}", 1.0))
    return rows


def through_backend(model: Path, data: Path, folder: Path, config: TrainConfig) -> list[float]:
    """Train through the backend, and return the losses."""
    job = TrainJob(algorithm="sft", model=str(model), data=data, output_dir=folder, config=config)
    TrlBackend().train(job)
    return [
        orjson.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_bytes().splitlines()
    ]


def bare(model: Path, data: Path, folder: Path, config: TrainConfig) -> list[float]:
    """Train with TRL alone, and return the losses."""
    with data.open("rb") as file:
        rows = [{"messages": orjson.loads(line)["messages"]} for line in file]
    tokenizer = AutoTokenizer.from_pretrained(model)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(folder),
            assistant_only_loss=True,
            max_length=None,
            max_steps=config.max_steps,
            per_device_train_batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            lr_scheduler_type=config.lr_scheduler,
            warmup_steps=config.warmup_steps,
            weight_decay=config.weight_decay,
            adam_beta2=config.adam_beta2,
            logging_steps=config.log_every,
            seed=config.seed,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(folder))
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def main() -> None:
    """Run the pairs and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    config = TrainConfig(
        max_steps=asked.steps,
        batch_size=128,
        learning_rate=3e-3,
        lr_scheduler="cosine",
        warmup_steps=min(10, asked.steps // 2),
        weight_decay=0.01,
        adam_beta2=0.98,
        log_every=1,
    )
    names = ("torch", "transformers", "trl", "datasets")
    print(f"python {platform.python_version()}, " + ", ".join(f"{n} {version(n)}" for n in names))
    print(
        f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} CPUs, 1 thread; {asked.rows} rows, {asked.steps} steps"
    )
    times: dict[str, list[float]] = {"backend": [], "bare": []}
    difference = 0.0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        model = make_nano_model(root / "model", chars="0123456789sort :")
        data = root / "rows.jsonl"
        jsonl.write(data, make_rows(asked.rows))
        ways = {"backend": through_backend, "bare": bare}
        # The first run of each pays for imports and caches.
        for way, run in ways.items():
            run(model, data, root / f"warm-{way}", TrainConfig(max_steps=2, batch_size=128))
        for pair in range(asked.pairs):
            losses = {}
            # The order alternates, so that a drift of the machine favours neither.
            for way in list(ways) if pair % 2 else list(ways)[::-1]:
                start = time.perf_counter()
                losses[way] = ways[way](model, data, root / f"{way}-{pair}", config)
                times[way].append(time.perf_counter() - start)
            if len(losses["backend"]) != len(losses["bare"]):
                raise SystemExit("the two ways logged different numbers of steps")
            difference = max(
                difference, *(abs(a - b) for a, b in zip(losses["backend"], losses["bare"]))
            )
            print(
                f"pair {pair}: backend {times['backend'][-1]:.2f} s, bare TRL {times['bare'][-1]:.2f} s"
            )
    ratios = [ours / theirs for ours, theirs in zip(times["backend"], times["bare"])]
    print(
        f"time ratio: median {statistics.median(ratios):.3f}, min {min(ratios):.3f}, max {max(ratios):.3f} (bar <= 1.05)"
    )
    print(f"largest difference of the loss curves: {difference:.3g} (bar: equal)")
    print(f"load average at the end {os.getloadavg()[0]:.2f}")
    if statistics.median(ratios) > 1.05 or difference != 0.0:
        raise SystemExit("a bar does not hold")


if __name__ == "__main__":
    main()
