"""The stages of a round. Each takes the flywheel and the round's number, and returns the plain facts that the ledger keeps."""

from orbiter.flywheel.stages.curation import curate, reads_rows
from orbiter.flywheel.stages.datasets import kept_path
from orbiter.flywheel.stages.rollouts import evaluate, generate, next_tasks, round_tasks, with_tools
from orbiter.flywheel.stages.run import (
    audit,
    check,
    distance,
    export,
    reached,
    reason_after,
    reason_before,
    reason_to_learn_nothing,
    summarise,
)
from orbiter.flywheel.stages.synthesising import proposed_tasks, synthesise
from orbiter.flywheel.stages.training import (
    demonstrate,
    make_backend,
    make_model,
    model,
    record_of,
    scores,
    teach,
    train,
)

__all__ = [
    "audit",
    "check",
    "curate",
    "demonstrate",
    "distance",
    "evaluate",
    "export",
    "generate",
    "kept_path",
    "make_backend",
    "make_model",
    "model",
    "next_tasks",
    "proposed_tasks",
    "reached",
    "reads_rows",
    "reason_after",
    "reason_before",
    "reason_to_learn_nothing",
    "record_of",
    "round_tasks",
    "scores",
    "summarise",
    "synthesise",
    "teach",
    "train",
    "with_tools",
]
