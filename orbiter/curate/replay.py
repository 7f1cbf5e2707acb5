"""A replay buffer for online loops: the pairs of the last rounds, none too old."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import frozen

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError
from orbiter.records import Pair, content_hash
from orbiter.tasks.streams import item_stream


@frozen(kw_only=True)
class ReplayBuffer:
    """Pairs of recent rounds; frozen, so that a round that is run again starts from the same one.

    A pair is as old as the rounds since its answers were written. What a policy would no longer write teaches it little: pairs older than
    ``max_age`` are left out of every sample, and dropped when new ones come. Keep it between processes as JSONL: ``pairs`` is all it holds.

    Args:
        capacity: Most pairs that are kept; the oldest go first.
        max_age: Oldest pair that is used, in rounds; 0 is the present round alone.
        pairs: The pairs, each with ``metadata["round"]``, the oldest first.
    """

    capacity: int
    max_age: int
    pairs: tuple[Pair, ...] = ()

    def __attrs_post_init__(self) -> None:
        check_whole_number("capacity", self.capacity, low=1)
        check_whole_number("max_age", self.max_age, low=0)
        for pair in self.pairs:
            _round_of(pair)

    @property
    def oldest(self) -> int:
        """The round of the oldest pair.

        Raises:
            ConfigError: There is none.
        """
        if not self.pairs:
            raise ConfigError("a replay buffer must hold a pair to have an oldest one, got none")
        return _round_of(self.pairs[0])

    def added(self, pairs: Iterable[Pair], *, round: int) -> ReplayBuffer:
        """Return the buffer with new pairs, without those that are too old in this round or over capacity.

        Of two pairs with the same prompt and answers the newer stays, with its weight.

        Args:
            pairs: Pairs with ``metadata["round"]``, as pairs of trajectories that have a round do.
            round: The present round.

        Raises:
            ConfigError: A pair has no round, or one that is still to come.
        """
        newest: dict[str, Pair] = {}
        for pair in sorted((*self.pairs, *pairs), key=_round_of):
            if _round_of(pair) > round:
                raise ConfigError(
                    f"round of pair {pair.task_id!r} must be <= {round}, got {_round_of(pair)}"
                )
            key = content_hash([pair.env, pair.task_id, pair.prompt, pair.chosen, pair.rejected])
            newest.pop(key, None)
            newest[key] = pair
        fresh = [pair for pair in newest.values() if round - _round_of(pair) <= self.max_age]
        return ReplayBuffer(
            capacity=self.capacity, max_age=self.max_age, pairs=tuple(fresh[-self.capacity :])
        )

    def sample(self, count: int, *, round: int, seed: int = 0) -> list[Pair]:
        """Return at most ``count`` different pairs that are fresh in this round, each as likely as any other.

        Args:
            count: >= 0
            round: The present round.
            seed: Seed of the choice; round and seed make it.
        """
        check_whole_number("count", count, low=0)
        fresh = [pair for pair in self.pairs if 0 <= round - _round_of(pair) <= self.max_age]
        return item_stream("replay", seed, round).sample(fresh, min(count, len(fresh)))


def _round_of(pair: Pair) -> int:
    number: Any = pair.metadata.get("round")
    if type(number) is not int:
        raise ConfigError(
            f"metadata.round of pair {pair.task_id!r} must be an integer, got {number!r}",
            hint="make pairs from trajectories that have a round, or set it",
        )
    return number
