import asyncio
import math

import pytest

from orbiter.testing import check_trainer
from orbiter.train.config import TrainMetrics
from orbiter.train.lifecycle import TrainerState
from orbiter.train.trainer import CHECKS, Trainer


class Counting(Trainer):
    """A right one, to be broken in one way each."""

    async def check_agent(self):
        return self.agent is not None

    async def check_dataset(self):
        return len(self.dataset) > 0

    async def check_reward(self):
        return True

    async def check_config(self):
        return self.config.epochs > 0

    async def train(self):
        return TrainMetrics(steps=len(self.dataset))

    async def evaluate(self):
        return TrainMetrics(accuracy=1.0)


def make(cls):
    return lambda: cls(agent="a", dataset=[1, 2])


def test_a_right_trainer_passes():
    check_trainer(make(Counting))


def test_it_trains_once_in_full():
    trained = []

    class Watched(Counting):
        async def train(self):
            trained.append(self)
            return await super().train()

    check_trainer(make(Watched))
    assert len(trained) == 1


class Started(Counting):
    def __init__(self, **more):
        super().__init__(**more)
        self._lifecycle.move(TrainerState.VALIDATING)


class OddCheck(Counting):
    async def check_reward(self):
        return 1


class Number(Counting):
    async def train(self):
        return 0.5


class NotANumber(Counting):
    async def evaluate(self):
        return TrainMetrics(loss=math.nan)


class HalfSteps(Counting):
    async def train(self):
        return TrainMetrics(steps=1.5)


class SkipsACheck(Counting):
    async def _run_checks(self):
        for check in CHECKS[:-1]:
            await getattr(self, check)()


class TrainsTwice(Counting):
    async def run(self):
        result = await super().run()
        await self.train()
        return result


class TrainsEarly(Counting):
    async def validate(self):
        await self.train()
        await super().validate()


class NoResult(Counting):
    async def run(self):
        await super().run()


class RunsAgain(Counting):
    async def run(self):
        if self.state is TrainerState.COMPLETE:
            return self.result
        self.result = await super().run()
        return self.result


class DeafToNo(Counting):
    async def _run_checks(self):
        for check in CHECKS:
            await getattr(self, check)()


class Swallowing(Counting):
    async def run(self):
        try:
            return await super().run()
        except RuntimeError:
            raise
        except Exception as error:
            raise RuntimeError("training failed") from error


class Forgetting(Counting):
    async def run(self):
        try:
            return await super().run()
        finally:
            self.error = None


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Started, "states"),
        (TrainsEarly, "states"),
        (TrainsTwice, "states"),
        (OddCheck, "checks"),
        (Number, "metrics"),
        (NotANumber, "metrics"),
        (HalfSteps, "metrics"),
        (SkipsACheck, "order"),
        (NoResult, "run"),
        (RunsAgain, "runs once"),
        (DeafToNo, "a check says no"),
        (Forgetting, "a check says no"),
        (Swallowing, "errors"),
    ],
)
def test_a_broken_clause_is_named(broken, clause):
    with pytest.raises(AssertionError) as caught:
        check_trainer(make(broken))
    assert f" breaks {clause!r}: " in str(caught.value)


def test_a_trainer_whose_checks_fail_is_named():
    with pytest.raises(AssertionError, match=r"check_agent\(\) must return True here, got False"):
        check_trainer(lambda: Counting(dataset=[1]))


def test_no_observer_is_left_behind():
    from orbiter.plugin import plugin_manager

    before = len(plugin_manager().hook.orbiter_on_state.get_hookimpls())
    check_trainer(make(Counting))
    with pytest.raises(AssertionError):
        check_trainer(make(Number))
    assert len(plugin_manager().hook.orbiter_on_state.get_hookimpls()) == before


def test_cancelling_is_not_hidden():
    class Cancelled(Counting):
        async def train(self):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        check_trainer(make(Cancelled))
