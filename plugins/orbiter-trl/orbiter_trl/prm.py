"""Process reward models on steps (Lightman et al. 2023), with TRL's RewardTrainer.

TRL's own trainer of them is gone. A model here has a head for one number per token; after the last token of a step it stands for the
log-odds that the step is right. The steps of one conversation are scored in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from datasets import Dataset
from torch.nn.functional import binary_cross_entropy_with_logits
from trl import RewardConfig, RewardTrainer

from orbiter.curate.pairs import UnpairedPreference
from orbiter.errors import RecordError
from orbiter.train.backend import TrainJob
from orbiter.train.tally import Tally
from orbiter_trl.bucketing import BucketingTrainer
from orbiter_trl.data import Data, read_data
from orbiter_trl.offline import make_config, make_offline_trainer
from orbiter_trl.preferences import Tokeniser, pad_id_of, padded, read_unpaired
from orbiter_trl.rows import IGNORED, TokenRow
from orbiter_trl.settings import refuse_rewards
from orbiter_trl.training import Setup

CONFIG = RewardConfig
"""The class whose arguments a job's options are."""

IDLE = frozenset(
    {"center_rewards_coefficient", "chat_template_path", "dataset_num_proc", "eos_token", "model_init_kwargs", "pad_to_multiple_of",
     "pad_token", "remove_unused_columns"}
)  # fmt: skip
"""Arguments of it that would change nothing here."""


class StepRewardTrainer(BucketingTrainer, RewardTrainer):  # type: ignore[misc]
    """TRL's trainer with the cross-entropy of the steps' labels as its loss."""

    tally: Tally

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002  # the parent's
    ) -> Any:
        """Compute the mean over the steps of a batch of -ln of the probability of their labels."""
        outputs = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        )
        judged = inputs["labels"] != IGNORED
        scores, labels = outputs.logits[..., 0][judged].float(), inputs["labels"][judged].float()
        loss = binary_cross_entropy_with_logits(scores, labels)
        metrics = self._metrics["train" if self.model.training else "eval"]
        metrics["accuracy"].append(((scores > 0) == (labels > 0.5)).float().mean().item())
        metrics["mean_reward"].append(scores.mean().item())
        if self.model.training:
            self.tally.token_count += len(labels)
        return (loss, outputs) if return_outputs else loss


def check(job: TrainJob) -> Data[UnpairedPreference]:
    """Return the job's steps; raise if it asks for what this algorithm cannot do, or its data are no labelled steps."""
    refuse_rewards(job)
    return read_data(job, _read_steps)


def _read_steps(path: Path) -> list[UnpairedPreference]:
    steps = read_unpaired(path)
    for line, step in enumerate(steps, start=1):
        if step.completion[-1].role != "assistant":
            raise RecordError(
                f"must end with the step, an assistant turn, got {step.completion[-1].role}",
                source=str(path),
                line=line,
                field="completion",
            )
    return steps


def make_arguments(job: TrainJob, folder: Path) -> RewardConfig:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return make_config(RewardConfig, job, folder)


def make_trainer(setup: Setup) -> tuple[StepRewardTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""

    def table(tokens: Tokeniser, steps: list[UnpairedPreference]) -> Dataset:
        return step_table(tokens.unpaired(steps, whole=True))

    return make_offline_trainer(
        StepRewardTrainer,
        setup,
        table=table,
        data_collator=StepBatch(pad_id_of(setup.tokenizer)),
    )


def step_table(steps: Sequence[tuple[TokenRow, bool]]) -> Dataset:
    """Return a table of conversations with a label on the last token of each judged step, which is that of the conversation up to it.

    A step whose tokens begin those of another shares its row, unless the place of its label is taken; so the steps of one attempt need
    one pass, and every step counts once.
    """
    rows: list[tuple[list[int], list[int]]] = []
    # From the longest of each beginning to the shortest.
    for step, right in sorted(steps, key=lambda item: item[0].ids, reverse=True):
        size = len(step.ids)
        shares = bool(rows) and rows[-1][0][:size] == step.ids and rows[-1][1][size - 1] == IGNORED
        if not shares:
            rows.append((step.ids, [IGNORED] * size))
        rows[-1][1][size - 1] = int(right)
    return Dataset.from_dict({"input_ids": [i for i, _ in rows], "labels": [m for _, m in rows]})


@frozen
class StepBatch:
    """Collates rows of a table of steps, padded on the right."""

    pad_id: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the batch."""
        ids = [row["input_ids"] for row in rows]
        return {
            "input_ids": padded(ids, self.pad_id),
            "attention_mask": padded([[1] * len(row) for row in ids], 0),
            "labels": padded([row["labels"] for row in rows], IGNORED),
        }
