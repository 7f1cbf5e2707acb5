"""TRL's own loss code and orbiter.train.objectives on the same float32 batch: values to 1e-5, gradients too.

Each trainer is TRL's class without its constructor: the loss runs as it stands in the installed release, on log-probabilities given here
instead of a model's.
"""

import os

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from trl import DPOTrainer, GRPOTrainer, KTOTrainer, RewardTrainer, RLOOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

from orbiter.train import objectives as o

B, T = 6, 7
MASK = np.arange(T) < np.array([[7], [3], [5], [1], [4], [6]])
ADVANTAGES = np.array([1.5, -0.7, 0.0, 2.0, -1.3, -0.4])
SINGLE = SimpleNamespace(
    device=torch.device("cpu"),
    num_processes=1,
    sync_gradients=True,
    gather=lambda x: x,
    gather_for_metrics=lambda x: x,
    reduce=lambda x, reduction: x,
)


def trainer(cls, **attributes):
    """Return an instance that knows what its loss asks for, and nothing else."""
    made = cls.__new__(cls)
    made.__dict__.update(
        {
            "accelerator": SINGLE,
            "model": SimpleNamespace(training=True),
            "aux_loss_enabled": False,
            "_metrics": defaultdict(lambda: defaultdict(list)),
            "_total_train_tokens": 0,
            "_tp_size": 1,
            "label_smoothing": 0.0,
            **attributes,
        }
    )
    return made


def tensor(array, *, grad=False):
    return torch.tensor(np.asarray(array), dtype=torch.float32, requires_grad=grad)


@pytest.fixture
def logps():
    """Log-probabilities of tokens under three policies that are near each other, 0 beyond the answers."""
    rng = np.random.default_rng(3)
    base = -2 * rng.random((B, T)) - 0.05
    near = [base + 0.3 * rng.normal(size=(B, T)) for _ in range(2)]
    return [np.where(MASK, np.minimum(x, -0.01), 0.0).astype(np.float32) for x in (base, *near)]


def check(loss, variable, ours, at):
    """Compare value and gradient: autograd's of TRL's loss with finite differences of ours."""
    assert loss.item() == pytest.approx(ours(at.astype(float)), abs=1e-5)
    (found,) = torch.autograd.grad(loss, variable)
    at, step, wanted = at.astype(float), 1e-6, np.zeros(at.shape)
    for place in np.argwhere(MASK[: len(at)]):
        shift = np.zeros(at.shape)
        shift[tuple(place)] = step
        wanted[tuple(place)] = (ours(at + shift) - ours(at - shift)) / (2 * step)
    assert found.numpy()[MASK[: len(at)]] == pytest.approx(wanted[MASK[: len(at)]], abs=1e-5)


def model_output(log_probs):
    zeros = torch.zeros_like(log_probs.detach())
    return SimpleNamespace(
        log_probs=log_probs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool()
    )


def inputs_of(mask):
    """Return ids and masks of a prompt of one token and the answers."""
    full = torch.tensor(np.pad(mask, ((0, 0), (1, 0))), dtype=torch.long)
    ids = torch.ones_like(full)
    return {"input_ids": ids, "attention_mask": ids, "completion_mask": full}


PAIR_LOSSES = {
    "sigmoid": (o.dpo_loss, {}),
    "robust": (o.robust_dpo_loss, {"label_smoothing": 0.2}),
    "ipo": (o.ipo_loss, {"chosen_lengths": MASK[:3].sum(1), "rejected_lengths": MASK[3:].sum(1)}),
}


@pytest.mark.parametrize("loss_type", PAIR_LOSSES)
def test_dpo_and_its_kin(loss_type, logps):
    policy, reference, _ = logps
    fn, more = PAIR_LOSSES[loss_type]
    ref = o.sequence_logps(reference, MASK)
    variable = tensor(policy, grad=True)
    dpo = trainer(
        DPOTrainer,
        beta=0.3,
        loss_types=[loss_type],
        loss_weights=[1.0],
        label_smoothing=more.get("label_smoothing", 0.0),
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        use_weighting=False,
    )
    batch = inputs_of(MASK) | {
        "ref_chosen_logps": tensor(ref[:3]),
        "ref_rejected_logps": tensor(ref[3:]),
    }
    loss = dpo._compute_loss(lambda **_: model_output(variable * tensor(MASK)), batch, False)

    def ours(x):
        s = o.sequence_logps(x, MASK)
        return o.mean_loss(fn(s[:3], s[3:], ref[:3], ref[3:], beta=0.3, **more))

    check(loss, variable, ours, policy)


@pytest.mark.parametrize("drift", [0.8, -0.8])
def test_kto_with_its_reference_point_above_and_at_0(drift, logps):
    policy, reference, _ = logps
    label, ref = np.array([1, 0, 1, 1, 0, 0]), o.sequence_logps(reference, MASK)
    variable = tensor(policy, grad=True)
    ref_kl_logps = ref[::-1].copy()
    kl_logps = ref_kl_logps + drift
    kto = trainer(
        KTOTrainer,
        beta=0.3,
        loss_type="kto",
        calculate_KL=True,
        precompute_ref_logps=True,
        desirable_weight=1.5,
        undesirable_weight=0.5,
        _compute_kl_logps=lambda model, batch: tensor(kl_logps),
    )
    batch = inputs_of(MASK) | {
        "label": torch.tensor(label),
        "ref_logps": tensor(ref),
        "ref_KL_logps": tensor(ref_kl_logps),
    }
    loss = kto._compute_loss(lambda **_: model_output(variable * tensor(MASK)), batch, False)
    z = o.kto_reference_point(kl_logps, ref_kl_logps)
    assert z == pytest.approx(max(0.0, drift))

    def ours(x):
        more = {"desirable_weight": 1.5, "undesirable_weight": 0.5, "beta": 0.3}
        s = o.sequence_logps(x, MASK)
        return o.mean_loss(o.kto_loss(s, ref, label, reference_point=z, **more))

    check(loss, variable, ours, policy)


def test_orpo(logps):
    policy = logps[0]
    variable = tensor(policy, grad=True)
    means = variable.sum(1) / tensor(MASK.sum(1))
    orpo = trainer(ORPOTrainer, beta=0.4)
    ratio = orpo.odds_ratio_loss(means[:3], means[3:])[0]
    # TRL subtracts the ratio's term from the supervised loss.
    loss = -means[:3].mean() - ratio.mean()

    def ours(x):
        m = o.sequence_logps(x, MASK, average=True)
        return o.mean_loss(o.orpo_loss(m[:3], m[3:], beta=0.4))

    check(loss, variable, ours, policy)


def test_simpo(logps):
    policy = logps[0]
    variable = tensor(policy, grad=True)
    means = variable.sum(1) / tensor(MASK.sum(1))
    cpo = trainer(CPOTrainer, beta=2.5, simpo_gamma=0.8, loss_type="simpo", alpha=0.0)

    def ours(x):
        m = o.sequence_logps(x, MASK, average=True)
        return o.mean_loss(o.simpo_loss(m[:3], m[3:], beta=2.5, gamma=0.8))

    check(cpo.cpo_loss(means[:3], means[3:])[0].mean(), variable, ours, policy)


def test_reward_model():
    rewards, margin = np.array([0.3, -1.0, 2.0, 0.1, 1.0, 2.5]), np.array([0.1, 0.0, 0.5])
    variable = tensor(rewards[:, np.newaxis], grad=True)
    args = SimpleNamespace(center_rewards_coefficient=0.01)
    loss = trainer(RewardTrainer, args=args).compute_loss(
        lambda **_: SimpleNamespace(logits=variable),
        {"margin": tensor(margin), "attention_mask": torch.ones(B, T)},
    )
    ours = o.bradley_terry_loss(rewards[:3], rewards[3:], margin=margin, center=0.01)
    assert loss.item() == pytest.approx(o.mean_loss(ours), abs=1e-5)


def grpo_loss(variable, old, reference, **changes):
    options = {
        "loss_type": "grpo",
        "importance_sampling_level": "token",
        "beta": 0.0,
        "epsilon_low": 0.2,
        "epsilon_high": 0.28,
        "max_completion_length": T,
    } | changes
    made = trainer(
        GRPOTrainer,
        args=SimpleNamespace(
            delta=options.pop("delta", None),
            use_bias_correction_kl=options.pop("use_bias_correction_kl", True),
            steps_per_generation=1,
        ),
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
        _get_per_token_logps_and_entropies=lambda *_, **__: (variable, torch.zeros(B, T), None),
        **options,
    )
    return made._compute_loss(None, batch_of(old, reference))


def batch_of(old, reference):
    ones = torch.ones(B, 1, dtype=torch.long)
    return {
        "prompt_ids": ones,
        "prompt_mask": ones,
        "completion_ids": torch.ones(B, T, dtype=torch.long),
        "completion_mask": torch.tensor(MASK).long(),
        "advantages": tensor(ADVANTAGES),
        "old_per_token_logps": tensor(old),
        "old_logps": tensor(old.sum(1)),
        "ref_per_token_logps": tensor(reference),
        "num_items_in_batch": torch.tensor(float(MASK.sum())),
    }


@pytest.mark.parametrize(
    ("loss_type", "how", "max_length"),
    [
        ("grpo", "sequence-mean", None),
        ("dapo", "token-mean", None),
        ("bnpo", "token-mean", None),
        ("dr_grpo", "constant", T),
    ],
)
def test_grpo_and_its_reductions(loss_type, how, max_length, logps):
    policy, old, reference = logps
    variable = tensor(policy, grad=True)

    def ours(x):
        ratio = o.policy_ratio(x, old, MASK)
        loss = o.clipped_policy_loss(ratio, ADVANTAGES, clip_high=0.28)
        return o.reduce_tokens(loss, MASK, how=how, max_length=max_length)

    loss = grpo_loss(variable, old, reference, loss_type=loss_type)
    check(loss, variable, ours, policy)


@pytest.mark.parametrize("corrected", [False, True])
def test_grpo_with_a_kl_penalty(corrected, logps):
    policy, old, reference = logps
    variable = tensor(policy, grad=True)

    def ours(x):
        ratio = o.policy_ratio(x, old, MASK)
        kl = o.kl_estimate(x, reference, kind="k3") * (ratio if corrected else 1.0)
        loss = o.clipped_policy_loss(ratio, ADVANTAGES, clip_high=0.28) + 0.1 * kl
        return o.reduce_tokens(loss, MASK, how="sequence-mean")

    loss = grpo_loss(variable, old, reference, beta=0.1, use_bias_correction_kl=corrected)
    check(loss, variable, ours, policy)


def test_delta_is_the_dual_clip(logps):
    _, old, reference = logps
    far = np.where(MASK, old + 1.0, 0.0).astype(np.float32)
    variable = tensor(far, grad=True)

    def ours(x, dual_clip=2.0):
        ratio = o.policy_ratio(x, old, MASK)
        loss = o.clipped_policy_loss(ratio, ADVANTAGES, clip_high=0.28, dual_clip=dual_clip)
        return o.reduce_tokens(loss, MASK, how="sequence-mean")

    check(grpo_loss(variable, old, reference, delta=2.0), variable, ours, far)
    assert ours(far) < ours(far, dual_clip=None)


def test_gspo(logps):
    policy, old, reference = logps
    variable = tensor(policy, grad=True)

    def ours(x):
        ratio = o.policy_ratio(x, old, MASK, level="sequence")
        loss = o.clipped_policy_loss(ratio, ADVANTAGES, clip_low=0.05, clip_high=0.05)
        return o.reduce_tokens(loss, MASK, how="sequence-mean")

    loss = grpo_loss(
        variable,
        old,
        reference,
        importance_sampling_level="sequence",
        epsilon_low=0.05,
        epsilon_high=0.05,
    )
    check(loss, variable, ours, policy)


def test_cispo(logps):
    """TRL's epsilon_high is the bound itself."""
    policy, old, reference = logps
    variable = tensor(policy, grad=True)
    ratio = o.policy_ratio(policy, old, MASK)
    assert (ratio > 1.1).any()

    def ours(x):
        return o.reduce_tokens(o.cispo_loss(x, ratio, ADVANTAGES, clip_high=0.1), MASK)

    loss = grpo_loss(variable, old, reference, loss_type="cispo", epsilon_high=1.1)
    check(loss, variable, ours, policy)


def test_rloo_clips_the_ratio_of_whole_answers(logps):
    policy, old, reference = logps
    variable = tensor(policy, grad=True)
    rloo = trainer(
        RLOOTrainer,
        epsilon_low=0.2,
        epsilon_high=0.2,
        _get_per_token_logps_and_entropies=lambda *_, **__: (variable, torch.zeros(B, T), None),
    )

    def ours(x):
        sums = [o.sequence_logps(y, MASK)[:, np.newaxis] for y in (x, old)]
        ratio = o.policy_ratio(*sums, np.ones((B, 1)))[:, 0]
        return o.mean_loss(o.clipped_policy_loss(ratio, ADVANTAGES))

    check(rloo._compute_loss(None, batch_of(old, reference)), variable, ours, policy)


def test_group_advantages_have_the_deviation_of_torch():
    rewards = np.random.default_rng(1).random((4, 8))
    grouped = tensor(rewards)
    centred = grouped - grouped.mean(1, keepdim=True)
    scaled = centred / (grouped.std(1, keepdim=True) + 1e-4)
    assert scaled.numpy() == pytest.approx(o.group_advantages(rewards), abs=1e-5)
    population = centred / (grouped.std(1, keepdim=True, correction=0) + 1e-4)
    assert population.numpy() == pytest.approx(o.group_advantages(rewards, ddof=0), abs=1e-5)


def test_entropy_is_that_of_torch():
    logits = 3 * np.random.default_rng(2).normal(size=(5, 11))
    found = torch.distributions.Categorical(logits=tensor(logits)).entropy()
    assert found.numpy() == pytest.approx(o.entropy(logits), abs=1e-5)
