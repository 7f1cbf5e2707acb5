"""verl itself, on Ray: the recipe of RLHF, whose PPO breaks and then goes on."""

import itertools
import os
from pathlib import Path

import attrs
import numpy as np
import pytest
import yaml
from orbiter_verl.attempt import attempts
from orbiter_verl.backend import VerlBackend
from orbiter_verl.process import WorkerTraceback
from transformers import AutoModelForCausalLM
from verl_runs import Run

from orbiter.cli import main
from orbiter.errors import UserCodeError
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.flywheel.stages import training
from orbiter.ledger import RunIndex
from orbiter.train import RewardSpec
from orbiter.train import objectives as o

RECIPE = Path(__file__).parents[3] / "examples" / "recipes" / "rlhf.yaml"
SMALL = (
    "model.hidden_size=32", "model.layers=1", "model.heads=2", "environment.length=3", "verify.workers=0",
    "teach.max_steps=50", "teach.batch_size=32", "teach.learning_rate=1e-2", "teach.warmup_steps=5",
    "generate.tasks=16", "generate.samples=4", "evaluate.tasks=16", "evaluate.audit=20",
    "stages.reward.train.max_steps=2", "stages.reward.train.batch_size=16",
    "stages.ppo.train.max_steps=12", "stages.ppo.train.batch_size=8", "stages.ppo.train.learning_rate=1e-2",
    "stages.ppo.train.save_every=2", "stages.ppo.train.log_every=1",
    "stages.ppo.train.lr_scheduler=null", "stages.ppo.train.warmup_steps=0", "stages.ppo.train.weight_decay=0", "stages.ppo.train.adam_beta2=0.999",
    "stages.ppo.train.options.kl_coef=0.05", "stages.ppo.train.options.kl_target=0.02", "stages.ppo.train.options.kl_horizon=100",
    "stages.ppo.train.options.group_size=2", "stages.ppo.train.options.critic_learning_rate=null", "stages.ppo.train.options.max_response_length=8",
    "stages.ppo.train.options.device=cpu",
)  # fmt: skip
"""The recipe on a model of one layer that sorts three digits."""

pytestmark = pytest.mark.timeout(1200)  # seconds; a cluster starts slowly on a machine that is busy


def share_of_1(output):
    return output.count("1") / max(1, len(output))


@pytest.fixture(scope="module")
def rlhf(tmp_path_factory):
    """Return the job of PPO in a run of the recipe that broke after step 4, the error, and the result of the run, which went on."""
    folder = tmp_path_factory.mktemp("rlhf")
    flag, seen, jobs, results = str(folder / "broken"), [], [], []

    def moody(output):
        if os.path.exists(flag):
            raise ZeroDivisionError("the reward broke")
        return share_of_1(output)

    def rewards_of(wheel, turn, rewards_of=training.rewards_of):
        # A recipe names verifiers, whose errors are verdicts; this one is to raise, and to be easy to learn.
        return (*rewards_of(wheel, turn), RewardSpec(name="moody", weight=20, fn=moody))

    def prepare(self, job, prepare=VerlBackend.prepare):
        def on_metrics(step, metrics):
            seen.append(step)
            job.on_metrics(step, metrics)
            if step == 4 and len(seen) == 4:
                Path(flag).touch()

        def train():
            results.append(begin())
            return results[-1]

        jobs.append(attrs.evolve(job, on_metrics=None))
        begin = prepare(self, attrs.evolve(job, on_metrics=on_metrics))
        return train

    def turn():
        recipe = load_recipe(RECIPE, SMALL)
        return Flywheel(recipe, runs_dir=folder, base_dir=RECIPE.parent).run()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "rewards_of", rewards_of)
        patch.setattr(VerlBackend, "prepare", prepare)
        with pytest.raises(UserCodeError) as caught:
            turn()
        os.remove(flag)
        run = turn()
    return Run(jobs[-1], results[-1], seen), caught.value, run


@pytest.fixture(scope="module")
def ppo(rlhf):
    """Return the training with PPO, and the error that it ended with at first."""
    return rlhf[:2]


@pytest.mark.slow
@pytest.mark.xdist_group("verl-ppo")
class TestRlhf:
    def test_the_recipe_runs_through_its_three_stages(self, rlhf):
        run = rlhf[2]
        assert run.stopped is None
        assert [(row["round"], row.get("name", "")) for row in run.rounds] == [
            (0, ""),
            (1, "reward"),
            (2, "ppo"),
        ]
        last = run.rounds[-1]
        assert (last["steps"], last["held_out_valid"]) == (12, 16)
        assert last["spent"]["samples"] == rlhf[0].result.sample_count == 12 * 8 * 2

    def test_its_checkpoint_leads_back_to_the_model_that_rewarded_it(self, rlhf, capsys):
        run = rlhf[2]
        with RunIndex(run.path) as index:
            made = {checkpoint.path: checkpoint.base for checkpoint in index.checkpoints()}
        assert made["checkpoints/round-2/checkpoint"] == "checkpoints/round-0/checkpoint"
        assert main(["explain", str(run.path), "checkpoints/round-2"]) == 0
        assert "  rewarded by  checkpoints/round-1/checkpoint\n" in capsys.readouterr().out

    def test_the_trained_reward_model_scored_every_answer(self, ppo):
        samples = [s for row in ppo[0].rows for group in ppo[0].samples(row["step"]) for s in group]
        assert len({s.rewards["reward"] for s in samples}) > 10
        for sample in samples:
            expected = sample.rewards["reward"] + 20 * sample.rewards["moody"]
            assert sample.score == pytest.approx(expected, abs=1e-6)

    def test_nothing_is_warned_of(self, ppo):
        assert ppo[0].result.alarms == ()


@pytest.mark.slow
@pytest.mark.xdist_group("verl-ppo")
class TestPpo:
    def test_the_reward_rises(self, ppo):
        rewards = [row["rewards/moody"] for row in ppo[0].rows]
        assert np.mean(rewards[-3:]) > np.mean(rewards[:3]) + 0.25

    def test_a_reward_that_breaks_is_named_with_its_own_traceback(self, ppo):
        error = ppo[1]
        assert error.message.startswith(
            "no answer of several batches could be scored: moody: raised ZeroDivisionError ("
        )
        assert isinstance(error.__cause__, WorkerTraceback)
        assert "in moody" in str(error.__cause__)
        assert "ZeroDivisionError: the reward broke" in str(error.__cause__)
        assert "attempt-1/log.txt" in error.hint

    def test_it_goes_on_from_its_newest_checkpoint(self, ppo):
        run, _ = ppo
        first, second = attempts(run.folder / "verl")
        assert (first.start, second.start % 2) == (0, 0)
        assert second.start >= 4
        assert [row["step"] for row in run.rows] == list(range(1, 13))
        assert run.seen[-(12 - second.start) :] == list(range(second.start + 1, 13))
        config = yaml.safe_load((second.path / "config.yaml").read_text())
        assert config["trainer"]["resume_from_path"].endswith(f"global_step_{second.start}")

    def test_the_adaptive_weight_is_the_oracles_also_where_it_went_on(self, ppo):
        rows = ppo[0].rows
        assert rows[0]["kl_coef"] == pytest.approx(0.05)
        for row, after in itertools.pairwise(rows):
            expected = o.adaptive_kl_coef(
                row["kl_coef"], row["kl"], target=0.02, horizon=100, count=16
            )
            assert after["kl_coef"] == pytest.approx(expected, abs=1e-6)
        assert len({row["kl_coef"] for row in rows}) > 6

    def test_first_step_quantities_are_the_oracles(self, ppo):
        row, groups = ppo[0].rows[0], ppo[0].samples(1)
        samples = [sample for group in groups for sample in group]
        scores = np.array([sample.score for sample in samples])
        lengths = np.array([sample.token_count for sample in samples])
        # The policy is the reference, so there is no penalty yet; with discount and lambda 1 each token's return is the score.
        assert row["kl"] == pytest.approx(0, abs=1e-6)
        returns = np.repeat(scores, lengths)
        for name, found in (
            ("mean", returns.mean()),
            ("max", returns.max()),
            ("min", returns.min()),
        ):
            assert row[f"critic/returns/{name}"] == pytest.approx(found, abs=1e-5)
        # verl says the mean of the values and how much of the returns they explain; the value loss follows from both.
        unexplained = (1 - row["critic/vf_explained_var"]) * (returns.var(ddof=1) + 1e-5)
        spread = unexplained * (len(returns) - 1) / len(returns)
        bias = row["critic/values/mean"] - returns.mean()
        assert row["critic/vf_loss"] == pytest.approx(0.5 * (spread + bias**2), abs=1e-5)
        # Whitened advantages have mean 0, and so has the loss at a ratio of 1.
        assert row["critic/advantages/mean"] == pytest.approx(0, abs=1e-5)
        assert row["actor/pg_loss"] == pytest.approx(0, abs=1e-5)

    def test_rewards_hold_the_penalty_of_each_token(self, ppo):
        for row in ppo[0].rows:
            samples = [s for group in ppo[0].samples(row["step"]) for s in group]
            # kl is the mean over tokens, per answer; what each answer loses is the sum over its tokens.
            lost = row["critic/score/mean"] - row["critic/rewards/mean"]
            longest = max(s.token_count for s in samples)
            assert (
                abs(lost)
                <= row["kl_coef"] * longest * max(abs(row["kl"]) * len(samples), 1e-6) + 1e-6
            )
        assert any(row["critic/score/mean"] != row["critic/rewards/mean"] for row in ppo[0].rows)

    def test_nothing_is_left(self, ppo):
        assert not (ppo[0].folder / "resume").exists()
        assert AutoModelForCausalLM.from_pretrained(ppo[0].result.checkpoint) is not None
