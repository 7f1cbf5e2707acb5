"""The checks that any author of a policy or backend can run."""

from orbiter_trl.backend import TrlBackend
from orbiter_trl.policy import TransformersPolicy

from orbiter.generate.policy import Request, Sampling
from orbiter.records import Message
from orbiter.testing import check_backend, check_policy
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig
from orbiter.train.rewards import RewardSpec


def test_the_policy_keeps_its_contract(nano):
    requests = [
        Request(messages=(Message("user", "copy " + "1" * n),), seed=n) for n in range(1, 12)
    ]
    check_policy(
        lambda: TransformersPolicy(nano),
        requests,
        sampling=Sampling(max_new_tokens=8),
        stochastic=True,
    )


def test_the_backend_keeps_its_contract_for_sft(nano, rows, write, tmp_path):
    (tmp_path / "out").mkdir()
    check_backend(
        TrlBackend,
        TrainJob(
            algorithm="sft",
            model=str(nano),
            data=write(rows(12)),
            output_dir=tmp_path / "out",
            config=TrainConfig(max_steps=2, batch_size=4, log_every=1),
        ),
    )


def test_the_backend_keeps_its_contract_for_grpo(nano, tasks, write, tmp_path):
    (tmp_path / "out").mkdir()
    check_backend(
        TrlBackend,
        TrainJob(
            algorithm="grpo",
            model=str(nano),
            data=write(tasks(6)),
            output_dir=tmp_path / "out",
            config=TrainConfig(max_steps=2, batch_size=4, log_every=1),
            rewards=(RewardSpec(name="short", fn=lambda output: 1 / (1 + len(output))),),
            options={"num_generations": 2, "max_completion_length": 4},
        ),
    )
