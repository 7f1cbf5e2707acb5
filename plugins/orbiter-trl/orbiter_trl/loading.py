"""Loading: the model that a job starts from, and its tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from trl.trainer.reward_trainer import suppress_seqcls_warning

from orbiter.errors import BackendError
from orbiter.train.backend import TrainJob
from orbiter_trl.chat import fit_threads


def load(job: TrainJob, *, scoring: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the job's model, in fp32, and its tokenizer.

    Args:
        job: Names the model.
        scoring: Give it a head for one score per conversation, in place of the one for the next token. A head that the model does
            not have yet is made with random weights, by the job's seed.

    Raises:
        BackendError: It cannot be loaded, or the tokenizer has no chat template.
    """
    shared = {
        "trust_remote_code": bool(job.options.get("trust_remote_code", False)),
        "local_files_only": Path(job.model).is_dir(),
    }
    # Mixed precision keeps its master weights in fp32.
    weights = {"dtype": torch.float32, "use_safetensors": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(job.model, **shared)
        if scoring:
            set_seed(job.config.seed)
            with suppress_seqcls_warning():
                model = AutoModelForSequenceClassification.from_pretrained(
                    job.model, num_labels=1, **weights, **shared
                )
        else:
            model = AutoModelForCausalLM.from_pretrained(job.model, **weights, **shared)
    except (OSError, ValueError) as error:
        raise BackendError(f"model {job.model!r} cannot be loaded: {error}") from error
    if tokenizer.chat_template is None:
        raise BackendError(f"tokenizer of {job.model!r} must have a chat template, got none")
    fit_threads(model)
    return model, tokenizer
