"""ModelTrainer: the trainer lifecycle around a backend that is found by name."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from orbiter.errors import ConfigError, LifecycleError
from orbiter.hookspecs import MetricsEvent
from orbiter.plugin import plugin_manager, registry
from orbiter.records import Task
from orbiter.tasks.toolbox import MakeToolbox
from orbiter.train.backend import Backend, TrainJob, TrainResult
from orbiter.train.config import TrainConfig, TrainMetrics
from orbiter.train.job_folder import JobFolder
from orbiter.train.lifecycle import TrainerState
from orbiter.train.rewards import RewardSpec, check_rewards
from orbiter.train.trainer import Trainer
from orbiter.train.training_data import write_training_data

T = TypeVar("T")


class ModelTrainer(Trainer):
    """Trains a model with a backend such as ``trl`` or ``verl``.

        trainer = ModelTrainer("model-folder", data="kept.jsonl", algorithm="sft", backend="trl", output_dir="runs/sft")
        result = await trainer.run()
        print(trainer.result.checkpoint, result.train_metrics.loss)

    A backend that is not installed is reported while validating, with its install line. The backend trains in the calling
    thread, so that an interrupt stops it; the event loop waits until it is done.

    Args:
        model: Model id or folder to start from.
        data: JSONL file, or trajectories, tasks, pairs or a TrajectoryDataset, which are written to
            ``output_dir/data.jsonl``.
        algorithm: One that the backend knows, such as ``sft`` or ``grpo``.
        backend: Name of a backend, or a backend.
        config: Hyperparameters.
        rewards: Rewards of an algorithm that samples for itself.
        toolbox: Makes the tools that the model may call: a :class:`orbiter.tasks.Toolbox` class, or an environment's ``toolbox``.
        output_dir: Folder of the checkpoint and the metrics; default: ``runs/<algorithm>``.
        eval_data: What to evaluate on, as ``data``; written to ``output_dir/eval_data.jsonl``.
        options: Settings of the backend's own.
    """

    result: TrainResult | None
    """What the training made, once it is done."""

    job: TrainJob | None
    """What the backend is asked for, once it is checked."""

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        data: Any = None,
        algorithm: str = "sft",
        backend: str | Backend = "trl",
        config: TrainConfig | None = None,
        rewards: Iterable[RewardSpec] = (),
        toolbox: MakeToolbox | None = None,
        output_dir: str | Path | None = None,
        eval_data: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(agent=model, dataset=data, reward_fn=tuple(rewards), config=config)
        self.algorithm = algorithm
        self.backend = backend
        self.output_dir = Path(output_dir if output_dir is not None else f"runs/{algorithm}")
        self.toolbox = toolbox
        self.eval_data = eval_data
        self.options = dict(options or {})
        self.result = self.job = None
        self._run: Callable[[], TrainResult] | None = None
        self._backend: Backend | None = None

    async def check_agent(self) -> bool:
        """Find the backend, and see that there is a model.

        Raises:
            MissingPluginError: The backend's plugin is not installed.
            ConfigError: There is no model, or the backend does not know the algorithm.
        """
        found = self.backend
        self._backend = found if isinstance(found, Backend) else registry().create("backend", found)
        self._backend.record_of(self.algorithm)
        if not isinstance(self.agent, str | Path) or not str(self.agent):
            raise ConfigError(f"model must be a model id or a folder, got {self.agent!r}")
        return True

    async def check_dataset(self) -> bool:
        """See that there is data.

        Raises:
            ConfigError: There is no such file, or there are no rows.
        """
        if isinstance(self.dataset, str | Path):
            if not Path(self.dataset).is_file():
                raise ConfigError(f"dataset must be a file, got {str(self.dataset)!r}")
        elif self.dataset is None or len(self.dataset) == 0:
            raise ConfigError(
                "dataset must have rows, got none", hint="give rows, or the path of a JSONL file"
            )
        return True

    async def check_reward(self) -> bool:
        """See that an algorithm that samples for itself has rewards.

        Raises:
            ConfigError: There are none, or they are no rewards.
        """
        if self.reward_fn or self._data_kind() is Task:
            check_rewards(self.reward_fn)
        return True

    async def check_config(self) -> bool:
        """Have the backend check the job.

        Raises:
            ConfigError: The backend refuses a field of it.
        """
        self.job = TrainJob(
            algorithm=self.algorithm,
            model=str(self.agent),
            data=self._file(self.dataset, "data.jsonl"),
            output_dir=self.output_dir,
            config=self.config,
            rewards=self.reward_fn,
            toolbox=self.toolbox,
            eval_data=None
            if self.eval_data is None
            else self._file(self.eval_data, "eval_data.jsonl"),
            options=self.options,
            on_metrics=self._announce,
        )
        self._run = self._checked(self._backend).prepare(self.job)
        return True

    async def train(self, dataset: Any = None) -> TrainMetrics:
        """Train, and return what was measured; :attr:`result` then holds the checkpoint.

        Called by itself on a new trainer, it validates first.

        Args:
            dataset: What to train on; default: what the trainer was made with.
        """
        if dataset is not None:
            if self.state is not TrainerState.CREATED:
                raise LifecycleError(
                    f"{type(self).__name__} must be created to take a dataset, got {self.state.value}"
                )
            self.dataset = dataset
        if self.state is TrainerState.TRAINING:  # called by run()
            return await self._train()
        if self.state is TrainerState.CREATED:
            await self.validate()
        return await self._phase(TrainerState.TRAINING, TrainerState.TRAINED, self._train)

    async def evaluate(self) -> TrainMetrics:
        """Return what the backend measured on ``eval_data``; None where it measured nothing."""
        if self.result is None:
            raise LifecycleError(
                f"{type(self).__name__} must be trained to be evaluated, got {self.state.value}"
            )
        measured = self.result.metrics.extra
        return TrainMetrics(
            loss=measured.get("eval_loss"),
            accuracy=measured.get("eval_accuracy", measured.get("eval_mean_token_accuracy")),
            reward=measured.get("eval_reward"),
            steps=self.result.metrics.steps,
        )

    async def _train(self) -> TrainMetrics:
        run, self._run = self._checked(self._run), None
        # Not in a thread: there, an interrupt would leave the training running behind the user's back.
        self.result = run()
        return self.result.metrics

    def _checked(self, found: T | None) -> T:
        """Return what a check has made; a subclass that overrides the check may have left it out."""
        if found is None:
            raise LifecycleError(
                f"{type(self).__name__} must find its backend and prepare its job in its checks, got none",
                hint="a check that is overridden must call super()",
            )
        return found

    def _data_kind(self) -> type:
        """Return the records that the algorithm trains on."""
        return self._checked(self._backend).record_of(self.algorithm)

    def _file(self, data: str | Path | Sequence[Any], name: str) -> Path:
        if isinstance(data, str | Path):
            return Path(data)
        path = self.output_dir / name
        draft = path.with_name(f".{name}")
        write_training_data(draft, data, kind=self._data_kind())
        if JobFolder(self.output_dir).is_claimed and not _same(path, draft):
            draft.unlink()
            raise ConfigError(
                f"output_dir must be new or hold the same job, got {str(self.output_dir)!r}, whose job has another {name}",
                hint="choose another output_dir, or delete this one to train anew",
            )
        draft.replace(path)
        return path

    def _announce(self, step: int, metrics: Mapping[str, float]) -> None:
        event = MetricsEvent(run=str(self.output_dir), step=step, metrics=metrics)
        plugin_manager().notify("orbiter_on_metrics", event)


def _same(path: Path, other: Path) -> bool:
    return path.is_file() and filecmp.cmp(path, other, shallow=False)
