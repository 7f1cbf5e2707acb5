"""The stages of a round. Each takes the flywheel and the round's number, and returns the plain facts that the ledger keeps."""

from orbiter.flywheel.stages.curation import curate
from orbiter.flywheel.stages.datasets import kept_path
from orbiter.flywheel.stages.rollouts import evaluate, generate, round_tasks
from orbiter.flywheel.stages.run import audit, check, export, stop_reason, summarise
from orbiter.flywheel.stages.training import make_backend, make_model, model, teach, train

__all__ = [
    "audit",
    "check",
    "curate",
    "evaluate",
    "export",
    "generate",
    "kept_path",
    "make_backend",
    "make_model",
    "model",
    "round_tasks",
    "stop_reason",
    "summarise",
    "teach",
    "train",
]
