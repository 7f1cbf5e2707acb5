"""Bucketed batches: every row once, little padding, another order each epoch, and the same again after a crash."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_trl.backend import TrlBackend
from orbiter_trl.bucketing import BucketSampler

from orbiter.records import Message, Trajectory
from orbiter.train.config import TrainConfig

BUCKETED = {"train_sampling_strategy": "group_by_length"}


@given(
    lengths=st.lists(st.integers(1, 50), max_size=60),
    batch_size=st.integers(1, 7),
    seed=st.integers(0, 3),
)
def test_every_row_comes_once(lengths, batch_size, seed):
    sampler = BucketSampler(lengths, batch_size=batch_size, seed=seed)
    assert sorted(sampler) == list(range(len(lengths))) == sorted(sampler)
    assert len(sampler) == len(lengths)


def test_rows_of_a_batch_are_alike_and_batches_in_no_order():
    sampler = BucketSampler([n % 10 for n in range(103)], batch_size=10, seed=0)
    order = list(sampler)
    batches = [order[i : i + 10] for i in range(0, 103, 10)]
    assert all(max(n % 10 for n in b) - min(n % 10 for n in b) <= 1 for b in batches)
    firsts = [batch[0] % 10 for batch in batches[:-1]]
    assert firsts != sorted(firsts)
    assert len(batches[-1]) == 3


def test_an_epoch_has_an_order_of_its_own():
    one, other = (BucketSampler(range(40), batch_size=4, seed=0) for _ in range(2))
    first = list(one)
    assert list(other) == first
    one.set_epoch(1)
    assert list(one) != first
    one.set_epoch(0)
    assert list(one) == first
    assert list(BucketSampler(range(40), batch_size=4, seed=1)) != first


@pytest.fixture
def uneven():
    """Trajectories of many lengths."""
    return [
        Trajectory(
            (Message("user", "copy"), Message("assistant", "7" * (1 + n % 13))), "e", f"{n}", 1.0
        )
        for n in range(22)
    ]


class Crash(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["sft", "dpo"])
def test_a_run_that_goes_on_sees_the_same_batches(any_job, write, uneven, algorithm):
    def crash(step, _):
        if step == 8:
            raise Crash

    config = TrainConfig(max_steps=10, batch_size=4, learning_rate=3e-3, log_every=1, save_every=7)
    data = {"data": write(uneven)} if algorithm == "sft" else {"count": 22}

    def job(name, **more):
        return any_job(algorithm, name=name, config=config, options={**BUCKETED, **more}, **data)

    straight = TrlBackend().train(job("straight"))
    with pytest.raises(Crash):
        TrlBackend().train(attrs.evolve(job("crashed"), on_metrics=crash))
    resumed = TrlBackend().train(job("crashed"))
    other = TrlBackend().train(job("other", train_sampling_strategy="random"))
    weights = [
        (result.checkpoint / "model.safetensors").read_bytes()
        for result in (straight, resumed, other)
    ]
    assert weights[0] == weights[1] != weights[2]
