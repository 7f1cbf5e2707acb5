"""The objectives against numbers that verl's own functions gave: verl.json, made by record_verl.py."""

import json
from pathlib import Path

import numpy as np
import pytest

from orbiter.train import objectives as o

RECORD = json.loads(Path(__file__).with_name("verl.json").read_text())
X = {name: np.array(value) for name, value in RECORD["inputs"].items()}
GROUPS = X["scores"].reshape(2, 3)
REDUCTIONS = {
    "token-mean": {"how": "token-mean"},
    "seq-mean-token-mean": {"how": "sequence-mean"},
    "seq-mean-token-sum": {"how": "sequence-sum"},
    "seq-mean-token-sum-norm": {"how": "constant", "max_length": X["mask"].shape[1]},
}


def ours():
    ratio = o.policy_ratio(X["logps"], X["old_logps"], X["mask"])
    whole = o.policy_ratio(X["logps"], X["old_logps"], X["mask"], level="sequence")
    gae = o.gae(X["rewards"], X["values"], X["mask"], gamma=0.97, lam=0.9)
    value = o.value_loss(X["values"], X["old_values"], X["rewards"], clip=0.3)
    losses = {
        "vanilla": o.clipped_policy_loss(ratio, X["advantages"], clip_high=0.28, dual_clip=3.0),
        "gspo": o.clipped_policy_loss(whole, X["advantages"], clip_high=0.28),
        "cispo": o.cispo_loss(X["logps"], ratio, X["advantages"], clip_low=0.2, clip_high=0.28),
    }
    return {
        "gae_whitened": o.whiten(gae.advantages, X["mask"]),
        "gae_returns": gae.returns,
        "grpo": o.group_advantages(GROUPS, eps=1e-6).ravel(),
        "dr_grpo": o.group_advantages(GROUPS, scale="none").ravel(),
        "rloo": o.leave_one_out_advantages(GROUPS).ravel(),
        "value": o.reduce_tokens(value, X["mask"]),
        "entropy": o.entropy(X["logits"]),
        "kl_coef": o.adaptive_kl_coef(0.2, 7.0, target=6.0, horizon=1000, count=64),
        **{
            kind: o.kl_estimate(X["logps"], X["ref_logps"], kind=kind)
            for kind in ("k1", "k2", "k3")
        },
        **{
            f"{name} {reduction}": o.reduce_tokens(loss, X["mask"], **options)
            for name, loss in losses.items()
            for reduction, options in REDUCTIONS.items()
        },
    }


@pytest.mark.parametrize("name", RECORD["outputs"])
def test_the_same_as_verl(name):
    assert ours()[name] == pytest.approx(np.array(RECORD["outputs"][name]), abs=1e-7)


def test_everything_that_was_recorded_is_compared():
    assert set(ours()) == set(RECORD["outputs"])
