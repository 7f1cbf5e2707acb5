"""Losses of the policy and the value head from samples, per token, and how tokens become one number.

The algorithms are compositions; with ratio r, advantages A (B,) and the answers' mask m::

    PPO      r = policy_ratio(...);              clipped_policy_loss(r, A_BT);                 reduce "token-mean"
    GRPO     the same with group_advantages,     + beta kl_estimate(kind="k3");                reduce "sequence-mean"
    DAPO     the same, clip_high=0.28, no KL;                                                  reduce "token-mean"
    Dr. GRPO group_advantages(scale="none");                                                   reduce "constant"
    GSPO     policy_ratio(level="sequence"), clip 3e-4 and 4e-4;                               reduce "sequence-mean"
    CISPO    cispo_loss(...);                                                                  reduce "token-mean"
    RLOO     leave_one_out_advantages, ratio of whole answers (TRL: e^sum, not e^mean);        mean over answers
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from orbiter.checks import check_number, check_whole_number
from orbiter.errors import ConfigError
from orbiter.train.objectives.arrays import Floats, array, check_rows, same_shape, tokens

KlKind: TypeAlias = Literal["k1", "k2", "k3"]
Reduction: TypeAlias = Literal["token-mean", "sequence-mean", "sequence-sum", "constant"]


def policy_ratio(
    logps: ArrayLike,
    old_logps: ArrayLike,
    mask: ArrayLike,
    *,
    level: Literal["token", "sequence"] = "token",
) -> Floats:
    """Return the importance ratio of each token, (B, T), 1 where the mask is off::

        token:     pi(y_t) / pi_old(y_t)
        sequence:  (pi(y) / pi_old(y))^(1 / |y|), the same for all tokens of an answer

    (Sequence: GSPO, Zheng et al. 2025, eq. 7.) verl clamps log-ratios to +-20, and GSPO's to at most 10; TRL and this do not. verl's GSPO
    lets the gradient flow through each token's own log-probability; with one advantage per answer and the reduction sequence-mean that
    is the gradient of the paper.

    Args:
        logps: (B, T)
        old_logps: (B, T), under the policy that sampled.
        mask: (B, T), with a token in every row if level is ``sequence``.
        level: ``token`` or ``sequence``.
    """
    on, (policy, old) = tokens(mask, logps=logps, old_logps=old_logps)
    log_ratio = policy - old
    if level == "sequence":
        check_rows(on)
        means = log_ratio.sum(axis=1, keepdims=True) / on.sum(axis=1, keepdims=True)
        log_ratio = np.where(on, means, 0.0)
    elif level != "token":
        raise ConfigError(f"level must be 'token' or 'sequence', got {level!r}")
    _check_exponents("the ratio", log_ratio)
    return np.exp(log_ratio)


def clipped_policy_loss(
    ratio: ArrayLike,
    advantages: ArrayLike,
    *,
    clip_low: float = 0.2,
    clip_high: float | None = None,
    dual_clip: float | None = None,
) -> Floats:
    """Return the clipped loss of each token or answer, to be minimised::

        -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A),    and where A < 0 at most  -dual_clip A

    (Schulman et al. 2017, eq. 7; different bounds: DAPO, Yu et al. 2025; dual clip: Ye et al. 2020.) -A at r = 1. The gradient
    is 0 where the clipped term is the smaller one. Dual clip is 3 by default in verl and off in TRL, where ``delta`` does the same.
    In verl ``clip_ratio`` alone has no effect, since ``clip_ratio_low`` and ``clip_ratio_high`` have defaults.

    Args:
        ratio: (B, T) or (B,), > 0.
        advantages: The shape of ``ratio``, or (B,) for one per answer.
        clip_low: In [0, 1].
        clip_high: >= 0; None is ``clip_low``.
        dual_clip: > 1 + clip_high, bounds the loss of an answer to be avoided that has become likely; None is no bound.
    """
    ratios = array("ratio", ratio)
    if ratios.min() <= 0:
        raise ConfigError(f"ratio must be > 0, got {ratios.min()}")
    advantage = _per_token(advantages, ratios)
    low = check_number("clip_low", clip_low, "[0, 1]")
    high = low if clip_high is None else check_number("clip_high", clip_high, "[0, inf)")
    loss = np.maximum(-ratios * advantage, -np.clip(ratios, 1 - low, 1 + high) * advantage)
    if dual_clip is None:
        return loss
    bound = -check_number("dual_clip", dual_clip, f"({1 + high:g}, inf)") * advantage
    return np.where(advantage < 0, np.minimum(loss, bound), loss)


def cispo_loss(
    logps: ArrayLike,
    ratio: ArrayLike,
    advantages: ArrayLike,
    *,
    clip_low: float | None = None,
    clip_high: float,
) -> Floats:
    """Return the CISPO loss of each token, to be minimised::

        -c A ln pi,    c = clip(r, 1 - clip_low, 1 + clip_high), a constant to the gradient

    (MiniMax 2025, eq. 4 and 5.) A token that is clipped still has a gradient: -c A. Its value is no measure of progress. TRL clips from
    above alone, and its ``epsilon_high`` is the bound itself, 1 + clip_high here; verl clips on both sides.

    Args:
        logps: (B, T)
        ratio: (B, T), > 0, of the tokens.
        advantages: (B, T), or (B,) for one per answer.
        clip_low: In [0, 1]; None is no lower bound.
        clip_high: >= 0
    """
    policy, ratios = same_shape({"logps": array("logps", logps), "ratio": array("ratio", ratio)})
    if ratios.min() <= 0:
        raise ConfigError(f"ratio must be > 0, got {ratios.min()}")
    low = 1.0 if clip_low is None else check_number("clip_low", clip_low, "[0, 1]")
    weights = np.clip(ratios, 1 - low, 1 + check_number("clip_high", clip_high, "[0, inf)"))
    loss: Floats = -weights * _per_token(advantages, ratios) * policy
    return loss


def value_loss(
    values: ArrayLike, old_values: ArrayLike, returns: ArrayLike, *, clip: float | None = None
) -> Floats:
    """Return the loss of the value head, per token::

        1/2 max((V - R)^2, (clip(V, V_old - clip, V_old + clip) - R)^2)

    (The clipping is of OpenAI's baselines, Dhariwal et al. 2017; without it 1/2 (V - R)^2.) The 1/2 is verl's too; others leave it to the
    coefficient of the loss. The maximum never rewards moving V further than clip.

    Args:
        values: Any shape.
        old_values: The same shape; of the value head that made the advantages.
        returns: The same shape.
        clip: > 0, in units of the reward; None is off.
    """
    value, old, target = same_shape(
        {
            "values": array("values", values),
            "old_values": array("old_values", old_values),
            "returns": array("returns", returns),
        }
    )
    square = (value - target) ** 2
    if clip is not None:
        bound = check_number("clip", clip, "(0, inf)")
        square = np.maximum(square, (np.clip(value, old - bound, old + bound) - target) ** 2)
    loss: Floats = 0.5 * square
    return loss


def entropy(logits: ArrayLike) -> Floats:
    """Return the entropy of each distribution in nats: ``-sum_v p_v ln p_v``, in [0, ln V].

    Args:
        logits: (..., V), unnormalised; adding a constant changes nothing. -inf is no logit here: leave the word out.
    """
    scores = array("logits", logits)
    shifted = scores - scores.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    nats: Floats = np.maximum(0.0, -(np.exp(log_p) * log_p).sum(axis=-1))
    return nats


def kl_estimate(logps: ArrayLike, ref_logps: ArrayLike, *, kind: KlKind = "k3") -> Floats:
    """Return an estimate of KL(pi || ref) from each token that pi sampled, with d = ln pi - ln ref::

        k1 = d                  unbiased, may be below 0
        k2 = d^2 / 2            >= 0, biased; its gradient is that of the KL
        k3 = e^-d - 1 + d       >= 0, unbiased, low variance

    (Schulman 2020, joschu.net/blog/kl-approx.html, whose r is ref / pi.) k1 and k3 are unbiased in value, not in gradient, as a loss: k1's
    gradient has mean 0. TRL's GRPO uses k3, times the importance ratio unless ``use_bias_correction_kl`` is off, which makes its gradient
    right; its RLOO uses k1 in the reward. verl calls k3 ``low_var_kl``, clamps d to +-20 and the result to at most 10.

    Args:
        logps: Any shape, under the policy that sampled.
        ref_logps: The same shape.
        kind: ``k1``, ``k2`` or ``k3``.
    """
    policy, reference = same_shape(
        {"logps": array("logps", logps), "ref_logps": array("ref_logps", ref_logps)}
    )
    d = policy - reference
    if kind == "k1":
        return d
    if kind == "k2":
        return 0.5 * d**2
    if kind != "k3":
        raise ConfigError(f"kind must be 'k1', 'k2' or 'k3', got {kind!r}")
    _check_exponents("ref / pi", np.maximum(-d, 0.0))
    # e^-d - 1 loses its digits near 0, where most tokens are.
    return np.expm1(-d) + d


def reduce_tokens(
    losses: ArrayLike,
    mask: ArrayLike,
    *,
    how: Reduction = "token-mean",
    max_length: int | None = None,
) -> float:
    """Return one number of the losses of all tokens.

    ============== ======================================= =================================================
    token-mean     sum over tokens / tokens                 DAPO; PPO and the default in verl; TRL dapo, bnpo
    sequence-mean  mean over answers of their token mean    GRPO, GSPO; verl seq-mean-token-mean; TRL grpo
    sequence-sum   mean over answers of their token sum     REINFORCE; verl seq-mean-token-sum
    constant       sum over tokens / (B max_length)         Dr. GRPO; verl seq-mean-token-sum-norm; TRL dr_grpo
    ============== ======================================= =================================================

    token-mean gives every token the same weight, so long answers weigh more; sequence-mean gives every answer the same, so a token of
    a long one weighs less. An answer without tokens counts in no mean, as in verl; TRL's grpo counts it as an answer of loss 0. The number
    of tokens is that of these rows: TRL's dapo divides by those of the whole generation batch, verl's by those of the mini-batch.

    Args:
        losses: (B, T)
        mask: (B, T), with at least one token.
        how: The reduction.
        max_length: The longest answer that may be generated, for ``constant``.
    """
    on, (loss,) = tokens(mask, losses=losses)
    if not on.any():
        raise ConfigError("mask must have at least one token, got none")
    if (how == "constant") != (max_length is not None):
        raise ConfigError(
            f"max_length must be given for 'constant' alone, got {max_length!r} for {how!r}"
        )
    loss, on = loss[on.any(axis=1)], on[on.any(axis=1)]
    sums, lengths = loss.sum(axis=1), on.sum(axis=1)
    if how == "token-mean":
        return float(sums.sum() / lengths.sum())
    if how == "sequence-mean":
        return float((sums / lengths).mean())
    if how == "sequence-sum":
        return float(sums.mean())
    if how != "constant" or max_length is None:
        raise ConfigError(
            f"how must be 'token-mean', 'sequence-mean', 'sequence-sum' or 'constant', got {how!r}"
        )
    check_whole_number("max_length", max_length, low=int(lengths.max()))
    return float(sums.sum() / (len(on) * max_length))


def _per_token(advantages: ArrayLike, ratios: Floats) -> Floats:
    """Return the advantages in the shape of the ratios; one per answer is given to each of its tokens."""
    values = array("advantages", advantages)
    if values.ndim == 1 and ratios.ndim == 2 and len(values) == len(ratios):
        return np.broadcast_to(values[:, np.newaxis], ratios.shape)
    return same_shape({"ratio": ratios, "advantages": values})[1]


def _check_exponents(name: str, log: Floats) -> None:
    """Raise ConfigError unless e^log is a finite number above 0 everywhere."""
    if np.abs(log).max() > 700:
        raise ConfigError(
            f"{name} must be a finite number above 0, got e^{log.flat[np.abs(log).argmax()]:g}",
            hint="the policies have nothing in common on this token; check that both saw the same tokens",
        )
