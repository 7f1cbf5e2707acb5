"""Loading: the model that a job starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
    set_seed,
)

from orbiter.errors import BackendError
from orbiter.train.backend import TrainJob
from orbiter_trl.chat import fit_threads
from orbiter_trl.quantising import quantised
from orbiter_trl.quiet import no_report

SCORING = {
    "reward": AutoModelForSequenceClassification,
    "prm": AutoModelForTokenClassification,
}
"""The algorithms whose model scores, and the kind of model: one number per conversation, or one per token."""


def load(job: TrainJob) -> PreTrainedModel:
    """Return the job's model.

    The weights are in fp32, or quantised if the job's adapters want that. A scoring algorithm gets a head for one number in place of the
    one for the next token; a head that the model does not have yet is made with random weights, by the job's seed.

    Raises:
        BackendError: It cannot be loaded.
    """
    shared = from_where(job)
    # Mixed precision keeps its master weights in fp32.
    weights = {
        "dtype": torch.float32,
        "use_safetensors": True,
        **quantised(job.config.lora, scoring=job.algorithm in SCORING),
    }
    try:
        if job.algorithm in SCORING:
            set_seed(job.config.seed)
        kind = SCORING.get(job.algorithm, AutoModelForCausalLM)
        model = _whole(kind, job.model, **weights, **shared)
    except (OSError, ValueError) as error:
        raise BackendError(f"model {job.model!r} cannot be loaded: {error}") from error
    fit_threads(model)
    return model  # type: ignore[no-any-return]


def _whole(kind: Any, name: str, **how: Any) -> PreTrainedModel:
    """Return the model; that a head for one number is new is expected, and that anything else is would be an error."""
    scoring = kind is not AutoModelForCausalLM
    head = {"num_labels": 1} if scoring else {}
    with no_report():
        model, found = kind.from_pretrained(name, output_loading_info=True, **head, **how)
    body = f"{model.base_model_prefix}." if scoring else ""
    if lacking := sorted(key for key in found["missing_keys"] if key.startswith(body)):
        raise BackendError(
            f"model {name!r} must hold all its weights, and lacks {lacking[0]}",
            hint="what is lacking would be random; see that config.json belongs to these weights",
        )
    return model  # type: ignore[no-any-return]


def from_where(job: TrainJob) -> dict[str, Any]:
    """Return how the job's model, and what belongs to it, is to be read."""
    return {
        "trust_remote_code": bool(job.options.get("trust_remote_code", False)),
        "local_files_only": Path(job.model).is_dir(),
    }
