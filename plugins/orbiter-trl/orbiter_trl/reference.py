"""A reference that moves, kept with each resumable checkpoint: TRL keeps the policy there, and would begin again with the first model."""

from __future__ import annotations

from typing import Any

from safetensors.torch import load_model, save_model
from transformers import TrainerCallback, TrainerState

from orbiter.train.job_folder import JobFolder, ResumePoint

FILE = "reference.safetensors"


class MovingReference(TrainerCallback):
    """Saves the reference beside the policy; comes before what marks a checkpoint as complete.

    Args:
        trainer: Of TRL, with a ``ref_model`` that moves.
        folder: The job's.
    """

    def __init__(self, trainer: Any, folder: JobFolder) -> None:
        self._model = trainer.accelerator.unwrap_model(trainer.ref_model)
        self._folder = folder

    def go_on_from(self, point: ResumePoint) -> None:
        """Put the reference where it was."""
        load_model(self._model, point.folder / FILE, device=str(self._model.device))

    def on_save(self, _: Any, state: TrainerState, __: Any, **___: Any) -> None:
        """Save it."""
        if state.is_world_process_zero:
            folder = self._folder.resume / f"checkpoint-{state.global_step}"
            save_model(self._model, str(folder / FILE))
