"""Each name of the plugin keeps its contract, and a planted bad one of each kind does not."""

import functools
import hashlib

import pytest
from orbiter_trl.backend import TrlBackend
from orbiter_trl.policy import TransformersPolicy
from orbiter_trl.reward_model import RewardModel

from orbiter.generate.policy import Request, Sampling
from orbiter.plugin import registry
from orbiter.records import Message, Task
from orbiter.testing import check_backend, check_policy, check_trainer, check_verifier
from orbiter.train.config import TrainConfig
from orbiter.train.model_trainer import ModelTrainer
from orbiter.verify.audit import LabelledAnswer

CONFIG = TrainConfig(max_steps=2, batch_size=4, log_every=1)
REQUESTS = [Request(messages=(Message("user", "copy " + "1" * n),), seed=n) for n in range(1, 12)]
SAMPLING = Sampling(max_new_tokens=8)


def check_transformers(ask):
    make = functools.partial(registry().create, "policy", "transformers", {"model": ask("nano")})
    check_policy(make, REQUESTS, sampling=SAMPLING, stochastic=True)


def check_trl(algorithm, ask):
    job = ask("any_job")(algorithm)
    job.output_dir.mkdir()
    check_backend(functools.partial(registry().create, "backend", "trl"), job)


def check_nano(ask):
    """Check what holds for whatever makes a model: the same arguments give the same files."""
    options = {"hidden_size": 16, "layers": 1, "heads": 2, "chars": "0123"}
    make = registry().get("model", "nano")
    folders = [make(ask("tmp_path") / name, **options) for name in ("one", "two")]
    one, two = (
        {path.name: hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir()}
        for folder in folders
    )
    assert one == two
    assert any(name.endswith(".safetensors") for name in one)


def check_scoring(name, model, ask):
    """A trained model that prefers digits to letters, as a verifier of answers to any prompt."""
    task = Task("copying", "copying:1", (Message("user", "copy 11:"),), answer="77")
    labelled = [LabelledAnswer(task, "77", True), LabelledAnswer(task, "cc", False)]
    options = {"model": str(ask(model))}
    if name == "reward_model":  # which has no zero of its own
        rewards = [RewardModel(options["model"])(item.answer, task) for item in labelled]
        options["offset"] = sum(rewards) / 2
    check_verifier(functools.partial(registry().create, "verifier", name, options), labelled)


CHECKS = {
    ("policy", "transformers"): {"": check_transformers},
    ("backend", "trl"): {
        algorithm: functools.partial(check_trl, algorithm) for algorithm in TrlBackend.algorithms
    },
    ("model", "nano"): {"": check_nano},
    ("verifier", "reward_model"): {
        "": functools.partial(check_scoring, "reward_model", "reward_model")
    },
    ("verifier", "process_reward_model"): {
        "": functools.partial(check_scoring, "process_reward_model", "step_model")
    },
}
"""(kind, name) to what checks it, given a function that gets a fixture; of a backend, one check per algorithm."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id="-".join(filter(None, (*name, way))))
        for name, checks in CHECKS.items()
        for way, check in checks.items()
    ],
)
def test_a_name_keeps_its_contract(check, request):
    check(request.getfixturevalue)


def test_every_name_is_checked():
    assert {(e.kind, e.name) for e in registry().entries() if e.owner == "trl"} == set(CHECKS)


@pytest.mark.slow
def test_a_trainer_with_the_backend_keeps_its_contract(nano, rows, tmp_path):
    check_trainer(
        lambda: ModelTrainer(nano, data=rows(12), config=CONFIG, output_dir=tmp_path / "run")
    )


class ForgetfulPolicy(TransformersPolicy):
    """Samples from a seed of its own."""

    asked = 0

    async def complete(self, requests, sampling):
        self.asked += 1
        return await super().complete(
            [Request(messages=r.messages, seed=self.asked) for r in requests], sampling
        )


class WritingBackend(TrlBackend):
    """Writes before it is asked to train."""

    def check(self, job):
        super().check(job)
        job.output_dir.mkdir(parents=True, exist_ok=True)
        (job.output_dir / "checked").write_text("yes")


def test_a_planted_bad_policy_fails(nano):
    with pytest.raises(AssertionError, match="breaks 'same answers again'"):
        check_policy(lambda: ForgetfulPolicy(nano), REQUESTS, sampling=SAMPLING)


def test_a_planted_bad_backend_fails(any_job):
    job = any_job("sft")
    job.output_dir.mkdir()
    with pytest.raises(AssertionError, match=r"breaks 'check': .* must write nothing"):
        check_backend(WritingBackend, job)
