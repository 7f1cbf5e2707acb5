"""The Trainer ABC: four checks, training, evaluation, in an order that is kept."""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from attrs import frozen

from orbiter.errors import CheckFailedError, UserCodeError
from orbiter.train.config import TrainConfig, TrainMetrics
from orbiter.train.lifecycle import TRAINER_TRANSITIONS, Lifecycle, TrainerState

T = TypeVar("T")

CHECKS = ("check_agent", "check_dataset", "check_reward", "check_config")
"""The checks of a trainer, in the order in which they run."""


@frozen(kw_only=True)
class TrainerResult:
    """What a whole run measured.

    Args:
        train_metrics: What ``train`` returned.
        eval_metrics: What ``evaluate`` returned.
    """

    train_metrics: TrainMetrics
    eval_metrics: TrainMetrics


class Trainer(ABC):
    """Trains an agent in three phases: validation, training, evaluation.

    A small complete subclass:

        class Counting(Trainer):
            async def check_agent(self) -> bool:
                return self.agent is not None

            async def check_dataset(self) -> bool:
                return len(self.dataset) > 0

            async def check_reward(self) -> bool:
                return True

            async def check_config(self) -> bool:
                return self.config.epochs > 0

            async def train(self) -> TrainMetrics:
                return TrainMetrics(steps=len(self.dataset))

            async def evaluate(self) -> TrainMetrics:
                return TrainMetrics(accuracy=1.0)

        result = await Counting(agent="a", dataset=[1, 2]).run()

    Contract: ``run`` calls each method once, in this order. A check returns True, or False, or raises what is wrong. What any
    of them raises ends the run: the trainer's state becomes ERROR, ``error`` keeps the cause, and ``run`` raises it as it is.
    A trainer runs once.

    Args:
        agent: What is trained: a model id, a policy, an agent object.
        dataset: What it is trained on.
        reward_fn: What scores its outputs.
        config: Hyperparameters; default: ``TrainConfig()``.
    """

    agent: Any
    dataset: Any
    reward_fn: Any
    config: TrainConfig
    error: BaseException | None
    """Why the state is ERROR."""

    def __init__(
        self,
        agent: Any = None,
        dataset: Any = None,
        reward_fn: Any = None,
        config: TrainConfig | None = None,
    ) -> None:
        self.agent = agent
        self.dataset = dataset
        self.reward_fn = reward_fn
        self.config = TrainConfig() if config is None else config
        self.error = None
        self._lifecycle = Lifecycle(
            type(self).__name__, initial=TrainerState.CREATED, transitions=TRAINER_TRANSITIONS
        )

    @property
    def state(self) -> TrainerState:
        """Where the trainer stands."""
        return self._lifecycle.state

    @abstractmethod
    async def check_agent(self) -> bool:
        """Return whether the agent can be trained."""

    @abstractmethod
    async def check_dataset(self) -> bool:
        """Return whether the dataset can be trained on."""

    @abstractmethod
    async def check_reward(self) -> bool:
        """Return whether the reward function can be used."""

    @abstractmethod
    async def check_config(self) -> bool:
        """Return whether the hyperparameters make sense."""

    @abstractmethod
    async def train(self) -> TrainMetrics:
        """Train, and return what was measured."""

    @abstractmethod
    async def evaluate(self) -> TrainMetrics:
        """Evaluate what was trained, and return what was measured."""

    async def run(self) -> TrainerResult:
        """Validate, train and evaluate.

        Raises:
            CheckFailedError: A check said no; names the check.
            LifecycleError: The trainer has been started before.
        """
        await self.validate()
        train_metrics = await self._phase(
            TrainerState.TRAINING, TrainerState.TRAINED, self._measured("train")
        )
        eval_metrics = await self._phase(
            TrainerState.EVALUATING, TrainerState.COMPLETE, self._measured("evaluate")
        )
        return TrainerResult(train_metrics=train_metrics, eval_metrics=eval_metrics)

    async def validate(self) -> None:
        """Run the four checks, and become VALIDATED.

        Raises:
            CheckFailedError: A check said no; names the check.
            LifecycleError: The trainer has been started before.
        """
        await self._phase(TrainerState.VALIDATING, TrainerState.VALIDATED, self._run_checks)

    async def _phase(
        self, doing: TrainerState, done: TrainerState, work: Callable[[], Awaitable[T]]
    ) -> T:
        """Do the work of one phase; what it raises is kept and makes the state ERROR."""
        self._lifecycle.move(doing)
        try:
            result = await work()
        except BaseException as error:  # a cancelled or interrupted run has failed as well
            self.error = error
            self._lifecycle.move(TrainerState.ERROR, cause=error)
            raise
        self._lifecycle.move(done)
        return result

    async def _run_checks(self) -> None:
        for check in CHECKS:
            answer = await getattr(self, check)()
            if answer is None:
                raise UserCodeError(
                    f"{type(self).__name__}.{check} must return True or False, got None"
                )
            if not answer:
                raise CheckFailedError(
                    f"{type(self).__name__}.{check} said no", check=check, hint=self._shown(check)
                )

    def _shown(self, check: str) -> str:
        """Return what the check looked at, in a line."""
        name = {"check_reward": "reward_fn"}.get(check, check.removeprefix("check_"))
        return f"{name} is {reprlib.repr(getattr(self, name))}"

    def _measured(self, method: str) -> Callable[[], Awaitable[TrainMetrics]]:
        async def work() -> TrainMetrics:
            metrics = await getattr(self, method)()
            if not isinstance(metrics, TrainMetrics):
                raise UserCodeError(
                    f"{type(self).__name__}.{method} must return TrainMetrics, got {metrics!r}"
                )
            return metrics

        return work
