"""One planted bad implementation of each kind fails the conformance kit, by the clause that it breaks."""

import itertools
import json

import attrs
import pytest

from orbiter.builtins import NAMES
from orbiter.curate.export.trl import TrlSft
from orbiter.generate import Request
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.generate.templates import TemplateSynthesiser
from orbiter.records import Message, Task, Trajectory, Verdict
from orbiter.tasks.sorting import Sorting
from orbiter.testing import (
    check_environment,
    check_exporter,
    check_policy,
    check_strategy,
    check_synthesiser,
    check_trainer,
    check_verifier,
)
from orbiter.train.backend import Backend, TrainResult
from orbiter.train.config import TrainMetrics
from orbiter.train.dataset import DefaultStrategy
from orbiter.train.model_trainer import ModelTrainer
from orbiter.verify.audit.probes import NEAR_MISSES, probes
from orbiter.verify.exact import ExactVerifier

SUM = (Message("system", "be brief"), Message("user", "2+2="), Message("assistant", "4"))
TRAJECTORY = Trajectory(SUM, "sums", "sums:0", 1.0, verdict=Verdict.passed(), generator="policy")
REQUESTS = [
    Request(messages=(Message("user", f"sort {digits}:"),), env="sorting", attempt=n, seed=n)
    for n, digits in enumerate(("312", "321", "231", "132", "213", "321"))
]


class Idle(Backend):
    """A backend that learns nothing."""

    name = "verl"
    algorithms = {"sft": Trajectory, "grpo": Task}  # noqa: RUF012

    def check(self, job):
        pass

    def train(self, job):
        job.on_metrics(1, {"loss": 0.5})
        metrics = TrainMetrics(loss=0.5, steps=1)
        return TrainResult(checkpoint=job.output_dir / "checkpoint", metrics=metrics)


class DriftingEnvironment(Sorting):
    """Gives another task each time it is asked."""

    calls = itertools.count()

    def task(self, index, *, seed):
        return super().task(next(self.calls), seed=seed)


class TrustingVerifier(ExactVerifier):
    """Believes what a trajectory says of itself."""

    def verify(self, task, trajectory):
        if trajectory.metadata.get("success") is True:
            return Verdict.passed()
        return super().verify(task, trajectory)


class DisorderlyPolicy(ScriptedPolicy):
    """Answers as they come, not as they were asked."""

    async def complete(self, requests, sampling):
        return sorted(
            await super().complete(requests, sampling), key=lambda c: json.dumps(c.messages[0].text)
        )


class ForgetfulSynthesiser(TemplateSynthesiser):
    """Draws from a stream that goes on from call to call."""

    async def generate(self, count):
        self.seed += 1
        return await super().generate(count)


class GuessingStrategy(DefaultStrategy):
    """Counts what nobody scored as 0."""

    def process(self, item):
        return attrs.evolve(super().process(item), reward=item.reward or 0.0)


class DeafTrainer(ModelTrainer):
    """Goes on when a check says no."""

    async def _run_checks(self):
        for check in ("check_agent", "check_dataset", "check_reward", "check_config"):
            await getattr(self, check)()


class LosingExporter(TrlSft):
    """Leaves out what it has no place for."""

    def row(self, record, *, index):
        messages = [m for m in record.messages if m.role != "system"]
        return super().row(attrs.evolve(record, messages=tuple(messages)), index=index)


PLANTED = {
    "environment": (lambda: check_environment(DriftingEnvironment), "same task for ever"),
    "verifier": (
        lambda: check_verifier(
            TrustingVerifier,
            probes(Sorting(), TrustingVerifier(), count=2, seed=0, families=NEAR_MISSES),
        ),
        "claims are ignored",
    ),
    "policy": (
        lambda: check_policy(lambda: DisorderlyPolicy(environment="sorting", accuracy=0.0), REQUESTS),
        "order",
    ),
    "synthesiser": (
        lambda: check_synthesiser(lambda: ForgetfulSynthesiser(["{x}"], {"x": list(range(99))})),
        "same items again",
    ),
    "strategy": (lambda: check_strategy(GuessingStrategy), "unscored stays unscored"),
    "trainer": (
        lambda: check_trainer(lambda: DeafTrainer("m", data=__file__, backend=Idle())),
        "a check says no",
    ),
    "exporter": (lambda: check_exporter(LosingExporter, [TRAJECTORY]), "nothing is left out"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
def test_a_planted_bad_one_fails(kind):
    check, clause = PLANTED[kind]
    with pytest.raises(AssertionError) as caught:
        check()
    assert str(caught.value).startswith(f"{kind} ")
    assert f" breaks {clause!r}: " in str(caught.value)
