"""Small real jobs of each algorithm: that they learn, with adapters too, go on after a crash, and know TRL's losses by name."""

import inspect
import re
from pathlib import Path

import attrs
import orjson
import pytest
import torch
from orbiter_trl import dpo, grpo, kto, online_dpo, simpo, spin
from orbiter_trl.backend import TrlBackend
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import DPOTrainer, GRPOTrainer, KTOTrainer

from orbiter.errors import BackendError
from orbiter.records import Task
from orbiter.train.config import LoraConfig, TrainConfig
from orbiter.train.rewards import RewardSpec


def metrics_of(job):
    lines = (job.output_dir / "metrics.jsonl").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


OVERFITTING = {
    "kto": {"beta": 1.0},
    "spin": {"beta": 0.3},
    "online_dpo": {"beta": 0.3},
    # The same answers twelve times, so that their loss can fall.
    "grpo": {"num_iterations": 12, "beta": 0.0},
    "rloo": {"num_iterations": 12, "beta": 0.0},
}


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)], ids=["full", "lora"])
@pytest.mark.parametrize("algorithm", TrlBackend.algorithms)
def test_the_loss_of_a_batch_falls(any_job, nano, algorithm, lora):
    """Twelve steps on one batch; with adapters, all that is trained is merged into the checkpoint."""
    config = TrainConfig(
        max_steps=12,
        batch_size=8,
        learning_rate=3e-2 if lora else 1e-2,
        log_every=1,
        lora=lora,
    )
    job = any_job(algorithm, config=config, count=8, options=OVERFITTING.get(algorithm))
    result = TrlBackend().train(job)
    losses = [row["loss"] for row in metrics_of(job)]
    assert len(losses) == 12
    assert losses[-1] < losses[0] - 0.01
    assert result.token_count > 0
    before, after = (load_file(f / "model.safetensors") for f in (nano, result.checkpoint))
    changed = {name for name in before if name in after and (before[name] != after[name]).any()}
    assert changed == {name for name in before if name in after and (not lora or "_proj" in name)}
    assert not list(result.checkpoint.glob("*adapter*"))


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)], ids=["full", "lora"])
def test_a_reward_model_scores_as_it_was_trained(any_job, pairs, lora):
    """Its checkpoint, read again without the trainer, gives the scores of its last steps, which had the lowest learning rate."""
    config = TrainConfig(max_steps=30, batch_size=8, learning_rate=1e-2, log_every=1, lora=lora)
    result = TrlBackend().train(any_job("reward", config=config, count=8))
    assert result.metrics.accuracy > 0.5
    model = AutoModelForSequenceClassification.from_pretrained(result.checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(result.checkpoint)

    def score(pair, answer):
        chat = [{"role": m.role, "content": m.content} for m in (*pair.prompt, *answer)]
        ids = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            return model(**ids).logits.item()

    margins = [score(pair, pair.chosen) - score(pair, pair.rejected) for pair in pairs(8)]
    assert sum(margins) / 8 > 0.1
    assert sum(margins) / 8 == pytest.approx(result.metrics.extra["margin"], rel=0.1)


class Crash(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["reward", "kto", "spin", "online_dpo"])
def test_a_crashed_run_goes_on_and_ends_in_the_same_weights(any_job, algorithm):
    def crash(step, _):
        if step == 3:
            raise Crash

    config = TrainConfig(max_steps=4, batch_size=4, learning_rate=3e-3, log_every=1, save_every=2)
    straight = TrlBackend().train(any_job(algorithm, name="straight", config=config))
    crashed = any_job(algorithm, name="crashed", config=config)
    with pytest.raises(Crash):
        TrlBackend().train(attrs.evolve(crashed, on_metrics=crash))
    steps = []
    resumed = TrlBackend().train(
        attrs.evolve(crashed, on_metrics=lambda step, _: steps.append(step))
    )
    assert steps == [3, 4]
    weights = "model.safetensors"
    one, other = (load_file(r.checkpoint / weights) for r in (straight, resumed))
    assert all((one[name] == other[name]).all() for name in one)
    assert resumed.token_count == straight.token_count


@pytest.mark.parametrize("algorithm", ["dpo", "simpo", "orpo", "reward", "kto"])
def test_held_out_data_are_measured(any_job, algorithm):
    config = TrainConfig(max_steps=2, batch_size=4, log_every=1, eval_every=2)
    job = any_job(algorithm, config=config)
    TrlBackend().train(attrs.evolve(job, eval_data=job.data))
    assert metrics_of(job)[-1]["eval_loss"] > 0


def quoted(source: str) -> set[str]:
    """Return the losses that a trainer compares its ``loss_type`` with."""
    compared = re.findall(r"loss_type (?:==|in) (\[[^]]*\]|\"\w+\")", source)
    return {name for text in compared for name in re.findall(r'"(\w+)"', text)}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (DPOTrainer._compute_loss, dpo.LOSSES),
        (KTOTrainer._compute_loss, kto.LOSSES),
        (GRPOTrainer._compute_loss, grpo.LOSSES),
        (simpo.CPOTrainer.cpo_loss, simpo.LOSSES),
        (online_dpo.OnlineDPOTrainer.training_step, online_dpo.LOSSES),
    ],
    ids=["dpo", "kto", "grpo", "simpo", "online_dpo"],
)
def test_the_names_of_losses_are_those_of_the_installed_trl(source, names):
    assert quoted(inspect.getsource(source)) == set(names)


def test_the_importance_levels_are_those_of_the_installed_trl():
    source = inspect.getsource(GRPOTrainer)
    compared = re.findall(r"importance_sampling_level == \"(\w+)\"", source)
    assert set(compared) == set(grpo.LEVELS)


@pytest.mark.parametrize(
    ("loss", "level"),
    [(loss, grpo.NEEDS.get(loss, "token")) for loss in grpo.LOSSES] + [("grpo", "sequence")],
)
def test_every_loss_of_grpo_trains(any_job, loss, level):
    config = TrainConfig(max_steps=1, batch_size=4, log_every=1)
    options = {"loss_type": loss, "importance_sampling_level": level}
    job = any_job("grpo", count=4, config=config, options=options)
    assert TrlBackend().train(job).metrics.loss is not None


def test_online_dpo_learns_nothing_from_ties_and_from_what_nobody_could_score(any_job, nano):
    """TRL would take None for 0, and the first of two equal answers for the better one."""

    def alike(output: str) -> float:
        return 1.0

    def half_blind(output: str) -> float | None:
        return None if "0" in output or "1" in output else 1.0

    before = load_file(nano / "model.safetensors")
    for name, fn in (("alike", alike), ("half_blind", half_blind)):
        job = any_job("online_dpo", name=name, rewards=(RewardSpec(name=name, fn=fn),))
        result = TrlBackend().train(
            attrs.evolve(job, config=attrs.evolve(job.config, batch_size=12))
        )
        after = load_file(result.checkpoint / "model.safetensors")
        assert all((before[key] == after[key]).all() for key in before)
        assert result.token_count == 0
        assert result.metrics.reward == 1.0
        assert any("have no variance of reward" in alarm for alarm in result.alarms)
        assert any("could not be scored" in alarm for alarm in result.alarms) == (fn is half_blind)


def test_online_dpo_that_nobody_scores_ends_in_an_error(any_job):
    job = any_job("online_dpo", rewards=(RewardSpec(name="blind", fn=lambda output: None),))
    with pytest.raises(BackendError, match=r"could be scored: blind: returned None"):
        TrlBackend().train(job)


def test_online_dpo_learns_from_an_end_where_a_missing_one_is_penalised(any_job):
    """The rewards are equal; that an answer did not end is what makes it worse."""

    def alike(output: str) -> float:
        return 1.0

    tokens = {}
    for penalty in (None, 1.0):
        job = any_job(
            "online_dpo",
            name=f"penalty-{penalty}",
            rewards=(RewardSpec(name="alike", fn=alike),),
            options={"missing_eos_penalty": penalty, "max_new_tokens": 12},
        )
        config = attrs.evolve(job.config, batch_size=12, max_steps=1)
        tokens[penalty] = TrlBackend().train(attrs.evolve(job, config=config)).token_count
    assert tokens[None] == 0
    # At most all tokens of both answers, and fewer, since one of each pair ended before the bound.
    assert 0 < tokens[1.0] < 12 * 2 * 12


def test_online_dpo_prefers_the_answer_of_the_higher_reward(any_job):
    """Rewards get the task of each answer, and the better answer becomes likelier against the reference."""
    seen = []

    def right(output: str, task: Task) -> float:
        seen.append(task.answer)
        return float(output[:1] == task.answer[:1]) + sum(c.isdigit() for c in output) / 10

    job = any_job("online_dpo", rewards=(RewardSpec(name="right", fn=right),))
    config = TrainConfig(max_steps=6, batch_size=12, learning_rate=1e-2, log_every=1)
    TrlBackend().train(attrs.evolve(job, config=config))
    assert len(seen) == 6 * 12 * 2
    assert set(seen) == {f"{n:02}" for n in range(12)}
    row = metrics_of(job)[-1]
    assert row["rewards/chosen"] > row["rewards/rejected"]
    assert row["reward"] == pytest.approx(row["rewards/right"])


def test_spin_leaves_out_answers_that_are_the_demonstration(any_job, rows):
    """A model that answers as it was shown has nothing to learn."""
    (row,) = rows(1)
    job = any_job("spin", options={"temperature": 0.0})
    args = spin.make_arguments(job, job.output_dir)
    pairs, alarms = spin.own_pairs([row], job, args)
    assert alarms == []
    assert pairs[0].chosen == row.messages[1:] != pairs[0].rejected
    own = attrs.evolve(row, messages=row.prompt + pairs[0].rejected)
    with pytest.raises(BackendError, match="must answer otherwise than the demonstrations"):
        spin.own_pairs([own], job, args)
    both, alarms = spin.own_pairs([own, row], job, args)
    assert (len(both), len(alarms)) == (1, 1)


def test_spin_trains_on_the_prompt_that_was_answered_tools_and_all(any_job, rows):
    tool = {"p": 1}
    job = any_job("spin")
    args = spin.make_arguments(job, job.output_dir)
    (pair,), _ = spin.own_pairs([attrs.evolve(rows(1)[0], tools=(tool,))], job, args)
    assert pair.extra == {"tools": [tool]}


def test_spin_draws_the_same_answers_again(any_job, rows):
    job = any_job("spin")
    args = spin.make_arguments(job, job.output_dir)
    first, again = (spin.own_pairs(rows(6), job, args)[0] for _ in range(2))
    assert first == again
    other = attrs.evolve(job, config=attrs.evolve(job.config, seed=1))
    assert spin.own_pairs(rows(6), other, args)[0] != first


def test_the_reference_page_names_every_algorithm_and_every_loss():
    page = (Path(__file__).parents[3] / "docs/reference/algorithms.md").read_text()
    tables = [
        set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) for part in page.split("\n## ")
    ]
    assert tables[0] == tables[1] == set(TrlBackend.algorithms)
    losses = {*dpo.LOSSES, *grpo.LOSSES, *kto.LOSSES, *simpo.LOSSES, *online_dpo.LOSSES}
    assert {name for name in losses if not re.search(rf"\b{name}\b", page)} == set()
