"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024) of single answers with TRL's KTOTrainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from datasets import Dataset
from trl import KTOConfig, KTOTrainer

from orbiter.checks import check_number
from orbiter.curate.pairs import UnpairedPreference
from orbiter.curate.unary import unary_weights
from orbiter.errors import ConfigError
from orbiter.tasks.streams import item_stream
from orbiter.train.backend import TrainJob
from orbiter.train.tally import Tally
from orbiter_trl.data import Data, read_data
from orbiter_trl.offline import make_config
from orbiter_trl.preferences import Tokeniser, pad_id_of, pad_tokens, read_unpaired
from orbiter_trl.rows import TokenRow
from orbiter_trl.settings import check_choices, check_reference, refuse_rewards
from orbiter_trl.training import Setup


@dataclass
class BalancedKTOConfig(KTOConfig):
    """TRL's arguments, and what all desirable answers together count, as a multiple of all undesirable ones.

    ``label_ratio`` sets ``desirable_weight`` and ``undesirable_weight`` (Ethayarajh et al. 2024, eq. 8, advise 1 to 4/3); None leaves them.
    """

    label_ratio: float | None = field(default=None)


CONFIG = BalancedKTOConfig
"""The class whose arguments a job's options are."""

IDLE = frozenset(
    {"dataset_num_proc", "pad_to_multiple_of", "remove_unused_columns", "train_sampling_strategy"}
)  # fmt: skip
"""Arguments of it that would change nothing here."""

LOSSES = ("kto", "apo_zero_unpaired")


class UnaryKTOTrainer(KTOTrainer):
    """TRL's trainer on tokens that are ready, counting those that carry loss."""

    tally: Tally

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        """Compute the loss, as the parent does."""
        if model.training:
            self.tally.token_count += int(inputs["completion_mask"].sum())
        return super().compute_loss(model, inputs, *more, **named)


def check(job: TrainJob) -> Data[UnpairedPreference]:
    """Return the job's answers; raise if it asks for what this algorithm cannot do, or its data are no unpaired preferences."""
    refuse_rewards(job)
    check_choices("loss_type", job.options.get("loss_type", "kto"), LOSSES)
    check_number("beta", job.options.get("beta", 0.1), "(0, inf)")
    check_reference(job, beta=0.1)
    ratio = job.options.get("label_ratio")
    weights = {"desirable_weight", "undesirable_weight"} & job.options.keys()
    if ratio is not None:
        check_number("label_ratio", ratio, "(0, inf)")
        if weights:
            raise ConfigError(
                f"label_ratio must be left out beside {sorted(weights)[0]}, got {ratio!r}"
            )
    if job.options.get("loss_type", "kto") == "kto" and job.config.batch_size < 2:
        raise ConfigError(
            f"batch_size must be >= 2 for kto, got {job.config.batch_size}",
            hint="the reference point is estimated from the other answers of the batch",
        )
    return read_data(job, read_unpaired)


def make_arguments(job: TrainJob, folder: Path) -> BalancedKTOConfig:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return make_config(BalancedKTOConfig, job, folder)


def make_trainer(setup: Setup) -> tuple[UnaryKTOTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    job, data, args = setup.job, setup.data, setup.args
    tokens = Tokeniser(setup.model, setup.tokenizer, job.config.max_length)

    def table(answers: list[UnpairedPreference], batch_size: int) -> Dataset:
        rows = tokens.unpaired(answers)
        # TRL goes through the rows in their order; in that of a data set, neighbours answer the same prompt.
        item_stream("kto order", job.config.seed).shuffle(rows)
        return unary_table(rows, batch_size=batch_size, mismatch=args.loss_type == "kto")

    if args.label_ratio is not None:
        weights = unary_weights(data.train, ratio=args.label_ratio)
        args.desirable_weight, args.undesirable_weight = weights.desirable, weights.undesirable
    trainer = UnaryKTOTrainer(
        model=setup.model,
        args=args,
        data_collator=UnaryBatch(pad_id_of(setup.tokenizer)),
        train_dataset=table(data.train, args.per_device_train_batch_size),
        eval_dataset=None
        if data.held_out is None
        else table(data.held_out, args.per_device_eval_batch_size),
        processing_class=setup.tokenizer,
        peft_config=setup.peft_config,
    )
    trainer.tally = setup.tally
    return trainer, tokens.alarms


def unary_table(
    rows: Sequence[tuple[TokenRow, bool]], *, batch_size: int, mismatch: bool
) -> Dataset:
    """Return a table of answers, beside each the answer to the prompt before it in its batch, for the reference point.

    Args:
        rows: Tokens and labels.
        batch_size: Rows per batch; the batches are taken in order.
        mismatch: Whether the loss has a reference point.
    """
    table: dict[str, list[Any]] = {
        "ids": [row.ids for row, _ in rows],
        "mask": [row.mask for row, _ in rows],
        "label": [label for _, label in rows],
    }
    if mismatch:
        table["KL_ids"], table["KL_mask"] = [], []
        for number, (row, _) in enumerate(rows):
            start = number - number % batch_size
            size = min(batch_size, len(rows) - start)
            # A row that is alone in the last batch has the answer of the one before it.
            before = number - 1 if size == 1 else start + (number - start - 1) % size
            other = rows[before][0]
            prompt, answer = row.mask.index(1), other.mask.index(1)
            table["KL_ids"].append(row.ids[:prompt] + other.ids[answer:])
            table["KL_mask"].append([0] * prompt + other.mask[answer:])
    return Dataset.from_dict(table)


@frozen
class UnaryBatch:
    """Collates rows of a unary table under the names that TRL's trainer knows, padded on the right."""

    pad_id: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the batch."""
        batch = {"label": torch.tensor([row["label"] for row in rows])}
        for prefix in ("", "KL_"):
            if f"{prefix}ids" in rows[0]:
                part = pad_tokens(
                    [row[f"{prefix}ids"] for row in rows],
                    [row[f"{prefix}mask"] for row in rows],
                    pad_id=self.pad_id,
                )
                batch |= {f"{prefix}{name}": value for name, value in part.items()}
        for name in ("ref_logps", "ref_KL_logps"):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows])
        return batch
