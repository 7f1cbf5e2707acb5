"""verl itself, on Ray: GRPO through VeRLTrainer, which keeps the contract, and the recipe of RLHF, whose PPO breaks and then goes on."""

import asyncio
import contextlib
import itertools
import os
import sys
from pathlib import Path

import attrs
import numpy as np
import orjson
import pytest
import torch
import yaml
from attrs import frozen
from orbiter_verl.attempt import attempts
from orbiter_verl.backend import VerlBackend
from orbiter_verl.process import WorkerTraceback
from orbiter_verl.samples import Sample, SampleReader
from transformers import AutoModelForCausalLM, AutoTokenizer

from orbiter.cli import main
from orbiter.errors import BackendError, UserCodeError
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.flywheel.stages import training
from orbiter.ledger import RunIndex
from orbiter.testing import check_backend
from orbiter.train import RewardSpec, TrainResult, VeRLConfig, VeRLTrainer
from orbiter.train import objectives as o
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig

GROUP = 4
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


def share_of_a(output):
    return output.count("a") / max(1, len(output))


def share_of_1(output):
    return output.count("1") / max(1, len(output))


def on_the_path(output):
    """Say whether a worker would take a file of the present folder for a library."""
    return float(os.getcwd() in sys.path or "" in sys.path)


def in_a_fork(output):
    """Say whether a worker is a fork of the nursery, itself one of the driver."""
    parent = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    return float(b"orbiter_verl.driver" in parent)


def picky(output, task):
    """Cannot tell of some answers, and of one task's hardly ever can."""
    known = "abc" if task.answer == "h" else "adefgh"
    return 0.0 if output[:1] in known else None


@frozen
class Run:
    """A training that is done."""

    job: TrainJob
    result: TrainResult
    seen: list

    @property
    def folder(self) -> Path:
        return self.job.output_dir

    @property
    def rows(self) -> list[dict]:
        return [
            orjson.loads(line) for line in (self.folder / "metrics.jsonl").read_bytes().splitlines()
        ]

    def samples(self, step: int) -> list[list[Sample]]:
        """Return the samples of a step, by group."""
        found: dict[str, list[Sample]] = {}
        made = attempts(self.folder / "verl")
        mine = [a for a in made if a.start < step][-1]
        for sample in SampleReader(mine.samples).read():
            if sample.step == step and sample.split == "train":
                found.setdefault(sample.group, []).append(sample)
        return list(found.values())


@pytest.fixture(scope="module")
def grpo(nano, data, tmp_path_factory) -> Run:
    """Return the first of the two trainings by which the backend is held to its contract; it is VeRLTrainer's."""
    job = TrainJob(
        algorithm="grpo",
        model=str(nano),
        data=data,
        eval_data=data,
        output_dir=tmp_path_factory.mktemp("grpo"),
        config=TrainConfig(max_steps=12, batch_size=4, learning_rate=2e-2, log_every=1, eval_every=6, seed=1),
        rewards=(
            RewardSpec(name="a", fn=share_of_a),
            RewardSpec(name="picky", weight=0.5, fn=picky),
            RewardSpec(name="on_the_path", weight=0, fn=on_the_path),
            RewardSpec(name="in_a_fork", weight=0, fn=in_a_fork),
        ),
        options={"group_size": GROUP, "max_prompt_length": 16, "max_response_length": 8, "device": "cpu"},
    )  # fmt: skip
    runs = []

    class Trained(VerlBackend):
        """Trains in one folder as VeRLTrainer has it, and elsewhere as it is: the same weights are then the same for both."""

        def train(self, job):
            if job.output_dir.name != "first":
                return super().train(job)
            seen = []

            class Watched(VeRLTrainer):
                def _announce(self, step, metrics):
                    seen.append(step)
                    if job.on_metrics is not None:
                        job.on_metrics(step, metrics)

            trainer = Watched(
                VeRLConfig(**attrs.asdict(job.config, recurse=False)),
                rewards=job.rewards,
                model=job.model,
                dataset=job.data,
                eval_data=job.eval_data,
                output_dir=job.output_dir,
                options=job.options,
            )
            metrics = asyncio.run(trainer.train())
            assert metrics == trainer.result.metrics
            runs.append(Run(attrs.evolve(trainer.job, on_metrics=None), trainer.result, seen))
            return trainer.result

    with contextlib.chdir(tmp_path_factory.mktemp("present")):
        check_backend(Trained, job)
    return runs[0]


@pytest.mark.slow
@pytest.mark.xdist_group("verl-grpo")
class TestGrpo:
    def test_the_reward_rises(self, grpo):
        rewards = [row["rewards/a"] for row in grpo.rows]
        assert np.mean(rewards[-3:]) > np.mean(rewards[:3]) + 0.25
        assert grpo.result.metrics.reward == grpo.rows[-1]["reward"]
        assert grpo.result.metrics.steps == 12

    def test_advantages_are_the_oracles_and_what_has_no_score_has_none(self, grpo):
        lone = 0
        for row in grpo.rows:
            advantages, weights, scores = [], [], []
            for group in grpo.samples(row["step"]):
                assert len(group) == GROUP
                valid = np.array([sample.score is not None for sample in group])
                if valid.sum() < 2:
                    lone += valid.sum()
                    continue
                given = np.array(
                    [[0.0 if sample.score is None else sample.score for sample in group]]
                )
                found = o.group_advantages(given, valid=valid[None], eps=1e-6)[0]
                advantages += list(found[valid])
                weights += [sample.token_count for sample, on in zip(group, valid) if on]
                scores += list(given[0][valid])
            mean = np.average(advantages, weights=weights)
            assert row["critic/advantages/mean"] == pytest.approx(mean, abs=1e-5)
            assert row["critic/advantages/max"] == pytest.approx(max(advantages), abs=1e-5)
            assert row["critic/advantages/min"] == pytest.approx(min(advantages), abs=1e-5)
            assert row["critic/score/mean"] == pytest.approx(np.mean(scores), abs=1e-5)
            # At the first update of a batch the ratio is 1, so that the loss is minus the advantage, averaged over tokens.
            ratio = np.ones((1, len(advantages)))
            loss = o.clipped_policy_loss(ratio, np.array([advantages]))
            assert row["actor/pg_loss"] == pytest.approx(
                np.average(loss[0], weights=weights), abs=1e-5
            )
            kl_loss = row["actor/kl_loss"]
            assert row["loss"] == pytest.approx(row["actor/pg_loss"] + 0.001 * kl_loss, abs=1e-5)
        assert lone  # the case was there
        assert grpo.rows[0]["actor/kl_loss"] == pytest.approx(0, abs=1e-6)

    def test_what_has_no_score_is_counted_and_said(self, grpo):
        missing = [
            sum(s.score is None for group in grpo.samples(row["step"]) for s in group)
            for row in grpo.rows
        ]
        assert [row["unscored"] for row in grpo.rows] == missing
        total = 12 * 4 * GROUP
        assert f"{sum(missing)} of {total} answers could not be scored: picky: returned None ({sum(missing)})" in grpo.result.alarms  # fmt: skip
        for row in grpo.rows:
            scored = [
                s for group in grpo.samples(row["step"]) for s in group if s.score is not None
            ]
            assert row["reward"] == pytest.approx(np.mean([s.score for s in scored]))
            assert row["rewards/a"] == pytest.approx(np.mean([s.rewards["a"] for group in grpo.samples(row["step"]) for s in group]))  # fmt: skip

    def test_a_file_of_the_present_folder_is_no_library_to_a_worker(self, grpo):
        assert {row["rewards/on_the_path"] for row in grpo.rows} == {0}

    @pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux alone")
    def test_the_workers_are_forks(self, grpo):
        assert {row["rewards/in_a_fork"] for row in grpo.rows} == {1}

    def test_metrics_come_in_order_and_are_told(self, grpo):
        steps = [row["step"] for row in grpo.rows]
        assert steps == grpo.seen == list(range(1, 13))
        assert [row["step"] for row in grpo.rows if "eval_reward" in row] == [6, 12]
        assert grpo.result.metrics.extra["eval_reward"] == grpo.rows[-1]["eval_reward"]
        counts = [
            sum(s.token_count for group in grpo.samples(n) for s in group if s.score is not None)
            for n in steps
        ]
        assert grpo.result.token_count == sum(counts) == grpo.rows[-1]["token_count"]
        assert grpo.result.sample_count == 12 * 4 * GROUP

    def test_the_rollout_and_the_training_agree(self, grpo):
        assert max(row["training/rollout_probs_diff_max"] for row in grpo.rows) < 1e-5

    def test_the_checkpoint_is_a_model_of_transformers(self, grpo):
        model = AutoModelForCausalLM.from_pretrained(grpo.result.checkpoint, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(grpo.result.checkpoint)
        chat = tokenizer.apply_chat_template([{"role": "user", "content": "say b:"}], add_generation_prompt=True, return_tensors="pt")  # fmt: skip
        answer = model.generate(**chat, max_new_tokens=6, do_sample=False)[
            0, chat["input_ids"].shape[1] :
        ]
        assert share_of_a(tokenizer.decode(answer, skip_special_tokens=True)) > 0.5
        start = AutoModelForCausalLM.from_pretrained(grpo.job.model)
        assert not torch.equal(model.lm_head.weight, start.lm_head.weight)

    def test_what_verl_was_told_is_there_and_what_was_secret_is_not(self, grpo):
        attempt = grpo.folder / "verl/attempt-1"
        config = yaml.safe_load((attempt / "config.yaml").read_text())
        assert config["algorithm"]["adv_estimator"] == "grpo"
        assert config["actor_rollout_ref"]["rollout"]["n"] == GROUP
        assert not (attempt / "rewards.pkl").exists()
        assert not (grpo.folder / "resume").exists()

    def test_a_job_that_is_done_is_not_done_again(self, grpo):
        assert VerlBackend().train(grpo.job) == grpo.result
        assert len(attempts(grpo.folder / "verl")) == 1

    def test_another_job_in_its_folder_is_refused(self, grpo):
        other = attrs.evolve(grpo.job, options={**grpo.job.options, "kl_coef": 0.5})
        with pytest.raises(BackendError, match="must be new or hold the same job"):
            VerlBackend().train(other)


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
