"""Watching: the callback that writes metrics.jsonl, tells the job, and stops a run whose loss is no number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from orbiter.errors import BackendError
from orbiter_trl.job_folder import JobFolder

_SUMMARY = "train_runtime"


class Watch(TrainerCallback):
    """Writes one row per log, in order of steps, and remembers the last value of each metric.

    Args:
        folder: The job's.
        on_metrics: Called with the step and the metrics.
        resumed_at: Step that the run goes on from; rows of later steps are logged again, so the old ones are removed.
    """

    def __init__(
        self,
        folder: JobFolder,
        *,
        on_metrics: Callable[[int, Mapping[str, float]], None] | None,
        resumed_at: int = 0,
    ) -> None:
        self._folder, self._on_metrics = folder, on_metrics
        self.last: dict[str, float] = {}
        _keep_until(folder.metrics, resumed_at)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Have the last step logged, whatever ``log_every`` is."""
        if state.global_step >= state.max_steps:
            control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Write the row."""
        if not logs or _SUMMARY in logs or not state.is_world_process_zero:
            return
        metrics = {
            name: float(value) for name, value in logs.items() if isinstance(value, int | float)
        }
        for name in ("loss", "eval_loss"):
            if not math.isfinite(metrics.get(name, 0.0)):
                raise BackendError(
                    f"{name} must stay finite, got {metrics[name]} at step {state.global_step}",
                    hint="lower the learning rate, or look for rows without a trained token",
                )
        self.last.update(metrics)
        with self._folder.metrics.open("ab") as file:
            file.write(orjson.dumps({"step": state.global_step, **metrics}) + b"\n")
        if self._on_metrics is not None:
            self._on_metrics(state.global_step, metrics)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Mark the resumable checkpoint as complete; it is wholly written when this is called."""
        if state.is_world_process_zero:
            self._folder.mark_complete(state.global_step)


def _keep_until(path: Path, step: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    kept = []
    for line in lines:
        # A torn last line of a run that was killed is not one of ours to keep.
        if not line.endswith(b"\n") or orjson.loads(line)["step"] > step:
            break
        kept.append(line)
    path.write_bytes(b"".join(kept))
