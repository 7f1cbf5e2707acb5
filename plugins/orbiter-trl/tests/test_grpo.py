import re

import orjson
import pytest
from orbiter_trl.backend import TrlBackend
from orbiter_trl.groups import PassSampler
from orbiter_trl.reward_model import RewardModel
from safetensors.numpy import load_file
from trl.trainer.utils import RepeatSampler

from orbiter.errors import BackendError, ConfigError
from orbiter.records import Task
from orbiter.train.backend import TrainJob
from orbiter.train.config import LoraConfig, TrainConfig
from orbiter.train.rewards import Rewards, RewardSpec
from orbiter.train.tally import Tally
from orbiter.verify.regex import RegexVerifier

CONFIG = TrainConfig(max_steps=4, batch_size=16, learning_rate=3e-3, log_every=1)
OPTIONS = {"num_generations": 4, "max_completion_length": 6}


def digit_share(output: str) -> float:
    return sum(c.isdigit() for c in output) / 6


@pytest.fixture
def job(nano, tasks, write, tmp_path):
    def make(name="out", **changes):
        return TrainJob(
            **{
                "algorithm": "grpo",
                "model": str(nano),
                "data": write(tasks(20), "tasks.jsonl"),
                "output_dir": tmp_path / name,
                "config": CONFIG,
                "options": OPTIONS,
                "rewards": (RewardSpec(name="digits", fn=digit_share),),
                **changes,
            }
        )

    return make


def metrics_of(job):
    return [
        orjson.loads(line) for line in (job.output_dir / "metrics.jsonl").read_bytes().splitlines()
    ]


def test_grpo_raises_the_reward(job):
    config = TrainConfig(max_steps=40, batch_size=64, learning_rate=2e-2, log_every=1)
    one = job(config=config)
    result = TrlBackend().train(one)
    logged = [row["reward"] for row in metrics_of(one)]
    assert sum(logged[-5:]) / 5 > sum(logged[:5]) / 5 + 0.2
    assert result.metrics.reward == logged[-1]
    assert result.metrics.steps == 40
    # The reward ends at its bound, where every answer of a group gets it.
    assert 0.5 < result.metrics.extra["flat_group_ratio"] < 1
    assert len(result.alarms) == 1
    assert 40 * 64 <= result.token_count <= 40 * 64 * 6


def test_rewards_get_their_task_and_are_summed_by_weight(job, tasks):
    seen = []

    def against(output: str, task: Task) -> float:
        seen.append(task)
        return float(output[:1] == task.answer[:1])

    one = job(
        rewards=(
            RewardSpec(name="digits", weight=0.5, fn=digit_share),
            RewardSpec(name="right", weight=2.0, fn=against),
        )
    )
    TrlBackend().train(one)
    known = tasks(20)
    assert len(seen) == 4 * 16
    assert all(task in known for task in seen)
    # Four prompts a step, none twice in a pass over the tasks.
    assert len({task.task_id for task in seen}) == 16
    # Samples of one prompt stand side by side.
    assert all(seen[i : i + 4].count(seen[i]) == 4 for i in range(0, len(seen), 4))
    for row in metrics_of(one):
        assert row["reward"] == pytest.approx(
            0.5 * row["rewards/digits"] + 2.0 * row["rewards/right"], abs=1e-5
        )


def test_a_reward_by_the_same_name_that_judges_otherwise_is_another_job(job, reward_model):
    config = TrainConfig(max_steps=1, batch_size=4)

    def train(fn):
        spec = (
            RewardSpec.from_verifier(fn)
            if isinstance(fn, RegexVerifier)
            else RewardSpec(name="regex", fn=fn)
        )
        return TrlBackend().train(job(config=config, rewards=(spec,)))

    first = train(RegexVerifier("[0-4]"))
    assert train(RegexVerifier("[0-4]")) == first
    for other in (RegexVerifier("[5-9]"), RewardModel(reward_model), digit_share):
        with pytest.raises(BackendError, match="whose job differs in rewards"):
            train(other)


def test_held_out_answers_are_measured_and_not_counted(job, tasks, write):
    held_out = write([Task("held", "held:1", tasks(1)[0].messages, "x")], "held.jsonl")

    def judge(output: str, task: Task) -> float | None:
        return None if task.env == "held" and output > "5" else float(task.env == "held")

    one = job(
        eval_data=held_out,
        config=TrainConfig(
            max_steps=2, batch_size=16, learning_rate=3e-3, log_every=1, eval_every=1
        ),
        options=OPTIONS | {"num_generations_eval": 16},
        rewards=(RewardSpec(name="judge", fn=judge),),
    )
    result = TrlBackend().train(one)
    assert {row["eval_reward"] for row in metrics_of(one) if "eval_reward" in row} == {1.0}
    assert result.sample_count == 2 * 16
    assert result.alarms == ("8 of 8 groups (100%) have no variance of reward and teach nothing",)


def test_an_unscored_answer_moves_nothing_and_is_counted(job, nano):
    def half_blind(output: str) -> float | None:
        return None if "0" in output or "1" in output else 1.0

    result = TrlBackend().train(job(rewards=(RewardSpec(name="judge", fn=half_blind),)))
    assert result.metrics.reward == 1.0
    flat, unscored = result.alarms
    assert flat == "16 of 16 groups (100%) have no variance of reward and teach nothing"
    assert re.fullmatch(
        r"(\d+) of 64 answers could not be scored: judge: returned None \(\1\)", unscored
    )
    before, after = (
        load_file(nano / "model.safetensors"),
        load_file(result.checkpoint / "model.safetensors"),
    )
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize(("max_steps", "batches"), [(20, 16), (1, 1)])
def test_a_training_that_nobody_scores_ends_in_an_error_and_leaves_no_checkpoint(
    job, max_steps, batches
):
    asked = []

    def unable(output: str) -> float | None:
        asked.append(output)

    one = job(
        rewards=(RewardSpec(name="judge", fn=unable),),
        config=TrainConfig(max_steps=max_steps, batch_size=4),
        options={"num_generations": 2, "max_completion_length": 4},
    )
    said = (
        f"{batches} batches in a row, {4 * batches} answers, could be scored: judge: returned None"
    )
    with pytest.raises(BackendError, match=f"no answer of {said}"):
        TrlBackend().train(one)
    assert len(asked) == 4 * batches
    assert not (one.output_dir / "checkpoint").exists()


class Crash(Exception):
    pass


@pytest.mark.parametrize(
    ("algorithm", "count", "options"),
    [
        ("grpo", 20, {}),
        ("rloo", 8, {}),  # the second pass over the tasks
        ("grpo", 20, {"beta": 0.5, "sync_ref_model": True, "ref_model_sync_steps": 1}),
    ],
    ids=["first-pass", "later-pass", "moving-reference"],
)
def test_a_crashed_run_goes_on_and_ends_in_the_same_weights(
    job, tasks, write, algorithm, count, options
):
    def crash(step, _):
        if step == 3:
            raise Crash

    config = TrainConfig(max_steps=4, batch_size=16, learning_rate=3e-3, log_every=1, save_every=2)
    same = {
        "algorithm": algorithm,
        "config": config,
        "data": write(tasks(count), "some.jsonl"),
        "options": OPTIONS | options,
    }
    straight = TrlBackend().train(job("straight", **same))
    with pytest.raises(Crash):
        TrlBackend().train(job("crashed", on_metrics=crash, **same))
    steps = []
    resumed = TrlBackend().train(
        job("crashed", on_metrics=lambda step, _: steps.append(step), **same)
    )
    assert steps == [3, 4]
    assert (resumed.checkpoint / "model.safetensors").read_bytes() == (
        straight.checkpoint / "model.safetensors"
    ).read_bytes()
    assert (resumed.token_count, resumed.alarms) == (straight.token_count, straight.alarms)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
def test_a_penalty_on_divergence_from_the_first_model_is_measured(job, lora):
    one = job(
        options={**OPTIONS, "beta": 0.1},
        config=TrainConfig(max_steps=3, batch_size=16, learning_rate=3e-3, log_every=1, lora=lora),
    )
    TrlBackend().train(one)
    kl = [row["kl"] for row in metrics_of(one)]
    assert kl[0] == pytest.approx(0, abs=1e-6)
    assert kl[-1] > 0


def test_prompts_that_leave_no_room_for_an_answer_are_an_alarm(job):
    result = TrlBackend().train(
        job(
            config=TrainConfig(max_steps=1, batch_size=4),
            options={"num_generations": 2, "max_completion_length": 54},
        )
    )
    assert (
        "20 of 20 prompts and max_completion_length=54 together are longer than the model's context of 64 tokens"
        in result.alarms
    )


def test_a_batch_that_splits_a_group_is_refused_by_check(job):
    with pytest.raises(
        ConfigError,
        match=r"options or config must fit GRPOConfig: generation_batch_size \(6\) must be divisible",
    ):
        TrlBackend().check(job(config=TrainConfig(batch_size=6)))


def test_a_tally_counts_groups_and_reasons():
    def rewards(*scores):
        return Rewards(
            scores=scores, reasons=tuple("r: raised" if s is None else None for s in scores)
        )

    tally = Tally()
    tally.count_rewards(rewards(1.0, 0.0, 1.0, None), group_size=2)
    tally.count_rewards(rewards(0.5, 0.5, None, None), group_size=2)
    assert tally == Tally(
        sample_count=8, unscored={"r: raised": 3}, group_count=4, flat_group_count=3
    )
    tally.check_scored(ended=True)
    assert tally.alarms() == [
        "3 of 4 groups (75%) have no variance of reward and teach nothing",
        "3 of 8 answers could not be scored: r: raised (3)",
    ]
    assert Tally().alarms() == []


def test_each_pass_has_the_order_of_a_run_of_trl_that_is_never_stopped():
    def sampler():
        return RepeatSampler(list(range(12)), mini_repeat_count=2, batch_size=4, seed=7)

    never_stopped = sampler()
    orders = [list(never_stopped) for _ in range(3)]
    assert orders[0] != orders[1] != orders[2]
    for number, order in enumerate(orders):
        ours = PassSampler(sampler(), seed=7)
        ours.set_epoch(number)
        assert list(ours) == list(ours) == order
