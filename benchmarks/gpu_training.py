"""What training costs on one GPU, through the backend and with TRL alone: bf16, a model of more than 100 million parameters made here.

The same rows, seed and settings in turns, as in ``train_overhead.py``. A token is one of prompt or answer; with GRPO, one of the longest
answer that may be sampled. The time is that of the whole job, loading and saving too. Memory is the most that torch had allocated.

    python benchmarks/gpu_training.py [--algorithms sft dpo grpo] [--steps 60] [--pairs 3] [--digits 200] [--cpu]

Without a GPU it ends with exit code 3; ``--cpu`` runs it with a nano model, which only shows that it works. Bars, for each algorithm:
median ratio of tokens per second >= 1 / 1.05; memory <= 1.05 times.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from attrs import frozen
from orbiter_trl.chat import to_chat
from orbiter_trl.nano import make_nano_model
from train_overhead import RATIO_BAR, SETTINGS, WAYS, machine, make_rows, silence
from transformers import AutoConfig, AutoTokenizer

from orbiter import jsonl
from orbiter.records import Pair, Task
from orbiter.train.config import TrainConfig

LARGE = {"hidden_size": 1024, "layers": 12, "heads": 16}
SMALL = {"hidden_size": 32, "layers": 2, "heads": 4}


@frozen
class Measured:
    """One training: seconds of wall time, and the most memory that torch had allocated on the GPU, in bytes."""

    seconds: float
    memory: int


def tokens_of(row: Any, tokenizer: Any) -> int:
    """Return how many tokens a row is; of a task, how many an answer to it may have."""
    if isinstance(row, Task):
        return int(SETTINGS["grpo"].options["max_completion_length"])
    chats = (
        [row.prompt + row.chosen, row.prompt + row.rejected]
        if isinstance(row, Pair)
        else [row.messages]
    )
    return sum(
        len(tokenizer.apply_chat_template(to_chat(chat), return_dict=True)["input_ids"])
        for chat in chats
    )


def measure(
    way: str, algorithm: str, model: Path, data: Path, folder: Path, config: TrainConfig
) -> Measured:
    """Train one way."""
    gc.collect()
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    start = time.perf_counter()
    WAYS[way](algorithm, model, data, folder, config)
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return Measured(seconds, torch.cuda.max_memory_allocated() if cuda else 0)


def compare(algorithm: str, model: Path, root: Path, asked: argparse.Namespace) -> bool:
    """Print the comparison of one algorithm, and return whether its bars hold."""
    setting = SETTINGS[algorithm]
    config = TrainConfig(
        max_steps=asked.steps,
        batch_size=32,
        learning_rate=1e-5,
        lr_scheduler="cosine",
        warmup_steps=5,
        log_every=10,
    )
    data = root / f"{algorithm}.jsonl"
    rows = make_rows(setting, asked.rows, digits=asked.digits)
    jsonl.write(data, rows)
    # All rows are of one length.
    each = tokens_of(rows[0], AutoTokenizer.from_pretrained(model))
    tokens = asked.steps * config.batch_size * each
    found: dict[str, list[Measured]] = {"backend": [], "bare": []}
    for way in WAYS:  # the first run of each pays for imports, kernels and caches
        few = TrainConfig(max_steps=2, batch_size=32)
        measure(way, algorithm, model, data, root / f"{algorithm}-warm-{way}", few)
    for number in range(asked.pairs):
        for way in list(WAYS) if number % 2 else list(WAYS)[::-1]:
            folder = root / f"{algorithm}-{way}-{number}"
            found[way].append(measure(way, algorithm, model, data, folder, config))
        ours, theirs = (found[way][-1] for way in WAYS)
        print(
            f"{algorithm} pair {number}: backend {tokens / ours.seconds:,.0f} tokens/s, {ours.memory / 2**30:.2f} GiB; "
            f"bare TRL {tokens / theirs.seconds:,.0f} tokens/s, {theirs.memory / 2**30:.2f} GiB"
        )
    both = list(zip(found["backend"], found["bare"]))
    speed = statistics.median(theirs.seconds / ours.seconds for ours, theirs in both)
    memory = statistics.median(ours.memory / max(1, theirs.memory) for ours, theirs in both)
    print(
        f"{algorithm}: {asked.steps} steps of {config.batch_size}, tokens/s {speed:.3f} times those of bare TRL "
        f"(bar >= {1 / RATIO_BAR:.3f}), memory {memory:.3f} times (bar <= {RATIO_BAR})"
    )
    return speed >= 1 / RATIO_BAR and memory <= RATIO_BAR


def main() -> None:
    """Run the pairs and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algorithms", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--digits", type=int, default=200)
    parser.add_argument(
        "--cpu", action="store_true", help="only see that it works, with a nano model"
    )
    asked = parser.parse_args()
    if not asked.cpu and not torch.cuda.is_available():
        print("gpu_training.py needs a CUDA device, and this machine has none", file=sys.stderr)
        raise SystemExit(3)
    silence()
    device = "cpu, which measures nothing" if asked.cpu else torch.cuda.get_device_name()
    print(f"{machine()}; {device}; load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory() as name:
        size = SMALL if asked.cpu else LARGE
        model = make_nano_model(
            Path(name) / "model", chars="0123456789sort :", max_length=2048, **size
        )
        weights = (model / "model.safetensors").stat().st_size // 4
        kind = AutoConfig.from_pretrained(model).model_type
        print(
            f"{kind} of {weights / 1e6:.0f} million parameters, {asked.rows} rows of {asked.digits} digits"
        )
        found = [compare(algorithm, model, Path(name), asked) for algorithm in asked.algorithms]
    if not asked.cpu and not all(found):
        raise SystemExit("a bar does not hold")


if __name__ == "__main__":
    main()
