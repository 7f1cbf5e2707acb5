"""Training: a job that was checked, and its run: a model, a trainer of TRL that is watched, a checkpoint."""

from __future__ import annotations

import gc
import logging
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from attrs import frozen
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback

from orbiter.errors import BackendError, OrbiterError
from orbiter.train.backend import TrainJob, TrainResult
from orbiter.train.config import TrainMetrics
from orbiter.train.job_folder import JobFolder
from orbiter.train.tally import Tally
from orbiter_trl.data import Data
from orbiter_trl.loading import from_where, load
from orbiter_trl.quantising import merged_into_whole
from orbiter_trl.quiet import quiet
from orbiter_trl.reference import MovingReference
from orbiter_trl.settings import tracked
from orbiter_trl.watching import Watch

log = logging.getLogger("orbiter.train.trl")

_TASK_TYPES = {"reward": "SEQ_CLS", "prm": "TOKEN_CLS"}
"""PEFT's names of the models that score."""


@frozen(kw_only=True)
class Setup:
    """All that an algorithm makes its trainer of.

    Args:
        job: What to train.
        data: The records of its files, checked.
        args: TRL's arguments for it.
        model: The model that it starts from.
        tokenizer: The model's.
        peft_config: The adapters, in PEFT's terms; None to train all weights.
        tally: What the trainer counts in.
    """

    job: TrainJob
    data: Data[Any]
    args: Any
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    peft_config: Any
    tally: Tally


class Training:
    """A job that was checked, with what the check has read and made; called once, it trains.

    Args:
        job: The job.
        part: The module that knows its algorithm.
        data: The records of its files.
        args: TRL's arguments for it.
        tokenizer: Its model's.
    """

    def __init__(
        self,
        job: TrainJob,
        part: ModuleType,
        *,
        data: Data[Any],
        args: Any,
        tokenizer: PreTrainedTokenizerBase,
    ) -> None:
        self._job, self._part, self._args, self._tokenizer = job, part, args, tokenizer
        self._data: Data[Any] | None = data

    def __call__(self) -> TrainResult:
        """Train, and return what was made.

        Raises:
            BackendError: The folder holds another job, the data changed since the check, the model cannot be loaded, the loss
                stopped being a number, or this was called before.
        """
        folder = JobFolder(self._job.output_dir)
        folder.claim(self._job)
        if done := folder.result():
            return done
        try:
            with quiet():
                return self._train(folder)
        finally:
            _free_memory()

    def make_trainer(self, tally: Tally) -> tuple[Any, list[str]]:
        """Return TRL's trainer, ready to train, and the alarms about the data."""
        data, self._data = self._data, None  # not to be kept in memory beside the tokens
        if data is None:
            raise BackendError("a training must be called once, and this one was called before")
        data.check_unchanged()
        model = load(self._job)
        try:
            return self._part.make_trainer(  # type: ignore[no-any-return]
                Setup(
                    job=self._job,
                    data=data,
                    args=self._args,
                    model=model,
                    tokenizer=self._tokenizer,
                    peft_config=_peft_config(self._job),
                    tally=tally,
                )
            )
        except OrbiterError:
            raise
        except (ValueError, NotImplementedError) as error:
            raise BackendError(f"TRL refused the job: {error}") from error

    def _train(self, folder: JobFolder) -> TrainResult:
        job, tally = self._job, Tally()
        trainer, alarms = self.make_trainer(tally)
        point = folder.newest()
        if point is not None:
            tally.go_on_from(point.tally)
        if job.options.get("sync_ref_model"):
            reference = MovingReference(trainer, folder)
            trainer.add_callback(reference)
            if point is not None:
                reference.go_on_from(point)
        watch = Watch(
            folder,
            tally=tally,
            on_metrics=job.on_metrics,
            resumed_at=0 if point is None else point.step,
            evaluates=job.eval_data is not None,
        )
        trainer.add_callback(watch)
        if "tensorboard" in job.config.report_to:
            trainer.add_callback(_tensorboard(folder.path / "tensorboard"))
        trainer.remove_callback(PrinterCallback)
        with tracked():
            trainer.train(resume_from_checkpoint=None if point is None else str(point.folder))
        if not trainer.state.global_step:
            raise BackendError(
                "training must make a step, and made none: the rows do not fill a batch",
                hint="lower batch_size or gradient_accumulation, or give more rows",
            )
        tally.check_scored(ended=True)
        folder.publish(lambda draft: _save(job, trainer, self._tokenizer, draft))
        alarms += tally.alarms()
        for alarm in alarms:
            log.warning("%s", alarm)
        result = TrainResult(
            checkpoint=folder.checkpoint,
            metrics=_final(watch.last, trainer.state.global_step, tally),
            token_count=tally.token_count,
            sample_count=tally.sample_count,
            seconds=tally.seconds,
            alarms=tuple(alarms),
        )
        folder.finish(result)
        return result


def _peft_config(job: TrainJob) -> Any:
    lora = job.config.lora
    if lora is None:
        return None
    from peft import LoraConfig

    modules = lora.target_modules
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        task_type=_TASK_TYPES.get(job.algorithm, "CAUSAL_LM"),
        # A new head is trained whole. PEFT knows that of models that score conversations, and not of those that score tokens.
        exclude_modules=["score", "classifier"] if job.algorithm == "prm" else None,
    )


def _free_memory() -> None:
    """Give the device memory of a trainer, which holds references to itself, back before the next model is loaded."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def _tensorboard(folder: Path) -> Any:
    """Return TRL's tracker, writing to a folder that outlives the resumable checkpoints."""
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(log_dir=str(folder)))


def _save(job: TrainJob, trainer: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    model = trainer.accelerator.unwrap_model(trainer.model)
    if job.config.lora is not None and job.config.lora.bits is not None:
        merged_into_whole(model, **from_where(job)).save_pretrained(folder)
    elif hasattr(model, "merge_and_unload"):
        model.merge_and_unload().save_pretrained(folder)
    else:
        trainer.save_model(str(folder))
        # A pickle of the trainer's arguments, of no use to a reader of the model.
        (folder / "training_args.bin").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)


def _final(last: dict[str, float], steps: int, tally: Tally) -> TrainMetrics:
    named = {"loss": "loss", "accuracy": "mean_token_accuracy", "reward": "reward"}
    if "mean_token_accuracy" not in last:
        named["accuracy"] = "accuracy"
    extra = {name: value for name, value in sorted(last.items()) if name not in named.values()}
    if tally.group_count:
        extra["flat_group_ratio"] = tally.flat_group_count / tally.group_count
    return TrainMetrics(
        **{field: last.get(name) for field, name in named.items()}, steps=steps, extra=extra
    )
