"""Record what verl's own functions give, for test_verl.py: python record_verl.py > verl.json, where verl is installed."""

import importlib.metadata
import json
from types import SimpleNamespace

import numpy as np
import torch
from verl.trainer.ppo import core_algos

B, T = 6, 8
REDUCTIONS = ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm")


def inputs():
    rng = np.random.default_rng(20)
    mask = (np.arange(T) < rng.integers(2, T + 1, size=(B, 1))).astype(int)
    mask[0, 1] = 0  # a token of a tool inside an answer
    mask[0, 2] = 1
    old = -2 * rng.random((B, T)) - 0.1
    drawn = {
        "mask": mask,
        "logps": np.minimum(old + 0.4 * rng.normal(size=(B, T)), -0.01),
        "old_logps": old,
        "ref_logps": np.minimum(old + 0.4 * rng.normal(size=(B, T)), -0.01),
        "advantages": rng.normal(size=(B, T)),
        "rewards": rng.normal(size=(B, T)) * mask,
        "values": rng.normal(size=(B, T)),
        "old_values": rng.normal(size=(B, T)),
        "scores": rng.random(B),
        "logits": 2 * rng.normal(size=(B, 5)),
    }
    return {name: np.round(value, 3).tolist() for name, value in drawn.items()}


class Config(SimpleNamespace):
    """The fields that verl's losses read; two of them insist on the class of the whole configuration."""

    def get(self, name, default=None):
        return getattr(self, name, default)


core_algos.ActorConfig = Config


def outputs(given):
    x = {name: torch.tensor(value, dtype=torch.float64) for name, value in given.items()}
    config = Config(
        clip_ratio=0.2,
        clip_ratio_low=0.2,
        clip_ratio_high=0.28,
        clip_ratio_c=3.0,
        global_batch_info={},
    )
    advantages, returns = core_algos.compute_gae_advantage_return(
        x["rewards"], x["values"], x["mask"], 0.97, 0.9
    )
    totals = torch.zeros(B, T, dtype=torch.float64)
    totals[:, 0] = x["scores"]
    groups = np.array([0, 0, 0, 1, 1, 1])
    ones = torch.ones(B, T, dtype=torch.float64)
    found = {
        "gae_whitened": advantages * x["mask"],
        "gae_returns": returns * x["mask"],
        "grpo": core_algos.compute_grpo_outcome_advantage(totals.clone(), ones, groups)[0][:, 0],
        "dr_grpo": core_algos.compute_grpo_outcome_advantage(
            totals.clone(), ones, groups, norm_adv_by_std_in_grpo=False
        )[0][:, 0],
        "rloo": core_algos.compute_rloo_outcome_advantage(totals.clone(), ones, groups)[0][:, 0],
        "value": core_algos.compute_value_loss(
            x["values"], x["rewards"], x["old_values"], x["mask"], 0.3
        )[0],
        "entropy": core_algos.verl_F.entropy_from_logits(x["logits"]),
    }
    for kind in ("k1", "k2", "k3"):
        found[kind] = core_algos.kl_penalty(x["logps"], x["ref_logps"], kind)
    for name in ("vanilla", "gspo", "cispo"):
        loss = core_algos.get_policy_loss_fn(name)
        for reduction in REDUCTIONS:
            args = (x["old_logps"], x["logps"], x["advantages"], x["mask"], reduction, config)
            found[f"{name} {reduction}"] = loss(*args)[0]
    controller = core_algos.AdaptiveKLController(0.2, 6.0, 1000)
    controller.update(7.0, 64)
    found["kl_coef"] = torch.tensor(controller.value, dtype=torch.float64)
    return {name: np.round(value.numpy(), 10).tolist() for name, value in found.items()}


def record(version):
    given = inputs()
    text = json.dumps({"verl": version, "inputs": given, "outputs": outputs(given)})
    return text.replace(', "', ',\n"').replace('{"', '{\n"')


if __name__ == "__main__":
    print(record(importlib.metadata.version("verl")))
