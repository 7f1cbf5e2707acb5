"""What batches of rows of like length give: useful tokens per second beside random batches, on rows of log-normal length.

The same rows, model and steps, through the TRL backend with ``train_sampling_strategy`` random and group_by_length. A useful token is one
that carries loss. The learning rate is 0, so that the loss of the whole epoch, token by token, must be the same. They take turns, and each
pair gives one ratio.

    python benchmarks/bucketing.py [--rows 480] [--batch-size 16] [--sigma 1.0] [--pairs 3]

Bars: median ratio >= 2; losses equal to 1e-5.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import orjson
from orbiter_trl.backend import TrlBackend
from orbiter_trl.nano import make_nano_model

from orbiter import jsonl
from orbiter.records import Message, Trajectory
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig

RATIO_BAR, LOSS_BAR = 2.0, 1e-5
MEDIAN_LENGTH, LONGEST = 60, 1500


def make_rows(count: int, *, sigma: float) -> list[Trajectory]:
    """Answers of digits whose lengths are log-normal."""
    rng = random.Random(0)
    rows = []
    for number in range(count):
        length = min(LONGEST, max(1, round(MEDIAN_LENGTH * rng.lognormvariate(0, sigma))))
        digits = "".join(rng.choice("0123456789") for _ in range(length))
        chat = (Message("user", "digits:"), Message("assistant", digits))
        rows.append(Trajectory(chat, "digits", f"digits:{number}", 1.0))
    return rows


def run(
    model: Path, data: Path, folder: Path, config: TrainConfig, strategy: str
) -> tuple[float, float]:
    """Train, and return useful tokens per second and the loss per token."""
    job = TrainJob(
        algorithm="sft",
        model=str(model),
        data=data,
        output_dir=folder,
        config=config,
        options={"train_sampling_strategy": strategy},
    )
    result = TrlBackend().train(job)
    total = before = 0.0
    for line in (folder / "metrics.jsonl").read_bytes().splitlines():
        row = orjson.loads(line)
        total += row["loss"] * (row["token_count"] - before)
        before = row["token_count"]
    return result.token_count / result.seconds, total / result.token_count


def main() -> int:
    """Measure, print, and return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--sigma", type=float, default=1.0)
    parser.add_argument("--pairs", type=int, default=3)
    args = parser.parse_args()
    config = TrainConfig(epochs=1, batch_size=args.batch_size, learning_rate=0.0, log_every=1)
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    print(
        f"python {platform.python_version()}, {versions}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = make_nano_model(
            root / "model", hidden_size=128, layers=4, chars="0123456789digts:", max_length=2048
        )
        data = root / "data.jsonl"
        jsonl.write(data, make_rows(args.rows, sigma=args.sigma))
        run(model, data, root / "warm", config, "random")
        ratios, gaps = [], []
        for number in range(args.pairs):
            speed, loss = {}, {}
            for strategy in ("random", "group_by_length"):
                place = root / f"{strategy}-{number}"
                speed[strategy], loss[strategy] = run(model, data, place, config, strategy)
            ratios.append(speed["group_by_length"] / speed["random"])
            gaps.append(abs(loss["group_by_length"] - loss["random"]))
            print(
                f"useful tokens/s: {speed['random']:.0f} random, {speed['group_by_length']:.0f} by length, "
                f"ratio {ratios[-1]:.2f}; loss {loss['random']:.6f}, apart {gaps[-1]:.1e}"
            )
    print(
        f"median ratio {statistics.median(ratios):.2f} (bar {RATIO_BAR}), losses apart {max(gaps):.1e} (bar {LOSS_BAR})"
    )
    return int(statistics.median(ratios) < RATIO_BAR or max(gaps) > LOSS_BAR)


if __name__ == "__main__":
    raise SystemExit(main())
