"""Samples: what the policy answered during a training and how it was scored, one JSON row per answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import field, frozen

from orbiter.train.rewards import Rewards
from orbiter.train.tally import Tally
from orbiter_verl.tail import JsonlTail


@frozen(kw_only=True)
class Sample:
    """One answer.

    Args:
        step: Optimiser step that it was sampled for.
        split: ``train`` or ``eval``.
        group: Common to the answers to one prompt of one step.
        task_id: What was asked.
        output: What was answered.
        score: Weighted sum of the rewards; None if it could not be scored.
        reason: Why not, or None.
        rewards: Each reward by name, unweighted; None where it could not tell.
        token_count: Tokens of the answer.
        traceback: Of a reward that raised: once per reward and process.
    """

    step: int
    split: str
    group: str
    task_id: str
    output: str
    score: float | None
    reason: str | None = None
    rewards: Mapping[str, float | None] = field(factory=dict)
    token_count: int = 0
    traceback: str | None = None


class SampleReader:
    """Reads what the scoring processes of one attempt have noted down since it was last asked.

    Args:
        folder: Holds one file per process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tails: dict[Path, JsonlTail] = {}

    def read(self) -> list[Sample]:
        """Return the samples that are new."""
        for path in sorted(self._folder.glob("*.jsonl")):
            self._tails.setdefault(path, JsonlTail(path))
        return [Sample(**row) for tail in self._tails.values() for row in tail.rows()]


class Account:
    """Counts the samples of a job, and forgets each step's once it is counted.

    Args:
        compares_groups: Whether answers to one prompt are compared with each other.
    """

    def __init__(self, *, compares_groups: bool) -> None:
        self._compares_groups = compares_groups
        self._open: list[Sample] = []
        self.tally = Tally()
        self.tracebacks: list[str] = []

    def add(self, samples: Iterable[Sample]) -> None:
        """Take samples in, of steps that are not counted yet."""
        for sample in samples:
            self._open.append(sample)
            if sample.traceback is not None:
                self.tracebacks.append(sample.traceback)

    def close(self, step: int) -> dict[str, float]:
        """Count what was sampled up to a step, and return its means: ``reward``, ``rewards/<name>``, ``eval_reward``, ``unscored``."""
        done = [sample for sample in self._open if sample.step <= step]
        self._open = [sample for sample in self._open if sample.step > step]
        train = [sample for sample in done if sample.split == "train"]
        self._count(train)
        found = _means(train, "") | _means([s for s in done if s.split == "eval"], "eval_")
        if train:
            found["unscored"] = float(sum(sample.score is None for sample in train))
        return found

    def _count(self, samples: Iterable[Sample]) -> None:
        groups: dict[tuple[int, str], list[Sample]] = defaultdict(list)
        for sample in samples:
            groups[sample.step, sample.group].append(sample)
            if sample.score is not None:
                self.tally.token_count += sample.token_count
        for group in groups.values():
            rewards = Rewards(
                scores=tuple(sample.score for sample in group),
                reasons=tuple(sample.reason for sample in group),
            )
            self.tally.count_rewards(rewards, group_size=len(group))
        if not self._compares_groups:
            self.tally.group_count = self.tally.flat_group_count = 0


def _means(samples: Iterable[Sample], prefix: str) -> dict[str, float]:
    """Return the mean of the scores and of each reward, over the answers that have one."""
    values: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        if sample.score is not None:
            values["reward"].append(sample.score)
        for name, value in sample.rewards.items():
            if value is not None:
                values[f"rewards/{name}"].append(value)
    return {prefix + name: sum(each) / len(each) for name, each in values.items()}
