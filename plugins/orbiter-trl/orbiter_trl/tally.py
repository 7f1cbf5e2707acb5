"""The tally: what a training run counts, kept with its resumable checkpoints so that a resumed run counts everything once."""

from __future__ import annotations

import attrs
from attrs import define


@define
class Tally:
    """Running counts of one job.

    Args:
        token_count: Tokens that carried loss.
        seconds: Wall time of training.
        sample_count: Answers that were sampled (online algorithms).
        unscored_count: Answers that no reward could score.
        group_count: Groups of answers to one prompt.
        flat_group_count: Groups whose scored answers all got the same reward, which teach nothing.
    """

    token_count: int = 0
    seconds: float = 0.0
    sample_count: int = 0
    unscored_count: int = 0
    group_count: int = 0
    flat_group_count: int = 0

    def go_on_from(self, saved: Tally) -> None:
        """Take over the counts of a run that goes on."""
        for name, value in attrs.asdict(saved).items():
            setattr(self, name, value)

    def alarms(self) -> list[str]:
        """Return a sentence for each count that looks wrong."""
        found = []
        if self.flat_group_count * 2 >= max(self.group_count, 1):
            share = self.flat_group_count / self.group_count
            found.append(
                f"{self.flat_group_count} of {self.group_count} groups ({share:.0%}) have no variance of reward and teach nothing"
            )
        if self.unscored_count:
            found.append(
                f"{self.unscored_count} of {self.sample_count} answers could not be scored and were left out"
            )
        return found
