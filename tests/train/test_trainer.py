import asyncio

import pytest

from orbiter import hookimpl
from orbiter.errors import CheckFailedError, LifecycleError, UserCodeError
from orbiter.plugin import plugin_manager
from orbiter.train.config import TrainConfig, TrainMetrics
from orbiter.train.lifecycle import TrainerState
from orbiter.train.trainer import CHECKS, Trainer, TrainerResult

STEPS = (*CHECKS, "train", "evaluate")
PHASES = {**dict.fromkeys(CHECKS, "validating"), "train": "training", "evaluate": "evaluating"}
TRAINED, EVALUATED = TrainMetrics(loss=0.5), TrainMetrics(accuracy=0.9)


class Plain(Trainer):
    """Answers each step from a dict; an exception in it is raised."""

    def __init__(self, *args, answers=None, **more):
        super().__init__(*args, **more)
        self.answers = answers or {}
        self.calls = []

    async def step(self, name, default):
        self.calls.append((name, self.state.value))
        answer = self.answers.get(name, default)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def check_agent(self):
        return await self.step("check_agent", True)

    async def check_dataset(self):
        return await self.step("check_dataset", True)

    async def check_reward(self):
        return await self.step("check_reward", True)

    async def check_config(self):
        return await self.step("check_config", True)

    async def train(self):
        return await self.step("train", TRAINED)

    async def evaluate(self):
        return await self.step("evaluate", EVALUATED)


@pytest.fixture
def walked():
    class Recorder:
        def __init__(self):
            self.states = ["created"]

        @hookimpl
        def orbiter_on_state(self, event):
            assert (event.subject, event.old) == ("Plain", self.states[-1])
            self.states.append(event.new)

    recorder = Recorder()
    plugin_manager().register(recorder)
    yield recorder.states
    plugin_manager().unregister(recorder)


async def test_run_walks_every_state_in_order(walked):
    trainer = Plain()
    assert await trainer.run() == TrainerResult(train_metrics=TRAINED, eval_metrics=EVALUATED)
    assert trainer.calls == [(step, PHASES[step]) for step in STEPS]
    assert walked == [state.value for state in TrainerState if state != "error"]
    assert (trainer.state, trainer.error) == (TrainerState.COMPLETE, None)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError()])
async def test_what_a_step_raises_ends_the_run_and_is_kept(step, error, walked):
    trainer = Plain(answers={step: error})
    with pytest.raises(type(error)) as caught:
        await trainer.run()
    assert caught.value is error
    assert (trainer.state, trainer.error) == (TrainerState.ERROR, error)
    assert [name for name, _ in trainer.calls] == list(STEPS[: STEPS.index(step) + 1])
    assert walked[-2:] == [PHASES[step], "error"]


@pytest.mark.parametrize("check", CHECKS)
async def test_a_check_that_says_no_is_named(check):
    trainer = Plain(agent=[1, 2], answers={check: False})
    with pytest.raises(CheckFailedError) as caught:
        await trainer.run()
    assert caught.value.check == check
    assert caught.value.message == f"Plain.{check} said no"
    assert (trainer.state, trainer.error) == (TrainerState.ERROR, caught.value)


async def test_a_failed_check_shows_what_it_looked_at():
    with pytest.raises(CheckFailedError, match=r"agent is \[1, 2\]"):
        await Plain(agent=[1, 2], answers={"check_agent": False}).run()
    with pytest.raises(CheckFailedError, match="reward_fn is None"):
        await Plain(answers={"check_reward": False}).run()


async def test_a_check_that_forgets_to_answer_is_an_error():
    class Forgetful(Plain):
        async def check_agent(self):
            pass

    with pytest.raises(
        UserCodeError, match=r"Forgetful.check_agent must return True or False, got None"
    ):
        await Forgetful().run()


@pytest.mark.parametrize("step", ["train", "evaluate"])
async def test_metrics_are_metrics(step):
    trainer = Plain(answers={step: {"loss": 1}})
    with pytest.raises(
        UserCodeError, match=f"Plain.{step} must return TrainMetrics, got {{'loss': 1}}"
    ):
        await trainer.run()
    assert trainer.state is TrainerState.ERROR


@pytest.mark.parametrize(
    ("answers", "state"), [({}, "complete"), ({"train": ValueError()}, "error")]
)
async def test_a_trainer_runs_once(answers, state):
    trainer = Plain(answers=answers)
    await asyncio.gather(trainer.run(), return_exceptions=True)
    with pytest.raises(
        LifecycleError, match=f"Plain must be created to become validating, got {state}"
    ):
        await trainer.run()
    assert trainer.state == state


async def test_a_second_run_does_not_disturb_the_first():
    class Waiting(Plain):
        async def train(self):
            with pytest.raises(LifecycleError):
                await self.run()
            return TRAINED

    trainer = Waiting()
    await trainer.run()
    assert (trainer.state, trainer.error) == (TrainerState.COMPLETE, None)


async def test_validate_alone():
    trainer = Plain()
    await trainer.validate()
    assert trainer.state is TrainerState.VALIDATED


def test_the_attributes_are_what_was_given():
    config = TrainConfig(epochs=3)
    names = ("agent", "dataset", "reward_fn", "config")
    for made in (
        Plain("a", [1], len, config),
        Plain(agent="a", dataset=[1], reward_fn=len, config=config),
    ):
        assert [getattr(made, name) for name in names] == ["a", [1], len, config]
    bare = Plain()
    assert [getattr(bare, name) for name in names] == [None, None, None, TrainConfig()]
    assert (bare.state, bare.error) == (TrainerState.CREATED, None)


def test_every_method_is_required():
    methods = {step: getattr(Plain, step) for step in STEPS}
    for step in STEPS:
        partial = type("Partial", (Trainer,), {k: v for k, v in methods.items() if k != step})
        with pytest.raises(TypeError, match=step):
            partial()
