from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from orbiter.ledger import Attempt, AttemptKey, Ledger
from orbiter.records import Message, Trajectory

TASKS = [("sorting", "b"), ("adding", "a"), ("sorting", "a")]


def _attempt(key: AttemptKey, text: str | None = None, **more: object) -> Attempt:
    answer = text if text is not None else f"answer {key.attempt} to {key.task_id}"
    trajectory = Trajectory(
        messages=(Message("user", f"solve {key.task_id}"), Message("assistant", answer)),
        env=key.env,
        task_id=key.task_id,
        score=None,
        generator="scripted",
        model="checkpoints/base",
        seed=2**63 + key.attempt,
    )
    return Attempt(key=key, trajectory=trajectory, **{"token_count": 3, **more})


@pytest.fixture
def make_attempt() -> Callable[..., Attempt]:
    return _attempt


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def ledger(run_dir: Path):
    with Ledger.open(run_dir) as opened:
        yield opened


@pytest.fixture
def planned() -> Callable[..., list[AttemptKey]]:
    """Return a function that plans a round of three tasks and gives what is pending."""

    def plan(ledger: Ledger, samples: int = 2, round: int = 1) -> list[AttemptKey]:
        ledger.plan(round, "policy", TASKS, samples=samples)
        return list(ledger.pending(round, "policy"))

    return plan


@pytest.fixture
def lines() -> Callable[[Path, str], list[dict]]:
    """Return a function that reads the rows of one of a run's files."""
    return lambda run_dir, name: [
        orjson.loads(line) for line in (run_dir / f"{name}.jsonl").read_bytes().splitlines()
    ]
