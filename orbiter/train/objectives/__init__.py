"""The formulas of post-training, as small functions over float64 arrays: what every trainer is checked against.

preference      Bradley-Terry, steps, DPO and its robust forms, IPO, KTO, ORPO, SimPO, SPIN
advantages      GAE, group-relative and leave-one-out advantages, rewards with a KL penalty, process rewards
policy          importance ratios, clipped policy and value losses, CISPO, entropy, KL estimates, reductions over tokens
ranking         pairs of a ranking, best of n

They are oracles, not trainers: numpy, no gradients, nothing clamped for the comfort of bfloat16. A loss is to be minimised and comes per
pair, per answer or per token; the reduction is a step of its own (``mean_loss``, ``reduce_tokens``), since that is where libraries
differ. Each docstring says the equation, the sign, the source, and what TRL 1.16 and verl 0.9 do otherwise.

Shapes: B answers or pairs, T tokens, P prompts, G answers of one prompt, K steps or rewards, V words. Log-probabilities are in nats and
at most 0. A mask is true on the tokens that the policy wrote; what stands elsewhere has no influence, not even if it is NaN. Everything
that counts must be finite: a number that is not, a wrong shape or an empty mask is a ConfigError, and no result is NaN.
"""

from __future__ import annotations

from orbiter.train.objectives.advantages import (
    Gae,
    adaptive_kl_coef,
    gae,
    group_advantages,
    leave_one_out_advantages,
    process_reward,
    token_rewards,
    weighted_rewards,
    whiten,
)
from orbiter.train.objectives.arrays import mean_loss
from orbiter.train.objectives.policy import (
    cispo_loss,
    clipped_policy_loss,
    entropy,
    kl_estimate,
    policy_ratio,
    reduce_tokens,
    value_loss,
)
from orbiter.train.objectives.preference import (
    bradley_terry_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    kto_reference_point,
    orpo_loss,
    robust_dpo_loss,
    sequence_logps,
    simpo_loss,
    spin_loss,
    step_loss,
)
from orbiter.train.objectives.ranking import (
    best_of_n,
    expected_best_of_n,
    ranking_loss,
    ranking_pairs,
)

__all__ = [
    "Gae",
    "adaptive_kl_coef",
    "best_of_n",
    "bradley_terry_loss",
    "cispo_loss",
    "clipped_policy_loss",
    "dpo_loss",
    "entropy",
    "expected_best_of_n",
    "gae",
    "group_advantages",
    "ipo_loss",
    "kl_estimate",
    "kto_loss",
    "kto_reference_point",
    "leave_one_out_advantages",
    "mean_loss",
    "orpo_loss",
    "policy_ratio",
    "process_reward",
    "ranking_loss",
    "ranking_pairs",
    "reduce_tokens",
    "robust_dpo_loss",
    "sequence_logps",
    "simpo_loss",
    "spin_loss",
    "step_loss",
    "token_rewards",
    "value_loss",
    "weighted_rewards",
    "whiten",
]
