"""Shared models: made once per session, since every test can read the same folders."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pathlib import Path

import orjson
import pytest
import torch
from orbiter_trl.backend import TrlBackend
from orbiter_trl.nano import make_nano_model

from orbiter.curate.pairs import UnpairedPreference
from orbiter.records import Message, Pair, Task, Trajectory
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig
from orbiter.train.rewards import RewardSpec

CHARS = "0123456789copy: "


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def nano(tmp_path_factory) -> Path:
    """A random model of one layer that reads and writes digits."""
    return make_nano_model(
        tmp_path_factory.mktemp("models") / "nano",
        hidden_size=16,
        layers=1,
        heads=2,
        chars=CHARS,
        max_length=64,
    )


@pytest.fixture
def rows():
    """Make trajectories that copy a two-digit number."""

    def make(count: int) -> list[Trajectory]:
        return [
            Trajectory(
                (Message("user", f"copy {n % 100:02}:"), Message("assistant", f"{n % 100:02}")),
                "copying",
                f"copying:{n}",
                1.0,
            )
            for n in range(count)
        ]

    return make


@pytest.fixture
def write(tmp_path):
    """Write records as JSONL, and return the file."""

    def make(records, name: str = "data.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(b"".join(orjson.dumps(record.to_row()) + b"\n" for record in records))
        return path

    return make


@pytest.fixture
def tasks():
    """Make tasks that ask to copy a two-digit number."""

    def make(count: int) -> list[Task]:
        return [
            Task(
                "copying",
                f"copying:{n}",
                (Message("user", f"copy {n % 100:02}:"),),
                answer=f"{n % 100:02}",
            )
            for n in range(count)
        ]

    return make


def answer(text: str) -> tuple[Message, ...]:
    return (Message("assistant", text),)


@pytest.fixture
def pairs():
    """Make pairs that prefer the copy of a number to another number, of one digit more every third time."""

    def make(count: int, **more) -> list[Pair]:
        return [
            Pair(
                (Message("user", f"copy {n % 100:02}:"),),
                answer(f"{n % 100:02}"),
                answer(f"{99 - n % 100:02}" + "7" * (n % 3 == 0)),
                "copying",
                f"copying:{n}",
                **more,
            )
            for n in range(count)
        ]

    return make


@pytest.fixture
def unary():
    """Make answers of which every second is a copy, and desirable."""

    def make(count: int) -> list[UnpairedPreference]:
        return [
            UnpairedPreference(
                (Message("user", f"copy {n % 100:02}:"),),
                answer(f"{n % 100:02}" if n % 2 else f"{99 - n % 100:02}7"),
                bool(n % 2),
            )
            for n in range(count)
        ]

    return make


def digit_share(output: str) -> float:
    """Return how much of the longest answer is digits."""
    return sum(c.isdigit() for c in output) / 6


OPTIONS = {
    "spin": {"max_completion_length": 6},
    "grpo": {"num_generations": 4, "max_completion_length": 6},
    "rloo": {"num_generations": 4, "max_completion_length": 6},
    "online_dpo": {"max_new_tokens": 6},
}


@pytest.fixture
def any_job(nano, rows, tasks, pairs, unary, write, tmp_path):
    """Make a small job of any algorithm of the backend."""
    made = {Trajectory: rows, Task: tasks, Pair: pairs, UnpairedPreference: unary}
    config = TrainConfig(max_steps=2, batch_size=4, log_every=1)

    def make(algorithm: str, *, name: str = "out", count: int = 12, options=None, **changes):
        record = TrlBackend.algorithms[algorithm]
        return TrainJob(
            **{
                "algorithm": algorithm,
                "model": str(nano),
                "data": write(made[record](count), f"{record.__name__}.jsonl"),
                "output_dir": tmp_path / name,
                "config": config,
                "rewards": (RewardSpec(name="digits", fn=digit_share),) if record is Task else (),
                "options": OPTIONS.get(algorithm, {}) | (options or {}),
                **changes,
            }
        )

    return make


@pytest.fixture(scope="session")
def scoring_model(nano, tmp_path_factory):
    """Train a model of an algorithm that scores, on rows."""
    config = TrainConfig(max_steps=30, batch_size=8, learning_rate=2e-2, log_every=10)

    def make(algorithm, rows):
        folder = tmp_path_factory.mktemp(algorithm)
        data = folder / "rows.jsonl"
        data.write_bytes(b"".join(orjson.dumps(row.to_row()) + b"\n" for row in rows))
        job = TrainJob(
            algorithm=algorithm,
            model=str(nano),
            data=data,
            output_dir=folder / "out",
            config=config,
        )
        return TrlBackend().train(job).checkpoint

    return make


CONFIG = TrainConfig(max_steps=6, batch_size=4, learning_rate=3e-3, log_every=2, seed=1)


@pytest.fixture
def job(nano, rows, write, tmp_path):
    """Make a small SFT job."""

    def make(name="out", *, count=40, **changes):
        config = changes.pop("config", CONFIG)
        changes.setdefault("data", write(rows(count), "sft.jsonl"))
        return TrainJob(
            algorithm=changes.pop("algorithm", "sft"),
            model=changes.pop("model", str(nano)),
            output_dir=tmp_path / name,
            config=config,
            **changes,
        )

    return make


PROMPTS = [(Message("user", f"copy {n}{n}:"),) for n in range(8)]


@pytest.fixture(scope="session")
def reward_model(scoring_model):
    """A model that prefers answers of digits to answers of letters."""
    return scoring_model("reward", [Pair(p, answer("77"), answer("cc")) for p in PROMPTS])


@pytest.fixture(scope="session")
def step_model(scoring_model):
    """A model that takes steps of digits for right, and those of letters for wrong."""
    rows = [
        UnpairedPreference((*prompt, *before), answer(text), text == "77")
        for prompt in PROMPTS
        for before, text in (((), "77"), ((), "cc"), (answer("77"), "cc"), (answer("cc"), "77"))
    ]
    return scoring_model("prm", rows)
