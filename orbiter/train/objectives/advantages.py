"""Advantages: how much better an action was than expected, from rewards per token or per answer.

Groups are rows: ``rewards`` (P, G) are G answers to each of P prompts. ``valid`` (P, G) says which of them were scored; an answer that
was not enters neither mean nor deviation, and its advantage is 0: it moves the policy nowhere. Take it out of the loss's mask too,
where the reduction counts tokens. Ragged groups are padded with answers that are not valid.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError
from orbiter.train.objectives.arrays import (
    Bools,
    Floats,
    array,
    booleans,
    check_rows,
    tokens,
)
from orbiter.train.objectives.policy import KlKind, kl_estimate


@frozen(eq=False)
class Gae:
    """Advantages and returns per token, (B, T); 0 where the mask is off."""

    advantages: Floats
    returns: Floats


def token_rewards(
    scores: ArrayLike,
    logps: ArrayLike,
    ref_logps: ArrayLike,
    mask: ArrayLike,
    *,
    kl_coef: float,
    kind: KlKind = "k1",
) -> Floats:
    """Return the reward of each token for PPO: the score at the answer's last token, minus the KL penalty at each::

        r_t = 1[t = last] score - kl_coef KL_t,    KL_t = ln pi_old(t) - ln ref(t) for k1

    (Ziegler et al. 2019, eq. 2; Ouyang et al. 2022.) ``logps`` are of the policy that sampled. Summed over an answer, k1 gives
    score - kl_coef ln(pi_old / ref). The same in verl with ``algorithm.use_kl_in_reward``; GRPO penalises in the loss instead.

    Args:
        scores: (B,)
        logps: (B, T)
        ref_logps: (B, T)
        mask: (B, T), with a token in every row.
        kl_coef: >= 0
        kind: Estimator of KL_t; see :func:`kl_estimate`.
    """
    on, (policy, reference) = tokens(mask, logps=logps, ref_logps=ref_logps)
    check_rows(on)
    final = array("scores", scores, ndim=1)
    if final.shape != on.shape[:1]:
        raise ConfigError(f"scores must have the shape {on.shape[:1]}, got {final.shape}")
    penalty = check_number("kl_coef", kl_coef, "[0, inf)") * kl_estimate(
        policy, reference, kind=kind
    )
    rewards: Floats = np.where(on, -penalty, 0.0)
    last = on.shape[1] - 1 - np.argmax(on[:, ::-1], axis=1)
    rewards[np.arange(len(on)), last] += final
    return rewards


def gae(
    rewards: ArrayLike,
    values: ArrayLike,
    mask: ArrayLike,
    *,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> Gae:
    """Return generalised advantages and returns, from the last token back::

        delta_t = r_t + gamma V_(t+1) - V_t
        A_t = delta_t + gamma lam A_(t+1),    R_t = A_t + V_t

    (Schulman et al. 2016, eq. 16.) The next token is the next one that the policy wrote: tokens of tools and users between two turns
    are stepped over and discount nothing, as in verl. After the last token V = A = 0: an answer that was cut off counts as ended.
    Not whitened: verl whitens the advantages here, and not the returns; do it with :func:`whiten`.

    Args:
        rewards: (B, T)
        values: (B, T), of the state before each token.
        mask: (B, T)
        gamma: Discount, in [0, 1].
        lam: Between the one-step error (0) and the sampled return (1), in [0, 1].
    """
    discount, decay = check_number("gamma", gamma, "[0, 1]"), check_number("lam", lam, "[0, 1]")
    on, (reward, value) = tokens(mask, rewards=rewards, values=values)
    advantages = np.zeros_like(reward)
    next_value, next_advantage = np.zeros(len(on)), np.zeros(len(on))
    for t in reversed(range(on.shape[1])):
        delta = reward[:, t] + discount * next_value - value[:, t]
        advantage = delta + discount * decay * next_advantage
        next_value = np.where(on[:, t], value[:, t], next_value)
        next_advantage = np.where(on[:, t], advantage, next_advantage)
        advantages[:, t] = np.where(on[:, t], advantage, 0.0)
    return Gae(advantages, advantages + value)


def whiten(
    values: ArrayLike, mask: ArrayLike, *, shift_mean: bool = True, eps: float = 1e-8
) -> Floats:
    """Return the values with mean 0 and variance 1 over the tokens of the whole batch: ``(v - mean) / sqrt(var + eps)``.

    The variance has ddof 1, as in verl. Values that are all equal give 0, up to rounding.

    Args:
        values: (B, T)
        mask: (B, T), with at least two tokens: one has no variance.
        shift_mean: Whether the mean goes to 0; otherwise it stays.
        eps: > 0
    """
    on, (numbers,) = tokens(mask, values=values)
    if on.sum() < 2:
        raise ConfigError(f"mask must have at least 2 tokens, got {on.sum()}")
    some = numbers[on]
    mean = some.mean()
    scaled = (numbers - mean) / np.sqrt(some.var(ddof=1) + check_number("eps", eps, "(0, inf)"))
    return np.where(on, scaled if shift_mean else scaled + mean, 0.0)


def group_advantages(
    rewards: ArrayLike,
    *,
    valid: ArrayLike | None = None,
    scale: Literal["std", "none"] = "std",
    ddof: Literal[0, 1] = 1,
    eps: float = 1e-4,
) -> Floats:
    """Return the advantage of each answer within its group::

        A_i = (r_i - mean(r)) / (std(r) + eps)        GRPO     (Shao et al. 2024, section 4.1.2)
        A_i = r_i - mean(r)                           Dr. GRPO (Liu et al. 2025), with scale="none"

    Equal rewards, and a group of one, give 0 exactly. Libraries differ in the denominator: TRL has ddof 1 and eps 1e-4, the default here;
    verl ddof 1 and eps 1e-6, and leaves the raw reward as the advantage of a group of one; the paper says neither. With ddof 0 and
    eps 0 a group's advantages have mean square 1.

    Args:
        rewards: (P, G)
        valid: (P, G), which answers were scored; None is all.
        scale: Whether to divide by the deviation.
        ddof: What is taken off the count in the deviation: 0 or 1.
        eps: Added to the deviation, >= 0.
    """
    on, reward = _group(rewards, valid)
    if scale not in ("std", "none"):
        raise ConfigError(f"scale must be 'std' or 'none', got {scale!r}")
    check_whole_number("ddof", ddof, low=0, high=1)
    count = on.sum(axis=1, keepdims=True)
    mean = reward.sum(axis=1, keepdims=True) / np.maximum(count, 1)
    centred = np.where(on & _differ(reward, on), reward - mean, 0.0)
    if scale == "none":
        return centred
    variance = (centred**2).sum(axis=1, keepdims=True) / np.maximum(count - ddof, 1)
    deviation = np.sqrt(variance) + check_number("eps", eps, "[0, inf)")
    scaled: Floats = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
    return scaled


def leave_one_out_advantages(rewards: ArrayLike, *, valid: ArrayLike | None = None) -> Floats:
    """Return the advantage of each answer over the mean of the others::

        A_i = r_i - mean_(j != i)(r_j) = G / (G - 1) (r_i - mean(r))

    (Kool et al. 2019; Ahmadian et al. 2024.) Unbiased, since the baseline does not hold the answer itself. Where fewer than two of
    a group were scored there is no baseline, and the advantage is 0, as in TRL; verl leaves the raw reward. TRL takes
    beta KL off the rewards before, and divides by the deviation of the batch only with ``normalize_advantages``.

    Args:
        rewards: (P, G)
        valid: (P, G), which answers were scored; None is all.
    """
    on, reward = _group(rewards, valid)
    count = on.sum(axis=1, keepdims=True)
    others = (reward.sum(axis=1, keepdims=True) - reward) / np.maximum(count - 1, 1)
    return np.where(on & _differ(reward, on), reward - others, 0.0)


def weighted_rewards(rewards: ArrayLike, weights: ArrayLike) -> Floats:
    """Return one reward per answer: ``sum_k w_k r_k``.

    Every reward must be known. An answer that one reward could not score has no sum: leave it out as not valid, as
    :func:`orbiter.train.combine_rewards` does. TRL leaves the unknown part out of the sum instead, which counts it as 0.

    Args:
        rewards: (..., K)
        weights: (K,)
    """
    values = array("rewards", rewards)
    factors = array("weights", weights, ndim=1)
    if values.shape[-1:] != factors.shape:
        raise ConfigError(
            f"weights must be as many as the last axis of rewards, got {len(factors)} for {values.shape}"
        )
    summed: Floats = values @ factors
    return summed


def process_reward(
    step_scores: ArrayLike, mask: ArrayLike, *, how: Literal["product", "min"] = "product"
) -> Floats:
    """Return one reward per answer from the scores of its steps: their product or their minimum.

    The product is the probability that every step is right if they are independent (Lightman et al. 2023, appendix F); the minimum
    is the weakest step (Wang et al. 2024), which does not fall with the number of steps. product <= min.

    Args:
        step_scores: (B, K), each in [0, 1].
        mask: (B, K), with a step in every row.
        how: ``product`` or ``min``.
    """
    on, (scores,) = tokens(mask, step_scores=step_scores)
    check_rows(on)
    if scores.min() < 0 or scores.max() > 1:
        raise ConfigError(
            f"step_scores must be in [0, 1], got {scores.min():g} to {scores.max():g}"
        )
    filled = np.where(on, scores, 1.0)
    if how not in ("product", "min"):
        raise ConfigError(f"how must be 'product' or 'min', got {how!r}")
    reward: Floats = filled.prod(axis=1) if how == "product" else filled.min(axis=1)
    return reward


def adaptive_kl_coef(
    coef: float, kl: float, *, target: float, horizon: float, count: float
) -> float:
    """Return the next coefficient of the KL penalty, which rises while the KL is above its target::

        coef (1 + clip(kl / target - 1, -0.2, 0.2) count / horizon)

    (Ziegler et al. 2019.) At the target nothing changes. The same in verl, where count is the batch size in prompts.

    Args:
        coef: The present coefficient, > 0.
        kl: Measured KL in nats per answer; k1 may be below 0.
        target: > 0
        horizon: Answers over which a full error of 0.2 changes the coefficient by a fifth, > 0.
        count: Answers since the last change, in [0, 5 horizon): beyond, the coefficient would turn to 0.
    """
    for name, value in (("coef", coef), ("target", target), ("horizon", horizon)):
        check_number(name, value, "(0, inf)")
    check_number("count", count, f"[0, {5 * horizon:g})")
    error = min(0.2, max(-0.2, check_number("kl", kl, "(-inf, inf)") / target - 1))
    return coef * (1 + error * count / horizon)


def _group(rewards: ArrayLike, valid: ArrayLike | None) -> tuple[Bools, Floats]:
    on = np.ones(np.shape(rewards)) if valid is None else valid
    mask, (reward,) = tokens(booleans("valid", on, ndim=2), rewards=rewards)
    return mask, reward


def _differ(reward: Floats, on: Bools) -> Bools:
    """Return, per group, whether its rewards differ; the mean of equal numbers may be off by rounding."""
    high = np.where(on, reward, -np.inf).max(axis=1, keepdims=True)
    low = np.where(on, reward, np.inf).min(axis=1, keepdims=True)
    differ: Bools = high > low
    return differ
