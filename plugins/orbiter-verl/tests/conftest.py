"""A small model, tasks and jobs that every test can use."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pathlib import Path

import orjson
import pytest
import torch
from orbiter_trl.nano import make_nano_model

from orbiter.records import Message, Task
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig
from orbiter.train.rewards import RewardSpec

LETTERS = "abcdefgh"


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def nano(tmp_path_factory) -> Path:
    """A random model of one layer that reads and writes a few letters."""
    return make_nano_model(
        tmp_path_factory.mktemp("models") / "nano",
        hidden_size=32,
        layers=1,
        heads=2,
        chars=f"{LETTERS} sy:",
        max_length=128,
    )


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A file of one task for each letter."""
    tasks = [Task("toy", f"toy:{c}", (Message("user", f"say {c}:"),), answer=c) for c in LETTERS]
    path = tmp_path_factory.mktemp("data") / "tasks.jsonl"
    path.write_bytes(b"".join(orjson.dumps(task.to_row()) + b"\n" for task in tasks))
    return path


def make_tasks(count: int) -> list[Task]:
    return [
        Task(
            "toy",
            f"toy:{n}",
            (Message("user", f"say {LETTERS[n % 8]}{LETTERS[n // 8]}:"),),
            answer=LETTERS[n % 8],
        )
        for n in range(count)
    ]


@pytest.fixture(scope="session")
def tasks():
    """Make tasks with prompts that all differ."""
    return make_tasks


@pytest.fixture
def write(tmp_path):
    """Write tasks as JSONL, and return the file."""

    def make(tasks, name: str = "tasks.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(b"".join(orjson.dumps(task.to_row()) + b"\n" for task in tasks))
        return path

    return make


def share_of_a(output: str) -> float:
    """Return how much of an answer is the letter a."""
    return output.count("a") / max(1, len(output))


@pytest.fixture
def make_job(nano, write, tmp_path):
    """Make a small job."""

    def make(
        algorithm: str = "grpo", *, rows=None, config=None, options=None, **changes
    ) -> TrainJob:
        small = {
            "device": "cpu",
            "group_size": 2,
            "max_prompt_length": 16,
            "max_response_length": 8,
        }
        return TrainJob(
            **{
                "algorithm": algorithm,
                "model": str(nano),
                "data": write(make_tasks(8) if rows is None else rows),
                "output_dir": tmp_path / "out",
                "config": TrainConfig(**{"max_steps": 2, "batch_size": 4, **(config or {})}),
                "rewards": (RewardSpec(name="a", fn=share_of_a),),
                "options": small | (options or {}),
                **changes,
            }
        )

    return make
