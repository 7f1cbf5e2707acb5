"""What every objective refuses, and the weighted mean."""

import numpy as np
import pytest

from orbiter.errors import ConfigError
from orbiter.train import objectives
from orbiter.train.objectives import (
    dpo_loss,
    gae,
    group_advantages,
    mean_loss,
    sequence_logps,
    simpo_loss,
)


def test_mean_of_weighted_losses_is_over_the_rows_and_not_over_the_weights():
    assert mean_loss([1.0, 3.0]) == 2.0
    assert mean_loss([1.0, 3.0], [0.5, 0.5]) == 1.0
    assert mean_loss([1.0, 3.0], [0.0, 2.0]) == 3.0


def test_a_weight_of_two_is_a_row_given_twice(rng):
    losses = rng.normal(size=3)
    twice = mean_loss(losses[[0, 1, 2, 2]])
    assert mean_loss(losses, np.array([1, 1, 2]) * 3 / 4) == pytest.approx(twice)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_loss([]), r"losses must not be empty, got the shape \(0,\)"),
        (lambda: mean_loss([1.0], [-1.0]), "weights must be >= 0, got -1.0"),
        (lambda: mean_loss([1.0, 2.0], [1.0]), r"weights must have the shape \(2,\), got \(1,\)"),
        (lambda: mean_loss([[1.0]]), r"losses must have 1 axes, got the shape \(1, 1\)"),
        (lambda: mean_loss([1.0, np.nan]), r"losses must be finite, got nan at \(1,\)"),
        (lambda: mean_loss(["a"]), "losses must be an array of numbers"),
        (lambda: simpo_loss([-1.0], [-2.0], beta=0), "beta must be a number > 0, got 0"),
        (lambda: simpo_loss([-1.0], [-2.0], gamma=-1), "gamma must be a number >= 0, got -1"),
        (lambda: simpo_loss([-1.0], [-2.0], beta=True), "beta must be a number > 0, got True"),
        (lambda: simpo_loss([-1.0], [-2.0], beta=np.inf), "beta must be a number > 0, got inf"),
        (lambda: dpo_loss([-1.0], [-1.0], [-1.0], [-1.0, -2.0]), "ref_rejected_logps must have"),
        (lambda: sequence_logps([[-1.0]], [[2]]), "mask must hold 0 and 1 alone, got 2.0 to 2.0"),
        (lambda: sequence_logps([[-1.0]], [1]), r"mask must have 2 axes, got the shape \(1,\)"),
        (
            lambda: sequence_logps([[-1.0], [-1.0]], [[1], [0]]),
            "mask must have a token in every row, got none in row 1",
        ),
        (lambda: gae([[1.0, 2.0]], [[1.0]], [[1, 1]]), r"values must have the shape \(1, 2\)"),
        (lambda: group_advantages([1.0, 2.0]), "valid must have 2 axes"),
    ],
)
def test_what_cannot_be_computed_is_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_nan_counts_only_where_the_mask_is_on():
    assert sequence_logps([[-1.0, np.nan]], [[1, 0]]) == [-1.0]
    with pytest.raises(ConfigError, match=r"token_logps must be finite, got nan at \(0, 1\)"):
        sequence_logps([[-1.0, np.nan]], [[1, 1]])


def test_every_public_function_says_where_it_comes_from_or_what_it_does():
    for name in objectives.__all__:
        assert getattr(objectives, name).__doc__, name
