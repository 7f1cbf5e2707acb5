"""The tally: what a training run counts, kept with its resumable checkpoints so that a resumed run counts everything once."""

from __future__ import annotations

import attrs
from attrs import define, field

from orbiter.errors import BackendError
from orbiter.train.rewards import Rewards

BLIND_BATCHES, BLIND_ANSWERS = 3, 64
"""So many batches in a row without a score, of so many answers together, end a training: it would go on from nothing to nothing."""


@define
class Tally:
    """Running counts of one job.

    Args:
        token_count: Tokens that carried loss.
        seconds: Wall time of training.
        sample_count: Answers that were sampled (online algorithms).
        unscored: Answers that have no score, by reason.
        group_count: Groups of answers to one prompt.
        flat_group_count: Groups whose scored answers all got the same reward, so that they teach nothing.
        blind_batch_count: Batches in a row, up to now, none of whose answers has a score.
        blind_answer_count: Their answers.
    """

    token_count: int = 0
    seconds: float = 0.0
    sample_count: int = 0
    unscored: dict[str, int] = field(factory=dict)
    group_count: int = 0
    flat_group_count: int = 0
    blind_batch_count: int = 0
    blind_answer_count: int = 0

    def count_rewards(self, rewards: Rewards, *, group_size: int) -> None:
        """Add a batch of scores, in which each ``group_size`` in a row answer one prompt."""
        scores = rewards.scores
        self.sample_count += len(scores)
        if any(score is not None for score in scores):
            self.blind_batch_count = self.blind_answer_count = 0
        else:
            self.blind_batch_count += 1
            self.blind_answer_count += len(scores)
        for reason, count in rewards.unscored.items():
            self.unscored[reason] = self.unscored.get(reason, 0) + count
        for start in range(0, len(scores), group_size):
            self.group_count += 1
            group = {score for score in scores[start : start + group_size] if score is not None}
            self.flat_group_count += len(group) < 2

    def check_scored(self, *, ended: bool = False) -> None:
        """Raise if there is nothing to learn from.

        Args:
            ended: All answers are counted; else more may come.

        Raises:
            BackendError: No answer of the last batches has a score, or none of all.
        """
        blind = self.blind_answer_count
        enough = self.blind_batch_count >= BLIND_BATCHES and blind >= BLIND_ANSWERS
        if enough or (ended and 0 < blind == self.sample_count):
            raise BackendError(
                f"no answer of {self.blind_batch_count} batches in a row, {blind} answers, could be scored: {self._reasons()}",
                hint="an answer without a score is never learned from; mend the rewards",
            )

    def go_on_from(self, saved: Tally) -> None:
        """Take over the counts of a run that goes on."""
        for attribute in attrs.fields(Tally):
            setattr(self, attribute.name, getattr(saved, attribute.name))

    def alarms(self) -> list[str]:
        """Return a sentence for each count that looks wrong."""
        found = []
        if self.group_count and self.flat_group_count * 2 >= self.group_count:
            share = self.flat_group_count / self.group_count
            found.append(
                f"{self.flat_group_count} of {self.group_count} groups ({share:.0%}) have no variance of reward and teach nothing"
            )
        if self.unscored:
            count = sum(self.unscored.values())
            found.append(
                f"{count} of {self.sample_count} answers could not be scored: {self._reasons()}"
            )
        return found

    def _reasons(self) -> str:
        """Return why answers have no score, the most frequent reasons first."""
        by_count = sorted(self.unscored.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{reason} ({count})" for reason, count in by_count[:5])
