"""Comparisons as a reward: each answer's share of wins against the other answers to its task."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from attrs import frozen

from orbiter.convert import show
from orbiter.errors import ConfigError
from orbiter.records import Task, Trajectory, Verdict, content_hash
from orbiter.verify.answer import final_answer
from orbiter.verify.judges.pairwise import PairwiseJudge, Preference


@frozen
class Comparisons:
    """A pairwise judge as the function of a reward, for algorithms that sample several answers to a task.

        RewardSpec(name="judge", fn=Comparisons(judge))

    Every two answers to a task in a batch are compared, in both orders: K (K - 1) / 2 comparisons of K answers. The reward of an answer is
    its wins, and half its ties, over the comparisons that the judge decided; with two answers it is 1 for the better one and 0 for
    the other. An answer of which none was decided is unscored, for the first reason that the judge gave.

    Args:
        judge: Says which of two answers is better.
    """

    judge: PairwiseJudge

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.judge, PairwiseJudge):
            raise ConfigError(f"judge must be a PairwiseJudge, got {show(self.judge)}")

    @property
    def version(self) -> str:
        """What changes when the judge does."""
        return f"{self.judge.name}@{self.judge.version}"

    def __call__(self, output: str, task: Task) -> Verdict:  # noqa: ARG002  # one answer alone
        """Return that there is nothing to compare one answer with."""
        return Verdict.invalid("nothing to compare with")

    def score_batch(self, pairs: Sequence[tuple[Task, Trajectory]]) -> list[float | Verdict]:
        """Return the share of wins of each answer, or why it has none."""
        groups: dict[str, list[int]] = {}
        for place, (task, _) in enumerate(pairs):
            key = content_hash([task.env, task.task_id, task.messages])
            groups.setdefault(key, []).append(place)
        duels = [duel for group in groups.values() for duel in combinations(group, 2)]
        texts = [final_answer(trajectory) or "" for _, trajectory in pairs]
        found = self.judge.compare_batch([(pairs[a][0], texts[a], texts[b]) for a, b in duels])
        wins: list[list[float]] = [[] for _ in pairs]
        reasons: list[str] = [""] * len(pairs)
        for (a, b), preference in zip(duels, found, strict=True):
            share = _share(preference)
            if share is None:
                for place in (a, b):
                    reasons[place] = reasons[place] or preference.reason
                continue
            wins[a].append(share)
            wins[b].append(1.0 - share)
        return [
            sum(won) / len(won) if won else Verdict.invalid(reason or "nothing to compare with")
            for won, reason in zip(wins, reasons)
        ]


def _share(preference: Preference) -> float | None:
    """Return the share of the first answer, or None if the judge did not decide."""
    return {"first": 1.0, "tie": 0.5, "second": 0.0, None: None}[preference.preferred]
