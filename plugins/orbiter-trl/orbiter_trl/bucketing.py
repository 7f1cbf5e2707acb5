"""Bucketing: batches of rows of like length, so that little of a batch is padding.

``train_sampling_strategy: group_by_length`` asks for it. The sampler of transformers draws from torch's global stream, so that a run that
goes on after a crash sees other batches; this one has a stream of its own for each epoch, and shuffles the batches, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch.utils.data import Sampler

from orbiter.tasks.streams import item_stream

SPAN = 50
"""Batches whose rows are sorted together: more of them pad less, and mix less."""


class BucketSampler(Sampler[int]):
    """Goes through all rows in a random order in which each batch has rows of like length.

    Args:
        lengths: Tokens of each row.
        batch_size: Rows per batch.
        seed: Of the order; each epoch has another.
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed = list(lengths), batch_size, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Go by the order of this epoch from now on."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        stream, size = item_stream("buckets", self._seed, self._epoch), self._batch_size
        order = list(range(len(self._lengths)))
        stream.shuffle(order)
        batches = []
        for start in range(0, len(order), SPAN * size):
            rows = sorted(order[start : start + SPAN * size], key=self._lengths.__getitem__)
            batches += [rows[i : i + size] for i in range(0, len(rows), size)]
        # What does not fill a batch comes last, where the loader expects it.
        rest = batches.pop() if batches and len(batches[-1]) < size else []
        stream.shuffle(batches)
        yield from (row for batch in [*batches, rest] for row in batch)


class BucketingTrainer:
    """Mixed into a trainer of TRL: samples rows of like length together if ``train_sampling_strategy`` says so.

    How long a row is says its column ``length``, or its ``input_ids``.
    """

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        args, dataset = self.args, self.train_dataset  # type: ignore[attr-defined]
        if args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)  # type: ignore[misc]
        if "length" in dataset.column_names:
            lengths = dataset["length"]
        else:
            lengths = [len(ids) for ids in dataset["input_ids"]]
        return BucketSampler(lengths, batch_size=args.train_batch_size, seed=args.seed)
