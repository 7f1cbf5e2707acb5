"""The TRL backend: supervised, preference and reinforcement learning of local models."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping, Set
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from orbiter.curate.pairs import UnpairedPreference
from orbiter.errors import BackendError, ConfigError, OrbiterError
from orbiter.records import Pair, Task, Trajectory
from orbiter.train.backend import Backend, TrainJob, TrainResult
from orbiter.train.config import TrainMetrics
from orbiter.train.job_folder import JobFolder
from orbiter.train.tally import Tally
from orbiter_trl.quantising import check_quantising
from orbiter_trl.settings import check_config, check_options

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger("orbiter.train.trl")

_TASK_TYPES = {"reward": "SEQ_CLS", "prm": "TOKEN_CLS"}
"""PEFT's names of the models that score."""


class TrlBackend(Backend):
    """Trains with the trainers of TRL, all weights or LoRA, on CPU or CUDA.

    ``sft`` takes trajectories and puts the loss on the assistant's turns; ``dpo``, ``simpo``, ``orpo`` and ``reward`` take pairs, ``kto``
    and ``prm`` single answers or steps with a label, ``spin`` demonstrations; ``grpo``, ``rloo`` and ``online_dpo`` take tasks and the job's rewards. The
    first job of a process imports torch and TRL, which takes seconds. ``job.options`` are arguments of the algorithm's config class
    in TRL, and ``trust_remote_code`` among them.

    A job whose ``output_dir`` holds the same job goes on where that stopped, and returns its result if it is done.
    """

    name = "trl"
    algorithms: ClassVar[Mapping[str, type]] = {
        "sft": Trajectory,
        "reward": Pair,
        "dpo": Pair,
        "simpo": Pair,
        "orpo": Pair,
        "kto": UnpairedPreference,
        "prm": UnpairedPreference,
        "spin": Trajectory,
        "grpo": Task,
        "rloo": Task,
        "online_dpo": Task,
    }
    scoring: ClassVar[Set[str]] = frozenset({"reward", "prm"})
    tool_calling: ClassVar[Set[str]] = frozenset({"grpo"})
    absent: ClassVar[Mapping[str, str]] = {
        "ppo": "TRL has no PPO any more; it is an algorithm of the backend 'verl' (orbiter-verl)",
        "ipo": "it is a loss of dpo: algorithm dpo with the option loss_type 'ipo'",
        "cpo": "it is a loss of simpo: algorithm simpo with the option loss_type 'sigmoid'",
        "gspo": "it is grpo with the options loss_type 'grpo' and importance_sampling_level 'sequence'",
    }

    def check(self, job: TrainJob) -> None:
        """Raise if the job cannot work.

        Raises:
            ConfigError: The algorithm, an option, the model or the data file cannot be used.
            MissingPluginError: A tracker is not installed.
        """
        check_config(job.config)
        check_quantising(job.config.lora)
        part = self._part(job)
        check_options(job.options, part.CONFIG, idle=part.IDLE)
        for name, path in (("data", job.data), ("eval_data", job.eval_data)):
            if path is not None and not path.is_file():
                raise ConfigError(f"{name} must be a JSONL file, got {str(path)!r}")
        if job.config.eval_every and job.eval_data is None:
            raise ConfigError(f"eval_every needs eval_data, got eval_every={job.config.eval_every}")
        if job.toolbox is not None and job.algorithm not in self.tool_calling:
            raise ConfigError(
                f"toolbox must be None for {job.algorithm}, got {job.toolbox!r}",
                hint=f"tools can be called in {', '.join(self.tool_calling)}",
            )
        part.check(job)
        try:
            part.make_arguments(job, JobFolder(job.output_dir).resume)
        except OrbiterError:
            raise
        except (ValueError, TypeError, ImportError) as error:
            raise ConfigError(
                f"options or config must fit {part.CONFIG.__name__}: {error}"
            ) from error
        self._check_model_and_rows(job)

    def _check_model_and_rows(self, job: TrainJob) -> None:
        from orbiter_trl.validating import check_model, check_rows

        config, tokenizer = check_model(job)
        if job.toolbox is not None:
            from trl import GRPOTrainer

            from orbiter_trl.tools import check_toolbox

            check_toolbox(job.toolbox, GRPOTrainer, tokenizer)
        check_rows(job, config, tokenizer)

    def train(self, job: TrainJob) -> TrainResult:
        """Run the job and return what it made.

        Raises:
            BackendError: The folder holds another job, the model cannot be loaded, or the loss stopped being a number.
        """
        from orbiter_trl.quiet import quiet

        self.check(job)
        folder = JobFolder(job.output_dir)
        folder.claim(job)
        if done := folder.result():
            return done
        part = self._part(job)
        try:
            with quiet():
                return self._train(job, part, folder)
        finally:
            _free_memory()

    def _train(self, job: TrainJob, part: ModuleType, folder: JobFolder) -> TrainResult:
        from transformers import PrinterCallback

        from orbiter_trl.loading import load
        from orbiter_trl.reference import MovingReference
        from orbiter_trl.watching import Watch

        model, tokenizer = load(job)
        tally = Tally()
        try:
            trainer, alarms = part.make_trainer(
                job,
                part.make_arguments(job, folder.resume),
                model,
                tokenizer,
                peft_config=self._peft_config(job),
                tally=tally,
            )
        except OrbiterError:
            raise
        except (ValueError, NotImplementedError) as error:
            raise BackendError(f"TRL refused the job: {error}") from error
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
        trainer.train(resume_from_checkpoint=None if point is None else str(point.folder))
        if not trainer.state.global_step:
            raise BackendError(
                "training must make a step, and made none: the rows do not fill a batch",
                hint="lower batch_size or gradient_accumulation, or give more rows",
            )
        folder.publish(lambda draft: _save(job, trainer, tokenizer, draft))
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

    def _part(self, job: TrainJob) -> ModuleType:
        """Return the module that knows the algorithm, importing TRL."""
        self.record_of(job.algorithm)
        return import_module(f"orbiter_trl.{job.algorithm}")

    def _peft_config(self, job: TrainJob) -> Any:
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
    import torch

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
        from orbiter_trl.loading import from_where
        from orbiter_trl.quantising import merged_into_whole

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
