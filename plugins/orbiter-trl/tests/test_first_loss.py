"""The loss of the first batch of each trainer, with a real model, is that of orbiter.train.objectives to 1e-5; so are weights of pairs."""

import math

import numpy as np
import pytest
import torch
from orbiter_trl import dpo, prm
from orbiter_trl.backend import TrlBackend
from orbiter_trl.rows import TokenRow

from orbiter.curate.pairs import UnpairedPreference
from orbiter.records import Message
from orbiter.train import objectives as o
from orbiter.train.config import TrainConfig
from orbiter.train.rewards import RewardSpec
from orbiter.train.tally import Tally

BATCH = 6
CONFIG = TrainConfig(max_steps=1, batch_size=BATCH)
LN2 = math.log(2)


@pytest.fixture
def first(any_job):
    """Make the trainer of a job, its policy moved away from its reference, and its first batch."""

    def make(algorithm, *, moved=0.5, **changes):
        job = any_job(algorithm, config=CONFIG, count=BATCH, **changes)
        trainer, alarms = TrlBackend().prepare(job).make_trainer(Tally())
        model = trainer.model
        assert alarms == []
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter += moved * noise * (parameter.std() if parameter.numel() > 1 else 1.0)
        return trainer, next(iter(trainer.get_train_dataloader()))

    return make


@torch.no_grad()
def token_logps(model, ids, attention):
    """Return the log-probability of each token after the first, by a plain forward pass."""
    logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1].double()
    logps = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    return logps.numpy()


def sums(model, batch, prefix="", *, average=False):
    """Return the log-probability of each answer of a batch."""
    logps = token_logps(model, batch[f"{prefix}input_ids"], batch[f"{prefix}attention_mask"])
    mask = batch[f"{prefix}completion_mask"][:, 1:].numpy().astype(bool)
    return o.sequence_logps(logps, mask, average=average), mask.sum(1)


def loss_of(trainer, batch):
    return trainer.compute_loss(trainer.model, dict(batch)).item()


def robust(*logps, beta):
    return o.robust_dpo_loss(*logps, beta=beta, label_smoothing=0.2)


@pytest.mark.parametrize(
    ("options", "ours"),
    [
        ({}, o.dpo_loss),
        ({"loss_type": "robust", "label_smoothing": 0.2}, robust),
        ({"loss_type": "ipo"}, None),
        ({"precompute_ref_log_probs": True}, o.dpo_loss),
    ],
    ids=["sigmoid", "robust", "ipo", "precomputed"],
)
def test_dpo(first, options, ours):
    trainer, batch = first("dpo", options={"beta": 0.3, **options})
    reference, policy = trainer.ref_model, trainer.model
    now, lengths = sums(policy, batch)
    if reference is None:  # its log-probabilities were taken before the policy moved
        then = torch.cat([batch["ref_chosen_logps"], batch["ref_rejected_logps"]]).numpy()
        assert np.abs(now - then).max() > 1e-2
    else:
        then, _ = sums(reference, batch)
    logps = (now[:BATCH], now[BATCH:], then[:BATCH], then[BATCH:])
    if options.get("loss_type") == "ipo":
        more = {"chosen_lengths": lengths[:BATCH], "rejected_lengths": lengths[BATCH:]}
        expected = o.ipo_loss(*logps, beta=0.3, **more)
    else:
        expected = ours(*logps, beta=0.3)
    assert loss_of(trainer, batch) == pytest.approx(o.mean_loss(expected), abs=1e-5)
    assert o.mean_loss(expected) != pytest.approx(LN2, abs=1e-3)


def test_the_reference_is_not_told_of_weights(first):
    trainer, batch = first("dpo")
    asked = set()

    def reference(**named):
        asked.update(named)
        return trainer.ref_model(**named)

    trainer.compute_ref_log_probs(reference, {**batch, "weight": torch.ones(BATCH)})
    assert "input_ids" in asked
    assert "weight" not in asked


def test_every_loss_of_dpo_has_a_gradient(first):
    trainer, batch = first("dpo", options={"label_smoothing": 0.1})
    norms = {}
    for name in dpo.LOSSES:
        trainer.loss_types = [name]
        trainer.model.zero_grad()
        trainer.compute_loss(trainer.model, dict(batch)).backward()
        norms[name] = sum(p.grad.norm().item() for p in trainer.model.parameters())
    assert all(math.isfinite(norm) and norm > 0 for norm in norms.values())
    assert len({round(norm, 9) for norm in norms.values()}) == len(dpo.LOSSES)


@pytest.mark.parametrize("algorithm", ["dpo", "spin"])
def test_the_loss_is_ln_2_where_the_policy_is_the_reference(first, algorithm):
    trainer, batch = first(algorithm, moved=0.0)
    assert loss_of(trainer, batch) == pytest.approx(LN2, abs=1e-6)


def test_spin_is_dpo_on_own_answers(first):
    trainer, batch = first("spin", options={"beta": 0.2})
    (now, _), (then, _) = sums(trainer.model, batch), sums(trainer.ref_model, batch)
    half = len(now) // 2
    expected = o.spin_loss(now[:half], now[half:], then[:half], then[half:], beta=0.2)
    assert loss_of(trainer, batch) == pytest.approx(o.mean_loss(expected), abs=1e-5)


@pytest.mark.parametrize("label_ratio", [None, 1.2])
def test_kto(first, label_ratio):
    options = {"beta": 0.3, "label_ratio": label_ratio}
    trainer, batch = first("kto", options=options)
    args = trainer.args
    assert (args.desirable_weight, args.undesirable_weight) == (label_ratio or 1.0, 1.0)
    (now, _), (then, _) = sums(trainer.model, batch), sums(trainer.ref_model, batch)
    point = o.kto_reference_point(
        sums(trainer.model, batch, "KL_")[0], sums(trainer.ref_model, batch, "KL_")[0]
    )
    expected = o.kto_loss(
        now,
        then,
        batch["label"].numpy(),
        reference_point=point,
        beta=0.3,
        desirable_weight=args.desirable_weight,
        undesirable_weight=args.undesirable_weight,
    )
    assert loss_of(trainer, batch) == pytest.approx(o.mean_loss(expected), abs=1e-5)


def test_kto_takes_the_reference_point_from_the_answer_to_the_prompt_before(first):
    _, batch = first("kto")

    def parts(prefix):
        rows = zip(batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"])
        found = []
        for ids, mask in rows:
            start = mask.tolist().index(1)
            found.append((ids[:start].tolist(), ids[mask.bool()].tolist()))
        return found

    own, other = parts(""), parts("KL_")
    assert [prompt for prompt, _ in other] == [prompt for prompt, _ in own]
    assert [text for _, text in other] == [own[i - 1][1] for i in range(BATCH)]
    assert own != sorted(own)  # shuffled: neighbours in the data answer the same prompt


def joined(batch):
    """Return the chosen and the rejected rows of a batch that has them apart, as means per token."""
    return {
        side: {
            "input_ids": batch[f"{side}_input_ids"],
            "attention_mask": batch[f"{side}_attention_mask"],
            "completion_mask": (batch[f"{side}_labels"] != -100).long(),
        }
        for side in ("chosen", "rejected")
    }


def test_simpo(first):
    trainer, batch = first("simpo", options={"beta": 2.5, "simpo_gamma": 0.7})
    means = [sums(trainer.model, part, average=True)[0] for part in joined(batch).values()]
    expected = o.mean_loss(o.simpo_loss(*means, beta=2.5, gamma=0.7))
    assert loss_of(trainer, batch) == pytest.approx(expected, abs=1e-5)


def test_orpo(first):
    trainer, batch = first("orpo", options={"beta": 0.4})
    parts = joined(batch)
    means = [sums(trainer.model, part, average=True)[0] for part in parts.values()]
    chosen = parts["chosen"]
    everything = chosen["attention_mask"][:, 1:].numpy().astype(bool)
    logps = token_logps(trainer.model, chosen["input_ids"], chosen["attention_mask"])
    nll = np.full(BATCH, -logps[everything].mean())
    expected = o.mean_loss(o.orpo_loss(*means, beta=0.4, nll=nll))
    assert loss_of(trainer, batch) == pytest.approx(expected, abs=1e-5)


def test_reward_model(first, pairs, write):
    data = write(pairs(BATCH, margin=0.25), "margins.jsonl")
    options = {"use_margin": True, "center_rewards_coefficient": 0.1}
    trainer, batch = first("reward", data=data, options=options)
    assert batch["margin"].tolist() == [0.25] * BATCH
    with torch.no_grad():
        ids, mask = batch["input_ids"], batch["attention_mask"]
        scores = trainer.model(input_ids=ids, attention_mask=mask).logits[:, 0].double().numpy()
    expected = o.bradley_terry_loss(
        scores[:BATCH], scores[BATCH:], margin=np.full(BATCH, 0.25), center=0.1
    )
    assert loss_of(trainer, batch) == pytest.approx(o.mean_loss(expected), abs=1e-5)


def test_process_reward_model(first, write):
    """The score of a step is read after its last token, and is the same where a longer conversation is scored."""
    chats = [("copy 12:", "1", "2"), ("copy 34:", "3", "5"), ("copy 56:", "6", "6")]
    steps = []
    for ask, one, two in chats:
        prompt, turns = (
            (Message("user", ask),),
            (Message("assistant", one), Message("assistant", two)),
        )
        steps += [
            UnpairedPreference(prompt, turns[:1], one == ask[5]),
            UnpairedPreference((*prompt, turns[0]), turns[1:], one + two == ask[5:7]),
        ]
    trainer, batch = first("prm", data=write(steps, "steps.jsonl"))
    assert len(batch["input_ids"]) == 3  # the steps of one attempt share a row
    trainer.model.eval()
    scores, labels = [], []
    for ids, marks in zip(batch["input_ids"], batch["labels"]):
        for end in (marks != -100).nonzero()[:, 0].tolist():
            with torch.no_grad():  # each alone, without what follows and without padding
                logits = trainer.model(input_ids=ids[None, : end + 1]).logits
            scores.append(logits[0, -1, 0].item())
            labels.append(marks[end].item())
    assert sorted(labels) == [0, 0, 0, 1, 1, 1]
    assert np.std(scores) > 1e-3
    expected = o.mean_loss(o.step_loss(scores, labels))
    assert loss_of(trainer, batch) == pytest.approx(expected, abs=1e-5)


def test_equal_steps_count_as_often_as_they_come():
    row = TokenRow([1, 2, 3], [-100, -100, 3])
    longer = TokenRow([1, 2, 3, 4, 5], [-100, -100, -100, 4, 5])
    table = prm.step_table([(row, True), (longer, False), (row, False)])
    assert table["input_ids"] == [[1, 2, 3, 4, 5], [1, 2, 3]]
    found = sorted(label for labels in table["labels"] for label in labels if label != -100)
    assert found == [0, 0, 1]
    assert table["labels"][0][4] == 0


def test_sft(first):
    trainer, batch = first("sft")
    ids, attention = batch["input_ids"], batch["attention_mask"]
    logps = token_logps(trainer.model, ids, attention)
    answers = (batch["labels"][:, 1:] != -100).numpy()
    assert 0 < answers.sum() < attention[:, 1:].sum()  # prompts carry no loss
    expected = o.reduce_tokens(-logps, answers, how="token-mean")
    assert loss_of(trainer, batch) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo"])
def test_online_dpo(any_job, loss_type):
    """Of the two answers that a step samples, the one of the higher reward is chosen, and the loss is that of the oracle on them."""
    job = any_job(
        "online_dpo",
        config=CONFIG,
        options={"beta": 0.3, "loss_type": loss_type},
        rewards=(RewardSpec(name="sum", fn=lambda output: sum(map(ord, output)) % 7),),
    )
    trainer, _ = TrlBackend().prepare(job).make_trainer(Tally())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter += 0.3 * parameter.std() * torch.randn(parameter.shape, generator=generator)
    seen = []

    def forward(model, prompt_ids, prompt_mask, ids, mask, *more, parent=trainer._forward):
        logps = parent(model, prompt_ids, prompt_mask, ids, mask, *more)
        seen.append((ids, mask, logps.detach().double()))
        return logps

    trainer._forward = forward
    trainer.create_optimizer()
    loss = trainer.training_step(trainer.model, next(iter(trainer.get_train_dataloader())))
    (ids, mask, now), (_, _, then) = seen
    texts = trainer.processing_class.batch_decode(ids, skip_special_tokens=True)
    rewards = np.array([job.rewards[0].fn(text) for text in texts])
    answers = mask.numpy().astype(bool)
    now, then = (o.sequence_logps(logps.numpy(), answers) for logps in (now, then))
    half = len(texts) // 2
    first_won = rewards[:half] >= rewards[half:]
    assert 0 < first_won.sum() < half
    better = np.where(first_won, np.arange(half), np.arange(half) + half)
    worse = np.where(first_won, np.arange(half) + half, np.arange(half))
    logps = (now[better], now[worse], then[better], then[worse])
    expected = (o.dpo_loss if loss_type == "sigmoid" else o.ipo_loss)(*logps, beta=0.3)
    assert loss.item() == pytest.approx(o.mean_loss(expected), abs=1e-5)


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_sampled_answers(any_job, algorithm):
    """On its own samples the ratio is 1, so that the loss is minus the mean advantage, and its gradient that of the oracle."""
    options = {"beta": 0.0, "loss_type": "grpo"} if algorithm == "grpo" else {"beta": 0.0}
    job = any_job(algorithm, config=TrainConfig(max_steps=1, batch_size=8), options=options)
    trainer, _ = TrlBackend().prepare(job).make_trainer(Tally())
    model, tokenizer = trainer.model, trainer.processing_class
    trainer.current_gradient_accumulation_steps = 1
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    texts = tokenizer.batch_decode(batch["completion_ids"], skip_special_tokens=True)
    (spec,) = job.rewards
    rewards = np.array([spec.fn(text) for text in texts])
    # TRL shuffles the answers of a batch; the advantages tell the groups by their prompts.
    prompts = tokenizer.batch_decode(batch["prompt_ids"], skip_special_tokens=True)
    expected = np.zeros(8)
    for prompt in set(prompts):
        group = [i for i in range(8) if prompts[i] == prompt]
        ours = o.group_advantages if algorithm == "grpo" else o.leave_one_out_advantages
        expected[group] = ours(rewards[group][None])[0]
    assert batch["advantages"].numpy() == pytest.approx(expected, abs=1e-5)
    assert np.abs(expected).max() > 0
    loss = trainer.compute_loss(model, batch)
    assert loss.item() == pytest.approx(-expected.mean(), abs=1e-5)


WEIGHED = [
    ("dpo", {}),
    ("dpo", {"loss_type": ["sigmoid", "sft"]}),
    ("dpo", {"loss_type": "ipo"}),
    ("reward", {}),
    ("simpo", {}),
    ("simpo", {"cpo_alpha": 1.0}),
    ("orpo", {}),
]


@pytest.mark.parametrize(
    ("algorithm", "options"),
    WEIGHED,
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_the_gradient_is_that_of_the_weighted_loss(first, algorithm, options):
    """It is linear in the weights, and what a pair adds is what it adds alone."""
    trainer, batch = first(algorithm, options=options)
    model = trainer.model
    model.train()
    trainer.accelerator.gradient_state._set_sync_gradients(True)

    def gradient(weights):
        model.zero_grad()
        inputs = dict(batch) if weights is None else {**batch, "weight": torch.tensor(weights)}
        trainer.compute_loss(model, inputs).backward()
        found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        return torch.cat(found).clone()

    rest = [0.0] * (BATCH - 2)
    one, two = gradient([1.0, 0.0, *rest]), gradient([0.0, 1.0, *rest])
    both = gradient([0.5, 2.0, *rest])
    assert one.norm() > 1e-4
    assert torch.allclose(both, 0.5 * one + 2 * two, atol=1e-6)
    assert torch.allclose(gradient([1.0] * BATCH), gradient(None), atol=1e-6)
    assert not torch.allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("algorithm", ["dpo", "reward", "simpo"])
def test_a_pair_of_weight_0_leaves_the_gradient_of_the_others(first, algorithm):
    """The mean over two pairs, one of weight 0, is half of that over the other alone."""
    trainer, batch = first(algorithm)
    model = trainer.model

    def rows(*chosen):
        both = [i + side * BATCH for side in (0, 1) for i in chosen]
        apart = "chosen_input_ids" in batch
        return {name: value[list(chosen) if apart else both] for name, value in batch.items()}

    def gradient(inputs):
        model.zero_grad()
        trainer.compute_loss(model, inputs).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    alone = gradient(rows(0))
    with_another = gradient({**rows(0, 1), "weight": torch.tensor([1.0, 0.0])})
    assert alone.norm() > 1e-4
    assert torch.allclose(2 * with_another, alone, atol=1e-5)
