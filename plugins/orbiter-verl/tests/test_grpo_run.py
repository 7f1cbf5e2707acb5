"""verl itself, on Ray: GRPO through VeRLTrainer, which keeps the contract."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
import yaml
from orbiter_verl.attempt import attempts
from orbiter_verl.backend import VerlBackend
from transformers import AutoModelForCausalLM, AutoTokenizer
from verl_runs import Run

from orbiter.errors import BackendError
from orbiter.testing import check_backend
from orbiter.train import RewardSpec, VeRLConfig, VeRLTrainer
from orbiter.train import objectives as o
from orbiter.train.backend import TrainJob
from orbiter.train.config import TrainConfig

GROUP = 4

pytestmark = pytest.mark.timeout(1200)  # seconds; a cluster starts slowly on a machine that is busy


def share_of_a(output):
    return output.count("a") / max(1, len(output))


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
