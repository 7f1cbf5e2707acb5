"""What the trainers of CPO, SimPO and ORPO share: they need no reference, and live in ``trl.experimental``."""

from __future__ import annotations

from typing import Any, TypeVar

from orbiter_trl.offline import make_offline_trainer
from orbiter_trl.preferences import PairBatch, Tokeniser, pad_id_of
from orbiter_trl.rows import IGNORED
from orbiter_trl.training import Setup
from orbiter_trl.weighing import WeighingTrainer

IDLE = frozenset(
    {"dataset_num_proc", "generate_during_eval", "is_encoder_decoder", "max_completion_length", "model_init_kwargs", "padding_value",
     "remove_unused_columns"}
)  # fmt: skip
"""Arguments of their configs that would change nothing here."""

LONGEST = 2**31
"""A bound on length that cuts nothing; without one, TRL warns and takes 512."""

T = TypeVar("T", bound="ReferenceFreeTrainer")


def _as_it_is(row: dict[str, Any]) -> dict[str, Any]:
    return row


class ReferenceFreeTrainer(WeighingTrainer):
    """Mixed into a trainer of TRL that needs no reference: tokens that are ready, with weights of pairs."""

    tokenize_row = staticmethod(_as_it_is)

    def count_tokens(self, inputs: dict[str, Any]) -> int:
        """Return how many tokens of a batch carry loss."""
        return sum(
            int((inputs[f"{side}_labels"] != IGNORED).sum()) for side in ("chosen", "rejected")
        )


def make_pair_trainer(trainer_class: type[T], setup: Setup) -> tuple[T, list[str]]:
    """Return the trainer, ready to train, and the alarms about its data."""
    return make_offline_trainer(
        trainer_class,
        setup,
        table=Tokeniser.pairs,
        data_collator=PairBatch(pad_id_of(setup.tokenizer), apart=True),
    )
