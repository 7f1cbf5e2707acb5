"""Metrics: what verl writes in its own names, read while it runs, in the names of the house."""

from __future__ import annotations

import math
from collections.abc import Mapping

NAMES = {
    "loss": "actor/loss",
    "learning_rate": "actor/lr",
    "grad_norm": "actor/grad_norm",
    "entropy": "actor/entropy",
    "reward": "critic/score/mean",
    "kl": "actor/reward_kl_penalty",
    "kl_coef": "actor/reward_kl_penalty_coeff",
    "value_loss": "critic/vf_loss",
    "completions/mean_length": "response_length/mean",
    "step_time": "timing_s/step",
}
"""The house's name of a metric to verl's."""


def translated(row: Mapping[str, object]) -> dict[str, float]:
    """Return the finite numbers of a row of verl's: under its own names, and the best known under the house's too."""
    found = {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return {**{ours: found[name] for ours, name in NAMES.items() if name in found}, **found}
