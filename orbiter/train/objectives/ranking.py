"""Rankings: their pairs, the loss of a reward model on them, and the best of n answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from orbiter.checks import check_whole_number
from orbiter.errors import ConfigError
from orbiter.train.objectives.arrays import array, booleans, vectors
from orbiter.train.objectives.preference import bradley_terry_loss


def ranking_pairs(ranks: ArrayLike) -> list[tuple[int, int]]:
    """Return (better, worse) for every two answers that a ranking of K tells apart: at most K (K - 1) / 2 pairs.

    InstructGPT ranks 4 to 9 answers (Ouyang et al. 2022, section 3.5). The pairs of one ranking are not independent: keep them in one
    batch, or weigh each with 1 over their number.

    Args:
        ranks: (K,), 1 for the best; equal ranks are a tie and give no pair.
    """
    (places,) = vectors(ranks=ranks)
    order = np.argsort(places, kind="stable")
    return [
        (int(i), int(j))
        for n, i in enumerate(order)
        for j in order[n + 1 :]
        if places[i] < places[j]
    ]


def ranking_loss(rewards: ArrayLike, ranks: ArrayLike) -> float:
    """Return the loss of a reward model on one ranking: the mean of the Bradley-Terry loss over its pairs.

    (Ouyang et al. 2022, eq. 1, with 1 / (K over 2).) A batch of rankings is the mean of this, so that a long ranking does not weigh more.
    TRL has no such loss: a ranking that is flattened to pairs weighs K (K - 1) / 2.

    Args:
        rewards: (K,)
        ranks: (K,), 1 for the best, at least two of them different.
    """
    scores, places = vectors(rewards=rewards, ranks=ranks)
    pairs = ranking_pairs(places)
    if not pairs:
        raise ConfigError("ranks must tell two answers apart, got all equal")
    better, worse = (scores[list(side)] for side in zip(*pairs))
    return float(bradley_terry_loss(better, worse).mean())


def best_of_n(rewards: ArrayLike, *, valid: Sequence[bool] | None = None) -> int:
    """Return the place of the highest reward, the first of equals; answers that are not valid do not compete.

    What it costs in KL and how often it succeeds: :func:`orbiter.flywheel.odds.best_of_n_kl` and ``best_of_n_success``.

    Args:
        rewards: (N,)
        valid: (N,), which answers were scored; None is all. At least one.
    """
    on = booleans("valid", np.ones(np.shape(rewards)) if valid is None else valid, ndim=1)
    if np.shape(rewards) != on.shape or not on.any():
        raise ConfigError(f"valid must have the shape {np.shape(rewards)} and hold a true")
    scores = array("rewards", np.where(on, np.asarray(rewards, dtype=np.float64), 0.0), ndim=1)
    return int(np.argmax(np.where(on, scores, -np.inf)))


def expected_best_of_n(rewards: ArrayLike, n: int) -> float:
    """Return the expected reward of the best of n answers, estimated from N >= n samples without bias::

        sum_i C(i - 1, n - 1) / C(N, n) r_(i),    r_(1) <= ... <= r_(N)

    The mean over all subsets of n. With rewards 0 and 1 it is pass@n (Chen et al. 2021, eq. 1); with n = 1 the mean; with n = N the
    maximum. Taking the best of the first n only is unbiased too, but noisier.

    Args:
        rewards: (N,)
        n: In [1, N].
    """
    (scores,) = vectors(rewards=rewards)
    check_whole_number("n", n, low=1, high=len(scores))
    total = math.comb(len(scores), n)
    weights = [math.comb(i, n - 1) / total for i in range(len(scores))]
    return float(np.sort(scores) @ weights)
