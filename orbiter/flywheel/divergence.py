"""How far a model is from another: the Kullback-Leibler divergence of its answers, estimated from samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

from orbiter.errors import PolicyError
from orbiter.generate.policy import Policy, Request, Sampling, ask_all
from orbiter.intervals import Estimate, Interval
from orbiter.records import Task
from orbiter.tasks.streams import item_seed

KL_TASKS = 128
"""Held-out prompts that a divergence is estimated on, one answer to each."""


async def divergence(
    policy: Policy, reference: Policy, tasks: Sequence[Task], *, sampling: Sampling, seed: int
) -> Estimate:
    """Return KL(policy || reference) in nats per answer, averaged over prompts, with its 95 % interval.

    The mean over answers y that the policy samples at temperature 1 of log policy(y) - log reference(y), the estimator k1 (Schulman 2020),
    which is without bias; the interval is the normal one of a mean.

    Args:
        policy: Samples, and tells log-probabilities.
        reference: Tells them of the same answers.
        tasks: Prompts.
        sampling: Its bound on length and stops count; it is sampled from the whole distribution at temperature 1.
        seed: Seed of the answers.

    Raises:
        PolicyError: Fewer than two prompts were answered.
    """
    whole = Sampling(max_new_tokens=sampling.max_new_tokens, stop=sampling.stop)
    requests = [
        Request(
            messages=task.messages,
            env=task.env,
            task_id=task.task_id,
            seed=item_seed(seed, task.task_id),
            tools=task.tools,
        )
        for task in tasks
    ]
    completions = await ask_all(policy, requests, whole)
    answered = [(r, c) for r, c in zip(requests, completions) if c.error is None]
    ratios: list[float] = []
    size = max(1, policy.batch_size)
    for start in range(0, len(answered), size):
        batch = answered[start : start + size]
        own, others = await policy.logps(batch), await reference.logps(batch)
        ratios += [a - b for a, b in zip(own, others, strict=True)]
    if len(ratios) < 2:
        raise PolicyError(
            f"divergence needs two answers at least, got {len(ratios)}",
            hint="hold more tasks out",
        )
    mean = fmean(ratios)
    half = NormalDist().inv_cdf(0.975) * stdev(ratios) / math.sqrt(len(ratios))
    return Estimate(mean, Interval(mean - half, mean + half, 0.95))
