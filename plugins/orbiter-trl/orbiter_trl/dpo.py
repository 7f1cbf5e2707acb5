"""Direct preference optimisation (Rafailov et al. 2023) and its kin, with TRL's DPOTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from orbiter.checks import check_number
from orbiter.errors import ConfigError, RecordError
from orbiter.records import Pair
from orbiter.train.backend import TrainJob
from orbiter_trl.data import Data, read_data
from orbiter_trl.offline import make_config, make_offline_trainer
from orbiter_trl.preferences import PairBatch, Tokeniser, pad_id_of, read_pairs
from orbiter_trl.settings import check_choices, check_reference, refuse_rewards
from orbiter_trl.training import Setup
from orbiter_trl.weighing import WeighingTrainer

CONFIG = DPOConfig
"""The class whose arguments a job's options are."""

IDLE = frozenset(
    {"dataset_num_proc", "pad_to_multiple_of", "pad_token", "padding_free", "remove_unused_columns",
     "truncation_mode"}
)  # fmt: skip
"""Arguments of it that would change nothing here."""

LOSSES = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero",
    "apo_down", "discopop", "sft", "sigmoid_norm",
)  # fmt: skip
"""The names of losses in TRL 1.16; several in a list are added, with ``loss_weights``."""

SORTING = {"aot", "aot_unpaired"}
"""Losses over the sorted answers of a batch, in which no pair has a loss of its own that could be weighted."""


class PairDPOTrainer(WeighingTrainer, DPOTrainer):  # type: ignore[misc]
    """TRL's trainer on tokens that are ready, with weights of pairs."""

    weighed = "log_probs"

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """Compute the reference's log-probabilities, as the parent does."""
        return super().compute_ref_log_probs(
            model, {name: value for name, value in inputs.items() if name != "weight"}
        )


def losses(job: TrainJob) -> list[str]:
    """Return the names of the losses that a job asks for."""
    found = job.options.get("loss_type", "sigmoid")
    return list(found) if isinstance(found, list | tuple) else [found]


def check(job: TrainJob) -> Data[Pair]:
    """Return the job's pairs; raise if it asks for what this algorithm cannot do, or its data are no pairs."""
    refuse_rewards(job)
    check_losses(job)
    check_reference(job, beta=0.1)

    def read(path: Path) -> list[Pair]:
        pairs = read_pairs(path)
        check_weights(job, path, pairs)
        return pairs

    return read_data(job, read)


def check_losses(job: TrainJob) -> None:
    """Raise ConfigError unless the losses are known, and have what they need."""
    check_number("beta", job.options.get("beta", 0.1), "(0, inf)")
    names = losses(job)
    for name in names:
        check_choices("loss_type", name, LOSSES)
    smoothing = check_number("label_smoothing", job.options.get("label_smoothing", 0.0), "[0, 0.5)")
    if "exo_pair" in names and not smoothing > 0:
        raise ConfigError(
            f"label_smoothing must be > 0 for the loss 'exo_pair', got {smoothing!r}",
            hint="its authors advise 0.001",
        )
    if set(names) == {"sft"}:
        raise ConfigError(
            "loss_type must name a preference loss beside 'sft', got 'sft' alone",
            hint="for imitation alone use the algorithm sft",
        )


def check_weights(job: TrainJob, path: Path, pairs: list[Pair]) -> None:
    """Raise RecordError if pairs have weights and the loss cannot take them."""
    sorting = sorted(SORTING & set(losses(job)))
    if sorting and any(pair.weight != 1 for pair in pairs):
        raise RecordError(
            f"must be 1 for the loss {sorting[0]!r}, which sorts the answers of a batch, got other weights",
            source=str(path),
            field="weight",
        )


def make_arguments(job: TrainJob, folder: Path) -> DPOConfig:
    """Return TRL's arguments for the job; ``folder`` gets the resumable checkpoints."""
    return make_config(DPOConfig, job, folder)


def make_trainer(setup: Setup) -> tuple[PairDPOTrainer, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    return make_offline_trainer(
        PairDPOTrainer,
        setup,
        table=Tokeniser.pairs,
        data_collator=PairBatch(
            pad_id_of(setup.tokenizer), columns=("weight", "ref_chosen_logps", "ref_rejected_logps")
        ),
    )
