"""The divergence of two policies whose answers have known probabilities."""

import math

import pytest

from orbiter.errors import ConfigError, PolicyError
from orbiter.flywheel.divergence import divergence
from orbiter.generate.policy import Completion, Policy, Sampling
from orbiter.generate.scripted import ScriptedPolicy
from orbiter.records import Message, Task
from orbiter.tasks.streams import item_stream

TASKS = [Task("e", f"t{n}", (Message("user", f"task {n}"),)) for n in range(400)]


class Coin(Policy):
    """Says heads with a probability, whatever it is asked; some tasks it does not answer."""

    name = "coin"
    batch_size = 32

    def __init__(self, heads, *, silent=()):
        self.heads, self.silent, self.samplings = heads, silent, []

    async def complete(self, requests, sampling):
        self.samplings.append(sampling)
        return [
            Completion.failed("silent")
            if request.task_id in self.silent
            else Completion.of("h" if item_stream(request.seed).random() < self.heads else "t")
            for request in requests
        ]

    async def logps(self, answered):
        return [
            math.log(self.heads if c.messages[0].text == "h" else 1 - self.heads)
            for _, c in answered
        ]


def exact(p, q):
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


async def test_the_interval_covers_the_truth_as_often_as_it_says():
    truth, hits, total = exact(0.8, 0.5), 0, 0.0
    for seed in range(200):
        found = await divergence(Coin(0.8), Coin(0.5), TASKS[:100], sampling=Sampling(), seed=seed)
        hits += found.value is not None and truth in found.interval
        total += found.value
    assert hits >= 180
    assert total / 200 == pytest.approx(truth, abs=0.01)


async def test_a_policy_is_no_distance_from_itself():
    found = await divergence(Coin(0.3), Coin(0.3), TASKS, sampling=Sampling(), seed=1)
    assert (found.value, found.interval.low, found.interval.high) == (0, 0, 0)


async def test_the_whole_distribution_is_sampled_whatever_the_run_samples():
    policy = Coin(0.8)
    narrow = Sampling(temperature=0.1, top_p=0.5, top_k=1, max_new_tokens=7, stop=("x",))
    await divergence(policy, Coin(0.5), TASKS[:4], sampling=narrow, seed=1)
    assert policy.samplings == [Sampling(max_new_tokens=7, stop=("x",))]


async def test_what_is_not_answered_is_left_out_and_nothing_is_no_distance():
    silent = {task.task_id for task in TASKS[2:]}
    found = await divergence(
        Coin(0.5, silent=silent), Coin(0.25), TASKS, sampling=Sampling(), seed=3
    )
    assert found.value is not None
    nobody = Coin(0.5, silent={task.task_id for task in TASKS})
    with pytest.raises(PolicyError, match="divergence needs two answers at least, got 0"):
        await divergence(nobody, Coin(0.5), TASKS, sampling=Sampling(), seed=3)


async def test_a_policy_that_cannot_tell_refuses():
    scripted = ScriptedPolicy(answers=lambda _: "h")
    with pytest.raises(ConfigError, match="policy 'scripted' cannot tell the log-probability"):
        await divergence(scripted, scripted, TASKS[:4], sampling=Sampling(), seed=1)
