"""What is kept: quality, survivors, pairs, duplicates, contamination, splits, and the formats that trainers read.

survivors           distinct passing answers, with a decision for every attempt
best_of_n_pairs     the best passing answer against each failing one
ranked_pairs        every two answers whose scores differ, for a reward model
judged_pairs        what a judge prefers, as far as the verifier lets it
revision_pairs      the answer after a critique against the one before; chain_pairs, of what a RevisingPolicy has revised
refusal_pairs       refusals chosen where they are right, rejected where they are not
calibrated          how likely each pair is right; confident_pairs abstains, weighted_pairs and oversampled_pairs weigh
tagged_negatives    what is wrong with each rejected answer, in six kinds
length_matched      pairs whose answers are about as long
mixed_batches       several domains in every batch, in given shares
ReplayBuffer        the pairs of the last rounds
near_dedup          the first of rows that say nearly the same
decontaminate       rows that repeat no held-out task
split_rows          train, validation and test, no task in two
export              one exporter per format
"""

from __future__ import annotations

from orbiter.curate.calibration import (
    Calibration,
    Isotonic,
    Platt,
    brier_score,
    fit_isotonic,
    fit_platt,
)
from orbiter.curate.confidence import (
    Confident,
    calibrated,
    confident_pairs,
    oversampled_pairs,
    weighted_pairs,
)
from orbiter.curate.contamination import (
    Contamination,
    Decontaminated,
    HeldOutIndex,
    decontaminate,
)
from orbiter.curate.export import Exporter, ExportReport
from orbiter.curate.judged import JudgedPairs, judged_pairs, voted
from orbiter.curate.lengths import LengthReport, length_matched, length_report
from orbiter.curate.mixing import MixedBatches, mixed_batches
from orbiter.curate.near_dedup import Deduplicated, near_dedup
from orbiter.curate.negatives import count_negatives, tagged_negatives
from orbiter.curate.pairs import (
    UnpairedPreference,
    best_of_n_pairs,
    ranked_pairs,
    unpaired_preferences,
)
from orbiter.curate.planner import RowRange, SamplePlan, plan_samples
from orbiter.curate.quality import (
    Filtered,
    FilterReport,
    exact_dedup,
    filter_file,
    filter_quality,
)
from orbiter.curate.refusals import (
    RefusalRates,
    balanced_refusals,
    refusal_pairs,
    refusal_rates,
)
from orbiter.curate.replay import ReplayBuffer
from orbiter.curate.revisions import chain_pairs, revision_pairs
from orbiter.curate.splits import Splits, split_rows
from orbiter.curate.survivors import Survivors, survivors
from orbiter.curate.unary import UnaryWeights, step_preferences, unary_weights
from orbiter.generate.corruptions import NegativeKind
from orbiter.verify.refusals import is_refusal

__all__ = [
    "Calibration",
    "Confident",
    "Contamination",
    "Decontaminated",
    "Deduplicated",
    "ExportReport",
    "Exporter",
    "FilterReport",
    "Filtered",
    "HeldOutIndex",
    "Isotonic",
    "JudgedPairs",
    "LengthReport",
    "MixedBatches",
    "NegativeKind",
    "Platt",
    "RefusalRates",
    "ReplayBuffer",
    "RowRange",
    "SamplePlan",
    "Splits",
    "Survivors",
    "UnaryWeights",
    "UnpairedPreference",
    "balanced_refusals",
    "best_of_n_pairs",
    "brier_score",
    "calibrated",
    "chain_pairs",
    "confident_pairs",
    "count_negatives",
    "decontaminate",
    "exact_dedup",
    "filter_file",
    "filter_quality",
    "fit_isotonic",
    "fit_platt",
    "is_refusal",
    "judged_pairs",
    "length_matched",
    "length_report",
    "mixed_batches",
    "near_dedup",
    "oversampled_pairs",
    "plan_samples",
    "ranked_pairs",
    "refusal_pairs",
    "refusal_rates",
    "revision_pairs",
    "split_rows",
    "step_preferences",
    "survivors",
    "tagged_negatives",
    "unary_weights",
    "unpaired_preferences",
    "voted",
    "weighted_pairs",
]
