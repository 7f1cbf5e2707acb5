"""What is kept: quality, survivors, pairs, duplicates, contamination, splits, and the formats that trainers read.

survivors           distinct passing answers, with a decision for every attempt
best_of_n_pairs     the best passing answer against each failing one
near_dedup          the first of rows that say nearly the same
decontaminate       rows that repeat no held-out task
split_rows          train, validation and test, no task in two
export              one exporter per format
"""

from __future__ import annotations

from orbiter.curate.contamination import (
    Contamination,
    Decontaminated,
    HeldOutIndex,
    decontaminate,
)
from orbiter.curate.export import Exporter, ExportReport
from orbiter.curate.near_dedup import Deduplicated, near_dedup
from orbiter.curate.pairs import UnpairedPreference, best_of_n_pairs, unpaired_preferences
from orbiter.curate.quality import (
    Filtered,
    FilterReport,
    exact_dedup,
    filter_file,
    filter_quality,
)
from orbiter.curate.splits import Splits, split_rows
from orbiter.curate.survivors import Survivors, survivors

__all__ = [
    "Contamination",
    "Decontaminated",
    "Deduplicated",
    "ExportReport",
    "Exporter",
    "FilterReport",
    "Filtered",
    "HeldOutIndex",
    "Splits",
    "Survivors",
    "UnpairedPreference",
    "best_of_n_pairs",
    "decontaminate",
    "exact_dedup",
    "filter_file",
    "filter_quality",
    "near_dedup",
    "split_rows",
    "survivors",
    "unpaired_preferences",
]
