"""The check of a Trainer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from orbiter import hookimpl
from orbiter.errors import CheckFailedError, LifecycleError
from orbiter.hookspecs import StateEvent
from orbiter.plugin import plugin_manager
from orbiter.testing.contract import Contract, shown
from orbiter.train.config import TrainMetrics
from orbiter.train.lifecycle import TrainerState
from orbiter.train.trainer import CHECKS, Trainer, TrainerResult

WALK = (
    TrainerState.CREATED,
    TrainerState.VALIDATING,
    TrainerState.VALIDATED,
    TrainerState.TRAINING,
    TrainerState.TRAINED,
    TrainerState.EVALUATING,
    TrainerState.COMPLETE,
)
"""The states of a run in which nothing goes wrong."""


def check_trainer(make: Callable[[], Trainer]) -> None:
    """Check that a trainer keeps its contract.

    The clauses: it is CREATED at first; each check returns True or False; ``run`` calls the four checks, ``train`` and
    ``evaluate`` once each in this order, moves through the states and announces them; ``train`` and ``evaluate`` return
    TrainMetrics whose numbers are finite or None; it runs once; a check that says no ends the run with an error that names
    it, before any training; what a method raises is raised by ``run``, kept as ``error``, and makes the state ERROR.

        def test_my_trainer():
            check_trainer(lambda: MyTrainer(agent=agent, dataset=dataset, reward_fn=len))

    It trains once, in full.

    Args:
        make: Makes a fresh trainer whose checks all pass.

    Raises:
        AssertionError: A clause is broken; the message names it.
    """
    asyncio.run(_check(make))


async def _check(make: Callable[[], Trainer]) -> None:
    trainer = make()
    contract = Contract("trainer", type(trainer).__name__)
    contract.clause(
        "states",
        trainer.state is TrainerState.CREATED and trainer.error is None,
        f"a new trainer must be CREATED without an error, got {trainer.state} {trainer.error!r}",
    )
    result = await _check_run(contract, trainer)
    with contract.refusal("runs once", "a second run()", LifecycleError):
        await trainer.run()
    contract.clause(
        "runs once",
        trainer.state is TrainerState.COMPLETE,
        f"a refused run must leave the state COMPLETE, got {trainer.state}",
    )
    for check in CHECKS:
        await _check_refusal(contract, make(), check)
    for method in (*CHECKS, "train", "evaluate"):
        await _check_failure(contract, make(), method, result)


async def _check_run(contract: Contract, trainer: Trainer) -> TrainerResult:
    calls: list[str] = []
    for method in (*CHECKS, "train", "evaluate"):
        _replace(trainer, method, _recorded(contract, trainer, method, calls))
    watcher = _Watcher()
    plugin_manager().register(watcher)
    try:
        with contract.without_error("run", "run()"):
            result = await trainer.run()
    finally:
        plugin_manager().unregister(watcher)
    expected = [*CHECKS, "train", "evaluate"]
    contract.clause("order", calls == expected, f"run() must call {expected}, got {calls}")
    contract.clause(
        "states",
        trainer.state is TrainerState.COMPLETE,
        f"run() must end in COMPLETE, got {trainer.state}",
    )
    states = [event.new for event in watcher.events]
    contract.clause(
        "states",
        states == [state.value for state in WALK[1:]],
        f"run() must announce every state on its way, got {states}",
    )
    contract.clause(
        "run",
        isinstance(result, TrainerResult),
        f"run() must return a TrainerResult, got {shown(result)}",
    )
    return result


_DURING = {
    "train": TrainerState.TRAINING,
    "evaluate": TrainerState.EVALUATING,
    **dict.fromkeys(CHECKS, TrainerState.VALIDATING),
}


def _recorded(
    contract: Contract, trainer: Trainer, method: str, calls: list[str]
) -> Callable[[], Any]:
    original = getattr(trainer, method)

    async def recorded(*args: Any, **more: Any) -> Any:
        calls.append(method)
        contract.clause(
            "states",
            trainer.state is _DURING[method],
            f"{method}() must run while {_DURING[method].name}, got {trainer.state}",
        )
        answer = await original(*args, **more)
        if method in CHECKS:
            contract.clause(
                "checks", answer is True, f"{method}() must return True here, got {answer!r}"
            )
        else:
            _check_metrics(contract, method, answer)
        return answer

    return recorded


def _check_metrics(contract: Contract, method: str, metrics: Any) -> None:
    contract.clause(
        "metrics",
        isinstance(metrics, TrainMetrics),
        f"{method}() must return TrainMetrics, got {shown(metrics)}",
    )
    for name in ("loss", "accuracy", "reward"):
        value = getattr(metrics, name)
        contract.clause(
            "metrics",
            value is None or math.isfinite(value),
            f"{name} of {method}() must be finite, or None where nothing was measured, got {value!r}",
        )
    contract.clause(
        "metrics",
        type(metrics.steps) is int and metrics.steps >= 0,
        f"steps of {method}() must be an integer >= 0, got {metrics.steps!r}",
    )


async def _check_refusal(contract: Contract, trainer: Trainer, check: str) -> None:
    calls: list[str] = []

    async def no() -> bool:
        return False

    async def untouched(*_: Any, **__: Any) -> TrainMetrics:
        calls.append("train")
        return TrainMetrics()

    _replace(trainer, check, no)
    _replace(trainer, "train", untouched)
    with contract.refusal(
        "a check says no", f"run() after {check}() said no", CheckFailedError, naming=check
    ):
        await trainer.run()
    contract.clause(
        "a check says no", not calls, f"train() must not be called after {check}() said no"
    )
    contract.clause(
        "a check says no",
        trainer.state is TrainerState.ERROR and isinstance(trainer.error, CheckFailedError),
        f"the state must be ERROR with its cause, got {trainer.state} {trainer.error!r}",
    )


class _Planted(Exception):
    """Raised on purpose, to see what the trainer makes of it."""


async def _check_failure(
    contract: Contract, trainer: Trainer, method: str, result: TrainerResult
) -> None:
    async def fails(*_: Any, **__: Any) -> Any:
        raise _Planted

    async def trained(*_: Any, **__: Any) -> TrainMetrics:
        return result.train_metrics

    _replace(trainer, "train", trained)  # one training in full is enough
    _replace(trainer, method, fails)
    with contract.refusal("errors", f"run() in which {method}() raises", _Planted):
        await trainer.run()
    contract.clause(
        "errors",
        trainer.state is TrainerState.ERROR and isinstance(trainer.error, _Planted),
        f"the state must be ERROR with its cause after {method}() raised, "
        f"got {trainer.state} {trainer.error!r}",
    )


class _Watcher:
    """Collects the states that are announced."""

    def __init__(self) -> None:
        self.events: list[StateEvent] = []

    @hookimpl
    def orbiter_on_state(self, event: StateEvent) -> None:
        self.events.append(event)


def _replace(trainer: Trainer, method: str, by: Callable[..., Any]) -> None:
    """Put a method in the place of another, on this one trainer, frozen or not."""
    object.__setattr__(trainer, method, by)
