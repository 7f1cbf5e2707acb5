"""Losses of preference: of two answers one is better, or one answer is good or bad.

A loss comes per pair, (B,); take ``mean_loss`` of it. ``logps`` are log-probabilities of whole answers, as ``sequence_logps`` makes them
from tokens: the sum over the answer's tokens for DPO, IPO as published, KTO and SPIN; their mean for SimPO and ORPO.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from orbiter.checks import check_number
from orbiter.errors import ConfigError
from orbiter.train.objectives.arrays import (
    Floats,
    booleans,
    check_rows,
    log_sigmoid,
    sigmoid,
    tokens,
    vectors,
)


def sequence_logps(token_logps: ArrayLike, mask: ArrayLike, *, average: bool = False) -> Floats:
    """Return the log-probability of each answer: the sum over its tokens, or the mean per token.

    Args:
        token_logps: (B, T)
        mask: (B, T); the answer's tokens, its end token too.
        average: Divide by the number of tokens, as SimPO, ORPO and IPO in TRL do.
    """
    on, (logps,) = tokens(mask, token_logps=token_logps)
    check_rows(on)
    sums: Floats = logps.sum(axis=-1)
    return sums / on.sum(axis=-1) if average else sums


def bradley_terry_loss(
    chosen_rewards: ArrayLike,
    rejected_rewards: ArrayLike,
    *,
    margin: ArrayLike | None = None,
    center: float = 0.0,
) -> Floats:
    """Return the loss of a reward model on pairs::

        -ln sigmoid(r_c - r_r - m) + center (r_c + r_r)^2

    (Ouyang et al. 2022, eq. 1; margin m: Touvron et al. 2023, eq. 2; centering: Eisenstein et al. 2023, eq. 2.) ln 2 where both
    rewards are equal and m = 0. The same in TRL, whose ``margin`` is a column of the data set. InstructGPT takes the mean over the
    pairs of each ranking first: :func:`ranking_loss`.

    Args:
        chosen_rewards: (B,)
        rejected_rewards: (B,)
        margin: (B,), by how much the chosen must lead; None is 0.
        center: Weight of the square, which holds the mean reward near 0; >= 0.
    """
    chosen, rejected, lead = vectors(
        chosen_rewards=chosen_rewards,
        rejected_rewards=rejected_rewards,
        margin=np.zeros(np.shape(chosen_rewards)) if margin is None else margin,
    )
    square = check_number("center", center, "[0, inf)") * (chosen + rejected) ** 2
    return -log_sigmoid(chosen - rejected - lead) + square


def step_loss(scores: ArrayLike, labels: ArrayLike) -> Floats:
    """Return the loss of a process reward model per step, the cross-entropy of its probability sigmoid(s) that the step is right::

        -y ln sigmoid(s) - (1 - y) ln sigmoid(-s)

    (Lightman et al. 2023; Wang et al. 2024, eq. 2.) ln 2 where the score is 0. The models of two classes that TRL once trained are
    the same with s = the difference of their logits. On whole answers it is the loss of an outcome reward model (Cobbe et al. 2021).

    Args:
        scores: (B,), log-odds that the step is right.
        labels: (B,), 1 where it is right and 0 where it is wrong.
    """
    (odds,) = vectors(scores=scores)
    right = booleans("labels", labels, ndim=1)
    if right.shape != odds.shape:
        raise ConfigError(f"labels must have the shape {odds.shape}, got {right.shape}")
    return -log_sigmoid(np.where(right, odds, -odds))


def dpo_loss(
    chosen_logps: ArrayLike,
    rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike,
    ref_rejected_logps: ArrayLike,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Floats:
    """Return the DPO loss per pair, with h = (ln pi_c - ln ref_c) - (ln pi_r - ln ref_r)::

        -(1 - e) ln sigmoid(beta h) - e ln sigmoid(-beta h)

    (Rafailov et al. 2023, eq. 7; with e > 0 the conservative form of Mitchell 2023.) ln 2 where the policy is the reference. With
    e > 0 the minimum is at sigmoid(beta h) = 1 - e. TRL's ``sigmoid`` has no e; its ``robust`` is :func:`robust_dpo_loss`.

    Args:
        chosen_logps: (B,), sums over tokens, under the policy.
        rejected_logps: (B,)
        ref_chosen_logps: (B,), under the reference.
        ref_rejected_logps: (B,)
        beta: Strength of the pull to the reference, > 0.
        label_smoothing: Probability e that a label is wrong, in [0, 1/2).
    """
    smoothing = _smoothing(label_smoothing)
    h = _positive(beta) * _margins(
        chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps
    )
    return -(1 - smoothing) * log_sigmoid(h) - smoothing * log_sigmoid(-h)


def robust_dpo_loss(
    chosen_logps: ArrayLike,
    rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike,
    ref_rejected_logps: ArrayLike,
    *,
    beta: float = 0.1,
    label_smoothing: float,
) -> Floats:
    """Return the DPO loss that is unbiased when each label is flipped with probability e::

        (-(1 - e) ln sigmoid(beta h) + e ln sigmoid(-beta h)) / (1 - 2 e)

    (Chowdhury et al. 2024, arXiv 2403.00409.) Its mean over flipped labels is the DPO loss of the true ones; a single value may be below 0.
    The same as ``robust`` in TRL. At the reference it is ln 2. Arguments as :func:`dpo_loss`.
    """
    smoothing = _smoothing(label_smoothing)
    h = _positive(beta) * _margins(
        chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps
    )
    clean, flipped = -log_sigmoid(h), -log_sigmoid(-h)
    return ((1 - smoothing) * clean - smoothing * flipped) / (1 - 2 * smoothing)


def ipo_loss(
    chosen_logps: ArrayLike,
    rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike,
    ref_rejected_logps: ArrayLike,
    *,
    beta: float = 0.1,
    chosen_lengths: ArrayLike | None = None,
    rejected_lengths: ArrayLike | None = None,
) -> Floats:
    """Return the IPO loss per pair, with h as in DPO::

        (h - 1 / (2 beta))^2

    (Azar et al. 2023, eq. 17, whose tau is beta.) Without lengths h is of sums over tokens, as published; with lengths each log-ratio is
    divided by its answer's tokens, as TRL does on the advice of the authors. The two differ by more than a scale, since 1 / (2 beta)
    stays: the target margin is per answer here and per token there. 1 / (4 beta^2) at the reference.

    Args:
        chosen_logps: (B,), sums over tokens.
        rejected_logps: (B,)
        ref_chosen_logps: (B,)
        ref_rejected_logps: (B,)
        beta: > 0
        chosen_lengths: (B,), tokens of each chosen answer; None with ``rejected_lengths`` for sums.
        rejected_lengths: (B,)
    """
    if (chosen_lengths is None) != (rejected_lengths is None):
        raise ConfigError("chosen_lengths and rejected_lengths must be given both or not at all")
    target = 1 / (2 * _positive(beta))
    chosen, rejected, ref_chosen, ref_rejected = vectors(
        chosen_logps=chosen_logps,
        rejected_logps=rejected_logps,
        ref_chosen_logps=ref_chosen_logps,
        ref_rejected_logps=ref_rejected_logps,
    )
    chosen, rejected = chosen - ref_chosen, rejected - ref_rejected
    if chosen_lengths is not None and rejected_lengths is not None:
        chosen = chosen / _lengths("chosen_lengths", chosen_lengths, chosen)
        rejected = rejected / _lengths("rejected_lengths", rejected_lengths, rejected)
    loss: Floats = (chosen - rejected - target) ** 2
    return loss


def kto_reference_point(kl_logps: ArrayLike, ref_kl_logps: ArrayLike) -> float:
    """Return the reference point of KTO, an estimate of KL(policy || reference) in nats that is never below 0::

        max(0, mean(ln pi(y_j | x_i) - ln ref(y_j | x_i))),   j != i

    (Ethayarajh et al. 2024, arXiv 2402.01306.) The answers are mismatched: each prompt with another prompt's answer of the batch. No
    gradient flows through it, and it is not times beta. In TRL the mean is over the batches of all processes, and then clamped.

    Args:
        kl_logps: (B,), of mismatched answers under the policy.
        ref_kl_logps: (B,), under the reference.
    """
    logps, ref_logps = vectors(kl_logps=kl_logps, ref_kl_logps=ref_kl_logps)
    return max(0.0, float((logps - ref_logps).mean()))


def kto_loss(
    logps: ArrayLike,
    ref_logps: ArrayLike,
    desirable: ArrayLike,
    *,
    reference_point: float,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Floats:
    """Return the KTO loss per answer, with r = ln pi - ln ref and z the reference point::

        desirable:    w_D (1 - sigmoid(beta (r - z)))
        undesirable:  w_U (1 - sigmoid(beta (z - r)))

    (Ethayarajh et al. 2024, eq. 7: lambda_y - v(x, y).) In (0, w); w / 2 at r = z. The weights are not normalised, and the mean is over
    all answers of the batch, in TRL too. Good weights bring w_D n_D / (w_U n_U) into [1, 4/3] (eq. 8):
    :func:`orbiter.curate.unary_weights`.

    Args:
        logps: (B,), sums over tokens, under the policy.
        ref_logps: (B,), under the reference.
        desirable: (B,), true where the answer is good.
        reference_point: z, >= 0, in nats; see :func:`kto_reference_point`.
        beta: > 0
        desirable_weight: >= 0
        undesirable_weight: >= 0
    """
    policy, reference = vectors(logps=logps, ref_logps=ref_logps)
    good = booleans("desirable", desirable, ndim=1)
    vectors(logps=policy, desirable=good)
    signed = (
        policy - reference - check_number("reference_point", reference_point, "[0, inf)")
    ) * np.where(good, 1.0, -1.0)
    weights = np.where(
        good,
        check_number("desirable_weight", desirable_weight, "[0, inf)"),
        check_number("undesirable_weight", undesirable_weight, "[0, inf)"),
    )
    # 1 - sigmoid(x) is sigmoid(-x), which keeps its digits where the first is near 0.
    loss: Floats = weights * sigmoid(-_positive(beta) * signed)
    return loss


def orpo_loss(
    chosen_mean_logps: ArrayLike,
    rejected_mean_logps: ArrayLike,
    *,
    beta: float = 0.1,
    nll: ArrayLike | None = None,
) -> Floats:
    """Return the ORPO loss per pair, with p the likelihood per token, e^(mean log-probability), and odds = p / (1 - p)::

        nll - beta ln sigmoid(ln odds_c - ln odds_r)

    (Hong et al. 2024, eq. 6 and 7, whose lambda is beta.) Without a reference. The published ``nll`` is of the chosen answer, its mean per
    token, which is the default here. TRL's is over prompt and answer together, and a mean over all tokens of the batch, so that a
    long answer counts more: give that number as ``nll`` to get TRL's loss.

    Args:
        chosen_mean_logps: (B,), means over tokens, < 0: an answer of probability 1 has no odds.
        rejected_mean_logps: (B,)
        beta: Weight of the odds ratio, >= 0.
        nll: (B,), the supervised loss; default: minus ``chosen_mean_logps``.
    """
    chosen, rejected = vectors(
        chosen_mean_logps=chosen_mean_logps, rejected_mean_logps=rejected_mean_logps
    )
    for name, logps in (("chosen_mean_logps", chosen), ("rejected_mean_logps", rejected)):
        if logps.max() >= 0:
            raise ConfigError(f"{name} must be < 0, got {logps.max()}")
    supervised = -chosen if nll is None else vectors(chosen_mean_logps=chosen, nll=nll)[1]
    ratio = _log_odds(chosen) - _log_odds(rejected)
    return supervised - check_number("beta", beta, "[0, inf)") * log_sigmoid(ratio)


def simpo_loss(
    chosen_mean_logps: ArrayLike,
    rejected_mean_logps: ArrayLike,
    *,
    beta: float = 2.0,
    gamma: float = 1.0,
) -> Floats:
    """Return the SimPO loss per pair::

        -ln sigmoid(beta (mean ln pi_c - mean ln pi_r) - gamma)

    (Meng et al. 2024, eq. 6.) Without a reference; an answer's reward is beta times its mean log-probability per token. ``gamma`` is the
    target margin itself, as ``simpo_gamma`` of TRL's CPO trainer (which must have ``cpo_alpha=0``); the authors' scripts give gamma / beta.

    Args:
        chosen_mean_logps: (B,), means over tokens.
        rejected_mean_logps: (B,)
        beta: > 0
        gamma: >= 0
    """
    chosen, rejected = vectors(
        chosen_mean_logps=chosen_mean_logps, rejected_mean_logps=rejected_mean_logps
    )
    target = check_number("gamma", gamma, "[0, inf)")
    return -log_sigmoid(_positive(beta) * (chosen - rejected) - target)


def spin_loss(
    real_logps: ArrayLike,
    generated_logps: ArrayLike,
    ref_real_logps: ArrayLike,
    ref_generated_logps: ArrayLike,
    *,
    beta: float = 0.1,
) -> Floats:
    """Return the SPIN loss per pair: DPO in which a demonstration is chosen and the last policy's own answer rejected.

    The reference is the policy that wrote the answers, so it moves from round to round (Chen et al. 2024, eq. 4.7, whose lambda is beta
    and whose loss is the logistic one). The rejected answer may be right: SPIN does not look. ln 2 at the start of every round.

    Args:
        real_logps: (B,), sums over tokens, of the demonstrations under the policy.
        generated_logps: (B,), of the last policy's answers.
        ref_real_logps: (B,), under the last policy.
        ref_generated_logps: (B,)
        beta: > 0
    """
    return dpo_loss(real_logps, generated_logps, ref_real_logps, ref_generated_logps, beta=beta)


def _positive(beta: float) -> float:
    return check_number("beta", beta, "(0, inf)")


def _margins(
    chosen_logps: ArrayLike,
    rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike,
    ref_rejected_logps: ArrayLike,
) -> Floats:
    chosen, rejected, ref_chosen, ref_rejected = vectors(
        chosen_logps=chosen_logps,
        rejected_logps=rejected_logps,
        ref_chosen_logps=ref_chosen_logps,
        ref_rejected_logps=ref_rejected_logps,
    )
    return (chosen - ref_chosen) - (rejected - ref_rejected)


def _smoothing(value: float) -> float:
    return check_number("label_smoothing", value, "[0, 0.5)")


def _lengths(name: str, value: ArrayLike, like: Floats) -> Floats:
    lengths = vectors(logps=like, **{name: value})[1]
    if lengths.min() < 1:
        raise ConfigError(f"{name} must be >= 1, got {lengths.min():g}")
    return lengths


def _log_odds(logps: Floats) -> Floats:
    """Return ln(p / (1 - p)) from ln p < 0."""
    return logps - np.log(-np.expm1(logps))
