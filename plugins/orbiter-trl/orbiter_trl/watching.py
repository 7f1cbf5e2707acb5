"""Watching: the callback that writes metrics.jsonl, tells the job, and stops a run whose loss is no number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from transformers import TrainerCallback, TrainerControl, TrainerState

from orbiter.errors import BackendError
from orbiter.train.job_folder import JobFolder
from orbiter.train.tally import Tally

_SUMMARY = "train_runtime"


class Watch(TrainerCallback):
    """Writes one row per log, in order of steps, and remembers the last value of each metric.

    Args:
        folder: The job's.
        tally: What is saved with each resumable checkpoint.
        on_metrics: Called with the step and the metrics.
        resumed_at: Step that the run goes on from; rows of later steps are logged again, so the old ones are removed.
        evaluates: Whether there are held-out data, on which the last model is always measured.
    """

    def __init__(
        self,
        folder: JobFolder,
        *,
        tally: Tally,
        on_metrics: Callable[[int, Mapping[str, float]], None] | None,
        resumed_at: int = 0,
        evaluates: bool = False,
    ) -> None:
        self._folder, self._tally, self._on_metrics = folder, tally, on_metrics
        self._evaluates = evaluates
        self._before, self._start = tally.seconds, time.perf_counter()
        self.last: dict[str, float] = folder.keep_metrics(resumed_at)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Stop the clock."""
        self._read_clock()

    def on_step_end(self, _: Any, state: TrainerState, control: TrainerControl, **__: Any) -> None:
        """Have the last step logged and evaluated, whatever ``log_every`` and ``eval_every`` are."""
        if state.global_step >= state.max_steps:
            control.should_log = True
            control.should_evaluate = self._evaluates

    def on_log(
        self, _: Any, state: TrainerState, __: Any, logs: dict[str, Any] | None = None, **___: Any
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
        # A mean over nothing, such as the reward of a batch that nobody could score, is no number.
        metrics = {
            name: value
            for name, value in metrics.items()
            if math.isfinite(value) and name.removeprefix("eval_") != "num_tokens"
        }
        if "loss" in metrics:
            # TRL's own count starts again at 0 in a resumed run.
            metrics["token_count"] = float(self._tally.token_count)
        self.last.update(metrics)
        with self._folder.metrics.open("ab") as file:
            file.write(orjson.dumps({"step": state.global_step, **metrics}) + b"\n")
        if self._on_metrics is not None:
            self._on_metrics(state.global_step, metrics)

    def on_save(self, _: Any, state: TrainerState, __: Any, **___: Any) -> None:
        """Mark the resumable checkpoint as complete; it is wholly written when this is called."""
        if state.is_world_process_zero:
            self._read_clock()
            self._folder.mark_complete(state.global_step, self._tally)

    def _read_clock(self) -> None:
        self._tally.seconds = self._before + time.perf_counter() - self._start
