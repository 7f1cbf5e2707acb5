"""The Backend ABC: what turns rows into a checkpoint. Backends are found by name: ``trl``, ``verl``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from orbiter.errors import ConfigError, did_you_mean
from orbiter.tasks.toolbox import MakeToolbox
from orbiter.train.config import TrainConfig, TrainMetrics

if TYPE_CHECKING:
    from orbiter.train.rewards import RewardSpec


@frozen(kw_only=True)
class TrainJob:
    """One training run.

    Args:
        algorithm: ``sft``, ``grpo``, ...; a backend lists those it knows.
        model: Model id or folder to start from.
        data: JSONL file: trajectories for ``sft``, tasks for ``grpo``, pairs for ``dpo``, unpaired preferences for ``kto``.
        output_dir: Folder that gets the checkpoint (safetensors, tokenizer) and ``metrics.jsonl``.
        config: Hyperparameters.
        rewards: Reward functions of online algorithms.
        toolbox: Makes the tools that an online algorithm lets the model call, if it can; None: answers are one turn.
        eval_data: JSONL file of the same kind, to evaluate on every ``config.eval_every`` steps and after the last.
        options: Settings of the backend's own, passed through and checked there.
        on_metrics: Called with (step, metrics) whenever metrics are logged.
    """

    algorithm: str
    model: str
    data: Path
    output_dir: Path
    config: TrainConfig = field(factory=TrainConfig)
    rewards: tuple[RewardSpec, ...] = ()
    toolbox: MakeToolbox | None = None
    eval_data: Path | None = None
    options: Mapping[str, Any] = field(factory=dict)
    on_metrics: Callable[[int, Mapping[str, float]], None] | None = None


@frozen(kw_only=True)
class Finding:
    """Something that a look at this machine found.

    Args:
        what: What was looked for.
        good: Whether it is there and fit; None for a remark.
        said: What was found.
        hint: What to do about it, or nothing.
    """

    what: str
    good: bool | None
    said: str
    hint: str = ""


@frozen(kw_only=True)
class TrainResult:
    """What a training run made.

    Args:
        checkpoint: Folder of the trained model, complete.
        metrics: Final metrics.
        token_count: Tokens that carried loss.
        sample_count: Answers that it sampled, if its algorithm samples for itself.
        seconds: Wall time of the training itself, model loading not counted.
        alarms: Sentences about what looked wrong.
    """

    checkpoint: Path
    metrics: TrainMetrics
    token_count: int = 0
    sample_count: int = 0
    seconds: float = 0.0
    alarms: tuple[str, ...] = ()


class Backend(ABC):
    """Trains models.

    Contract: ``check`` is cheap and raises ConfigError or BackendError for a job that cannot work, naming the field. ``train`` starts
    from ``job.model``, or goes on from the newest complete checkpoint in ``job.output_dir`` if there is one, and writes
    ``metrics.jsonl`` there. The checkpoint folder appears under its final name only when it is complete. The same job with the same
    seed on the same machine gives the same weights.
    """

    name: str
    """Name of the backend."""

    algorithms: Mapping[str, type] = {}
    """The algorithms that it knows, and the record that each trains on: Trajectory, Task, Pair or UnpairedPreference."""

    scoring: Set[str] = frozenset()
    """The algorithms whose checkpoint scores answers instead of giving them, as a reward model does."""

    absent: Mapping[str, str] = {}
    """Algorithms that one may look for here in vain, and where to find each."""

    def record_of(self, algorithm: str) -> type:
        """Return the record that an algorithm trains on.

        Raises:
            ConfigError: The backend does not know the algorithm.
        """
        if algorithm not in self.algorithms:
            raise ConfigError(
                f"algorithm of the backend {self.name!r} must be one of {', '.join(self.algorithms)}, "
                f"got {algorithm!r}{did_you_mean(algorithm, self.algorithms)}",
                hint=self.absent.get(algorithm),
            )
        return self.algorithms[algorithm]

    def native_config(self, job: TrainJob) -> str:
        """Return the whole configuration that the library below gets for a job, in the library's own format.

        The data need not be there.

        Raises:
            ConfigError: There is no such thing.
        """
        raise ConfigError(
            f"backend {self.name!r} has no configuration to print, got {job.algorithm!r}"
        )

    def examine(self) -> Sequence[Finding]:
        """Return what ``orbiter doctor`` should say of this machine and what the backend needs of it."""
        return ()

    def check_settings(
        self,
        algorithm: str,
        config: TrainConfig,  # noqa: ARG002  # for those that override it
        options: Mapping[str, Any],  # noqa: ARG002
    ) -> None:
        """Raise if no job could work with these settings; called before there is data or a model.

        A run calls it for everything that it will train, before it generates anything. The default looks at the algorithm alone.

        Args:
            algorithm: What would be trained with.
            config: Hyperparameters.
            options: Settings of the backend's own.
        """
        self.record_of(algorithm)

    @abstractmethod
    def check(self, job: TrainJob) -> None:
        """Raise if the job cannot work."""

    @abstractmethod
    def train(self, job: TrainJob) -> TrainResult:
        """Run the job and return what it made."""

    def prepare(self, job: TrainJob) -> Callable[[], TrainResult]:
        """Check the job, and return what trains it when it is called, once.

        What trains a job calls this, so that a backend whose check reads the data can override it, and hand on what it has read.

        Raises:
            OrbiterError: The job cannot work, as :meth:`check` says.
        """
        self.check(job)
        return lambda: self.train(job)
