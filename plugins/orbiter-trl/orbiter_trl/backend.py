"""The TRL backend: supervised, preference and reinforcement learning of local models."""

from __future__ import annotations

from collections.abc import Mapping, Set
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from orbiter.curate.pairs import UnpairedPreference
from orbiter.errors import ConfigError, OrbiterError
from orbiter.records import Pair, Task, Trajectory
from orbiter.train.backend import Backend, TrainJob, TrainResult
from orbiter.train.config import TrainConfig
from orbiter.train.job_folder import JobFolder
from orbiter.train.model_checks import check_model_weights
from orbiter_trl.quantising import check_quantising
from orbiter_trl.ranges import check_ranges
from orbiter_trl.settings import check_config, check_options

if TYPE_CHECKING:
    from orbiter_trl.training import Training


class TrlBackend(Backend):
    """Trains with the trainers of TRL, all weights or LoRA, on CPU or CUDA.

    ``sft`` takes trajectories and puts the loss on the assistant's turns; ``dpo``, ``simpo``, ``orpo`` and ``reward`` take pairs, ``kto``
    and ``prm`` single answers or steps with a label, ``spin`` demonstrations; ``grpo``, ``rloo`` and ``online_dpo`` take tasks and the
    job's rewards. The first job of a process imports torch and TRL, which takes seconds. ``job.options`` are arguments of the algorithm's
    config class in TRL, and ``trust_remote_code`` among them.

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

    def check_settings(
        self, algorithm: str, config: TrainConfig, options: Mapping[str, Any]
    ) -> None:
        """Raise if no job could work with these settings; TRL is imported only where there are options of its own."""
        self.record_of(algorithm)
        check_config(config)
        check_quantising(config.lora)
        if options:
            part = self._part(algorithm)
            check_options(options, part.CONFIG, idle=part.IDLE)

    def check(self, job: TrainJob) -> None:
        """Raise if the job cannot work, as :meth:`prepare` does."""
        self.prepare(job)

    def train(self, job: TrainJob) -> TrainResult:
        """Check the job, run it, and return what it made.

        Raises:
            BackendError: The folder holds another job, the model cannot be loaded, or the loss stopped being a number.
        """
        return self.prepare(job)()

    def prepare(self, job: TrainJob) -> Training:
        """Return the training of a job that can work.

        Raises:
            ConfigError: The algorithm, an option, the model or the data file cannot be used.
            RecordError: A row cannot be trained on; names file, line and field.
            MissingPluginError: A tracker is not installed.
        """
        self.check_settings(job.algorithm, job.config, job.options)
        part = self._part(job.algorithm)
        check_ranges(job, part.CONFIG)
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
        data = part.check(job)
        try:
            args = part.make_arguments(job, JobFolder(job.output_dir).resume)
        except OrbiterError:
            raise
        except (ValueError, TypeError, ImportError) as error:
            raise ConfigError(
                f"options or config must fit {part.CONFIG.__name__}: {error}"
            ) from error
        from orbiter_trl.adapters import check_adapters
        from orbiter_trl.training import Training
        from orbiter_trl.validating import check_model, check_rows

        config, tokenizer = check_model(job)
        if job.toolbox is not None:
            from trl import GRPOTrainer

            from orbiter_trl.tools import check_toolbox

            check_toolbox(job.toolbox, GRPOTrainer, tokenizer)
        check_rows(job, data, config, tokenizer)
        check_adapters(job, config)
        check_model_weights(job.model)
        return Training(job, part, data=data, args=args, tokenizer=tokenizer)

    def _part(self, algorithm: str) -> ModuleType:
        """Return the module that knows the algorithm, importing TRL."""
        self.record_of(algorithm)
        return import_module(f"orbiter_trl.{algorithm}")
