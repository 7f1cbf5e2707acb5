"""Trained reward models as rewards and as verifiers."""

import json
import pickle
import re

import attrs
import orjson
import pytest
import torch
from orbiter_trl.backend import TrlBackend
from orbiter_trl.reward_model import ProcessRewardVerifier, RewardModel, RewardModelVerifier
from transformers import AutoModelForTokenClassification, AutoTokenizer

from orbiter.errors import ConfigError
from orbiter.plugin import registry
from orbiter.records import Message, Outcome, Task, Trajectory
from orbiter.train.comparisons import Comparisons
from orbiter.train.config import TrainConfig
from orbiter.train.rewards import RewardSpec, combine_rewards
from orbiter.verify.answer import answered
from orbiter.verify.judges import JudgeModel, PairwiseJudge, Reply
from orbiter.verify.verifier import judge, judge_batch


def says(text):
    return (Message("assistant", text),)


def task(n=3):
    return Task("copying", f"copying:{n}", (Message("user", f"copy {n}{n}:"),), answer="77")


def test_rewards_of_a_reward_model_tell_answers_apart(reward_model):
    model = RewardModel(reward_model, batch_size=2)
    texts = ["77", "cc", "77", "c", "7"]
    tasks = [task(n) for n in range(5)]
    rewards = combine_rewards([RewardSpec(name="rm", weight=2.0, fn=model)], texts, tasks)
    one, two, *_ = rewards.by_name["rm"]
    assert one > two + 1
    assert rewards.scores[0] == 2 * one
    # A batch is what each is alone, whatever it was padded with.
    alone = [model(text, task(n)) for n, text in enumerate(texts)]
    assert rewards.by_name["rm"] == pytest.approx(alone, abs=1e-5)


def test_what_is_longer_than_the_context_is_unscored(reward_model):
    spec = RewardSpec(name="rm", fn=RewardModel(reward_model))
    rewards = combine_rewards([spec], ["7" * 80, "7"], [task(), task()])
    assert rewards.reasons == ("rm: longer than the reward model's context of 64 tokens", None)


def test_a_reward_model_is_a_verifier(reward_model):
    verifier = registry().create("verifier", "reward_model", {"model": str(reward_model)})
    good, bad = (judge(verifier, task(), answered(task(), text)) for text in ("77", "cc"))
    spread = good.details["reward"] - bad.details["reward"]
    middle = (good.details["reward"] + bad.details["reward"]) / 2
    assert spread > 1
    centred = RewardModelVerifier(reward_model, offset=middle, threshold=0.6)
    found = judge_batch(centred, [(task(), answered(task(), t)) for t in ("77", "cc", "7" * 80)])
    assert [v.outcome for v in found] == [Outcome.PASS, Outcome.FAIL, Outcome.INVALID]
    assert found[0].score == pytest.approx(1 / (1 + 2.718281828 ** (-spread / 2)), abs=1e-4)
    assert found[0].version != good.version
    assert centred.opinion
    assert pickle.loads(pickle.dumps(centred)).verify(
        task(), answered(task(), "77")
    ).score == pytest.approx(found[0].score)


def test_a_verifier_goes_by_the_prompt_of_the_task(step_model):
    """A trajectory that says that its answer is prompt has the steps that it has."""
    verifier = ProcessRewardVerifier(step_model)
    row = answered(task(), "cc")
    hidden = attrs.evolve(row, prompt_size=2)
    assert verifier.verify(task(), hidden) == verifier.verify(task(), row)


def test_step_scores_of_a_process_reward_model(step_model):
    turns = (*says("77"), Message("user", "copy 1:"), *says("cc"))
    row = Trajectory.following(task(), *turns)
    verdicts = {
        how: ProcessRewardVerifier(step_model, how=how).verify(task(), row)
        for how in ("product", "min", "last")
    }
    one, two = verdicts["min"].step_scores
    assert one > 0.8 > 0.2 > two
    assert verdicts["product"].score == pytest.approx(one * two)
    assert verdicts["min"].score == verdicts["last"].score == two
    assert verdicts["min"].outcome is Outcome.FAIL
    right = ProcessRewardVerifier(step_model).verify(task(), answered(task(), "77"))
    assert (right.outcome, right.step_scores) == (Outcome.PASS, (pytest.approx(one),))

    # The same numbers, read with transformers alone.
    tokenizer = AutoTokenizer.from_pretrained(step_model)
    model = AutoModelForTokenClassification.from_pretrained(step_model)
    for count, score in ((2, one), (4, two)):
        chat = [{"role": m.role, "content": m.content} for m in row.messages[:count]]
        ids = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            logit = model(**ids).logits[0, -1, 0]
        assert score == pytest.approx(torch.sigmoid(logit).item(), abs=1e-3)


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "online_dpo"])
def test_a_reward_model_drives_what_samples(any_job, reward_model, algorithm):
    """Answers of digits win: their share rises, which the reward model alone asked for."""
    spec = RewardSpec(name="rm", fn=RewardModel(reward_model))
    config = TrainConfig(max_steps=12, batch_size=32, learning_rate=2e-2, log_every=1)
    options = {} if algorithm == "online_dpo" else {"beta": 0.0}
    job = any_job(algorithm, rewards=(spec,), config=config, count=40, options=options)
    result = TrlBackend().train(job)
    rows = [orjson.loads(r) for r in (job.output_dir / "metrics.jsonl").read_bytes().splitlines()]
    rewards = [row["reward"] for row in rows]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.3
    assert rows[-1]["rewards/rm"] == pytest.approx(rewards[-1])
    assert not any("could not be scored" in alarm for alarm in result.alarms)


class DigitJudge(JudgeModel):
    """Prefers the answer with more digits."""

    model = "digits"

    def ask(self, questions):
        return [Reply(text=json.dumps({"better": self.better(q)})) for q in questions]

    def better(self, question):
        text = question.messages[-1].text
        found = [re.search(rf"BEGIN ANSWER {s} .*\n\| (.*)\n", text)[1] for s in "AB"]
        a, b = (sum(c.isdigit() for c in one) for one in found)
        return "tie" if a == b else "A" if a > b else "B"


@pytest.mark.parametrize("algorithm", ["online_dpo", "grpo"])
def test_a_judge_of_pairs_drives_what_samples(any_job, algorithm):
    """Of two answers it only says which is better; the share of digits rises all the same."""
    shares = []

    def digits(output):
        shares.append(sum(c.isdigit() for c in output) / 6)
        return 0.0

    judge = PairwiseJudge(model=DigitJudge(), rubric="More digits are better.")
    specs = (RewardSpec(name="judge", fn=Comparisons(judge)), RewardSpec(name="d", fn=digits))
    config = TrainConfig(max_steps=12, batch_size=16, learning_rate=2e-2, log_every=1)
    job = any_job(algorithm, rewards=specs, config=config, count=16)
    TrlBackend().train(job)
    count = len(shares) // 12
    first, last = shares[: 2 * count], shares[-2 * count :]
    assert sum(last) / len(last) > sum(first) / len(first) + 0.15


def test_a_model_of_another_kind_is_refused(nano, reward_model, step_model):
    for kind, folder, got in (
        (RewardModel, nano, "LlamaForCausalLM"),
        (RewardModel, step_model, "LlamaForTokenClassification"),
        (ProcessRewardVerifier, reward_model, "LlamaForSequenceClassification"),
    ):
        with pytest.raises(ConfigError, match=rf"must score with one number, got {got}"):
            _ = kind(folder).scorer


def test_bad_arguments_are_refused(reward_model):
    for kind, options, message in (
        (RewardModel, {"model": "/no/such/folder"}, "model must be a folder that exists or a hub id"),
        (RewardModel, {"model": reward_model, "batch_size": 0}, "batch_size must be an integer >= 1"),
        (RewardModelVerifier, {"model": reward_model, "threshold": 2}, r"threshold must be a number in \[0, 1\]"),
        (ProcessRewardVerifier, {"model": reward_model, "how": "mean"}, "how must be one of product, min, last"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            kind(**options)
