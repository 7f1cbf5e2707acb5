"""The replay buffer: what of the sampled answers a step of verl learns from."""

from __future__ import annotations

from collections import Counter
from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

ATTEMPTS = 3
"""Batches of prompts that are tried before a step is given up in which no answer could be scored."""


class ScoredReplayBuffer(ReplayBuffer):
    """Gives a step the answers that have a score, in an order that does not depend on when they came.

    An answer that could not be scored never gets here (see ``rewarding``). Of a group that is compared with itself, a lone survivor
    is left out too: verl would take its score for its advantage. What is missing verl fills up with samples that carry no loss.
    """

    def __init__(self, *args: Any, sampler_kwargs: Any, **kwargs: Any) -> None:
        self._compares_groups = sampler_kwargs["compares_groups"]
        kwargs["poll_interval"] = sampler_kwargs["poll_interval_s"]
        filtering = sampler_kwargs["filter_groups"]
        if filtering["enable"]:  # what verl tells its own buffer, and no other
            kwargs |= {
                "filter_groups_metric": filtering["metric"],
                "max_inflight_gen_batches": filtering["max_inflight_gen_batches"],
                "train_batch_size": sampler_kwargs["train_batch_size"],
                "gen_batch_size": 1,
            }
        super().__init__(*args, sampler_kwargs=sampler_kwargs, **kwargs)

    def sample(
        self, global_steps: int, partition_id: str, batch_size: int
    ) -> tuple[KVBatchMeta, dict[str, Any]]:
        """Return a batch with at least one answer to learn from.

        Raises:
            RuntimeError: No answer of several batches could be scored.
        """
        for attempt in range(ATTEMPTS):
            if attempt:
                self.refill_fn(batch_size)
            try:
                batch, metrics = super().sample(global_steps, partition_id, batch_size)
            except RuntimeError as error:
                if "no materializable trajectories" not in str(error):
                    raise
                self._forget(partition_id)
                continue
            if partition_id == "train" and self._compares_groups:
                batch = self._without_lone(batch)
            if batch.keys:
                self._put_in_order(batch)
                return batch, metrics
            if partition_id != "train":
                break
        raise RuntimeError("no answer could be scored")

    def _forget(self, partition_id: str) -> None:
        """Remove the prompts whose answers all failed."""
        self._clear_groups(
            partition_id, self.finished_keys[partition_id] | self.failure_keys[partition_id]
        )

    def _without_lone(self, batch: KVBatchMeta) -> KVBatchMeta:
        sizes = Counter(key.split("_")[0] for key in batch.keys)
        lone = {key for key in batch.keys if sizes[key.split("_")[0]] == 1}
        if not lone:
            return batch
        tq.kv_clear(partition_id=batch.partition_id, keys=list(lone))
        kept = [(key, tag) for key, tag in zip(batch.keys, batch.tags) if key not in lone]
        return KVBatchMeta(
            partition_id=batch.partition_id,
            keys=[key for key, _ in kept],
            tags=[tag for _, tag in kept],
        )

    def _put_in_order(self, batch: KVBatchMeta) -> None:
        data = tq.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=["index"]
        )
        rows = [int(row) for row in data["index"]]
        # A key is <prompt of this run>_<sample>_<turn>.
        places = [(row, *map(int, key.rsplit("_", 2)[1:])) for row, key in zip(rows, batch.keys)]
        batch.reorder(sorted(range(len(places)), key=places.__getitem__))
