"""Shared models: made once per session, since every test can read the same folders."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pathlib import Path

import orjson
import pytest
import torch
from orbiter_trl.nano import make_nano_model

from orbiter.records import Message, Task, Trajectory

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
