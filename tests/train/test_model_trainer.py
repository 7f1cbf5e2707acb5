import json
import threading
from typing import ClassVar

import pytest

from orbiter import hookimpl
from orbiter.errors import (
    BackendError,
    ConfigError,
    LifecycleError,
    MissingPluginError,
    RecordError,
)
from orbiter.hookspecs import MetricsEvent
from orbiter.plugin import plugin_manager
from orbiter.records import Message, Pair, Task, Trajectory, TrajectoryItem
from orbiter.train.backend import Backend, TrainJob, TrainResult
from orbiter.train.config import TrainConfig, TrainMetrics
from orbiter.train.dataset import TrajectoryDataset
from orbiter.train.job_folder import JobFolder
from orbiter.train.lifecycle import TrainerState
from orbiter.train.model_trainer import ModelTrainer
from orbiter.train.rewards import RewardSpec
from orbiter.train.trainer import TrainerResult

USER, ANSWER, WRONG = Message("user", "2+2"), Message("assistant", "4"), Message("assistant", "5")
TRAJECTORY = Trajectory((USER, ANSWER), "sums", "sums:0", 1.0)
TASK = Task("sums", "sums:0", (USER,))
PAIR = Pair((USER,), (ANSWER,), (WRONG,))
EXTRA = {"eval_loss": 0.25, "eval_mean_token_accuracy": 0.75}


class CountingBackend(Backend):
    """Learns nothing but the number of its rows."""

    name = "counting"
    algorithms: ClassVar = {"sft": Trajectory, "grpo": Task, "dpo": Pair}

    def __init__(self):
        self.job = None

    def check(self, job):
        if "bad" in job.options:
            raise ConfigError("options must not be bad, got 'bad'")

    def train(self, job):
        if "broken" in job.options:
            raise BackendError("broken")
        self.job, self.thread = job, threading.current_thread()
        self.rows = [json.loads(line) for line in job.data.read_text().splitlines()]
        job.on_metrics(1, {"loss": 0.5})
        extra = {} if job.eval_data is None else EXTRA
        metrics = TrainMetrics(loss=0.5, steps=len(self.rows), extra=extra)
        return TrainResult(checkpoint=job.output_dir / "checkpoint", metrics=metrics)


@pytest.fixture
def backend():
    return CountingBackend()


@pytest.fixture
def trainer(backend, tmp_path):
    def make(model="tiny", **options):
        return ModelTrainer(
            model, **{"backend": backend, "output_dir": tmp_path / "run", **options}
        )

    return make


async def test_a_run_trains_with_the_backend(trainer, backend, tmp_path):
    config = TrainConfig(epochs=2)
    made = trainer(data=[TRAJECTORY], eval_data=[TRAJECTORY] * 2, config=config, options={"x": 1})
    assert await made.run() == TrainerResult(
        train_metrics=TrainMetrics(loss=0.5, steps=1, extra=EXTRA),
        eval_metrics=TrainMetrics(loss=0.25, accuracy=0.75, steps=1),
    )
    assert made.state is TrainerState.COMPLETE
    assert made.result.checkpoint == tmp_path / "run" / "checkpoint"
    job = backend.job
    assert (job.algorithm, job.model, job.config, job.rewards, job.options) == (
        "sft",
        "tiny",
        config,
        (),
        {"x": 1},
    )
    assert backend.rows == [TRAJECTORY.to_row()]
    assert len(job.eval_data.read_text().splitlines()) == 2
    assert backend.thread is threading.current_thread()


class HandingOnBackend(CountingBackend):
    """Reads its rows in the check, and hands them on."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def check(self, job):
        self.calls.append("check")
        super().check(job)

    def prepare(self, job):
        self.calls.append("prepare")
        super().check(job)

        def train():
            self.calls.append("run")
            return super(HandingOnBackend, self).train(job)

        return train


async def test_what_the_check_made_is_what_trains(trainer):
    """What a backend reads in its check, it need not read again."""
    backend = HandingOnBackend()
    made = trainer(data=[TRAJECTORY], backend=backend)
    await made.validate()
    assert backend.calls == ["prepare"]
    await made.train()
    assert backend.calls == ["prepare", "run"]
    assert made.result.metrics.steps == 1


async def test_nothing_measured_is_none(trainer):
    result = await trainer(data=[TRAJECTORY]).run()
    assert result.eval_metrics == TrainMetrics(steps=1)


async def test_a_file_is_used_where_it_is(trainer, backend, tmp_path):
    path = tmp_path / "kept.jsonl"
    path.write_text(json.dumps(TRAJECTORY.to_row()) + "\n")
    await trainer(data=str(path)).run()
    assert backend.job.data == path
    assert not (tmp_path / "run").exists()


ITEM = TrajectoryItem("2+2", "4", 0.5, {"env": "sums", "task_id": "sums:0"})
FROM_ITEM = Trajectory((USER, ANSWER), "sums", "sums:0", 0.5, metadata=ITEM.metadata)


@pytest.mark.parametrize(
    ("algorithm", "item", "expected"),
    [
        ("sft", TRAJECTORY, TRAJECTORY),
        ("sft", ITEM, FROM_ITEM),
        ("sft", TrajectoryItem([USER.to_row()], ANSWER.to_row(), 0.5, ITEM.metadata), FROM_ITEM),
        ("grpo", TASK, TASK),
        ("grpo", TRAJECTORY, TASK),
        ("grpo", ITEM, Task("sums", "sums:0", (USER,), metadata=ITEM.metadata)),
        ("dpo", PAIR, PAIR),
    ],
)
async def test_data_becomes_the_records_of_the_algorithm(
    trainer, backend, algorithm, item, expected
):
    dataset = [item]
    if isinstance(item, TrajectoryItem):
        dataset = TrajectoryDataset()
        dataset.capture(item)
    rewards = [RewardSpec(name="r", fn=len)] if algorithm == "grpo" else []
    await trainer(data=dataset, algorithm=algorithm, rewards=rewards).run()
    assert backend.rows == [expected.to_row()]


async def test_turns_in_the_state_of_an_item_are_prompt(trainer, backend):
    shown = [USER.to_row(), ANSWER.to_row(), USER.to_row()]
    await trainer(data=[TrajectoryItem(shown, ANSWER.to_row(), 0.5, ITEM.metadata)]).run()
    row = Trajectory.from_row(backend.rows[0])
    assert (len(row.prompt), row.score) == (3, 0.5)


async def test_items_without_a_task_are_named_by_their_prompt(trainer, backend):
    await trainer(
        data=[TrajectoryItem("a", "b"), TrajectoryItem("c", "d"), TrajectoryItem("a", "e")]
    ).run()
    ids = [row["task_id"] for row in backend.rows]
    assert ids[0] == ids[2] != ids[1]
    assert {row["score"] for row in backend.rows} == {None}


@pytest.mark.parametrize(
    ("algorithm", "item", "message"),
    [
        ("sft", TASK, "item 2: must be a Trajectory, got Task"),
        ("dpo", ITEM, "item 2: must be a Pair, got TrajectoryItem"),
        ("sft", "text", "item 2: must be a Trajectory, got 'text'"),
        (
            "sft",
            TrajectoryItem({"x": 1}, "a"),
            "item 2: field 'state' must be a text or chat messages",
        ),
        ("sft", TrajectoryItem("s", 3), "item 2: field 'action' must be a text or chat messages"),
        ("sft", TrajectoryItem([], "a"), "item 2: field 'state' must hold a message, got none"),
    ],
)
async def test_an_item_of_another_kind_is_named(trainer, algorithm, item, message):
    first = {"sft": TRAJECTORY, "dpo": PAIR}[algorithm]
    made = trainer(data=[first, item], algorithm=algorithm)
    with pytest.raises(RecordError) as caught:
        await made.run()
    assert caught.value.message.startswith(message)
    assert made.state is TrainerState.ERROR


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": None}, ConfigError, "model must be a model id or a folder, got None"),
        ({"model": ""}, ConfigError, "model must be a model id or a folder, got ''"),
        ({"data": None}, ConfigError, "dataset must have rows, got none"),
        ({"data": []}, ConfigError, "dataset must have rows, got none"),
        ({"data": "absent.jsonl"}, ConfigError, "dataset must be a file, got 'absent.jsonl'"),
        (
            {"algorithm": "sfft"},
            ConfigError,
            "algorithm of the backend 'counting' must be one of sft, grpo, dpo, got 'sfft'; did you mean 'sft'?",
        ),
        ({"algorithm": "grpo"}, ConfigError, "rewards must be at least one RewardSpec, got none"),
        (
            {"rewards": [len]},
            ConfigError,
            "a reward must be a RewardSpec, got <built-in function len>",
        ),
        ({"options": {"bad": 1}}, ConfigError, "options must not be bad, got 'bad'"),
        (
            {"backend": "verl"},
            MissingPluginError,
            "backend 'verl' needs the plugin orbiter-verl, which is not loaded",
        ),
    ],
)
async def test_what_cannot_work_is_found_while_validating(
    trainer, monkeypatch, options, error, message
):
    monkeypatch.setenv("ORBITER_PLUGINS", "")
    plugin_manager.cache_clear()
    made = trainer(**{"data": [TRAJECTORY], **options})
    try:
        with pytest.raises(error) as caught:
            await made.validate()
    finally:
        plugin_manager.cache_clear()
    assert caught.value.message == message
    assert (made.state, made.error, made.result) == (TrainerState.ERROR, caught.value, None)


async def test_a_backend_that_fails_ends_the_run(trainer):
    made = trainer(data=[TRAJECTORY], options={"broken": True})
    with pytest.raises(BackendError, match="broken"):
        await made.run()
    assert made.state is TrainerState.ERROR


class TestTrainAlone:
    async def test_validates_first(self, trainer, backend):
        made = trainer()
        assert (await made.train([TRAJECTORY])).steps == 1
        assert (made.state, made.dataset) == (TrainerState.TRAINED, [TRAJECTORY])
        assert await made.evaluate() == TrainMetrics(steps=1)

    async def test_after_validate(self, trainer):
        made = trainer(data=[TRAJECTORY])
        await made.validate()
        assert (await made.train()).steps == 1

    async def test_reports_what_is_missing(self, trainer):
        made = trainer()
        with pytest.raises(ConfigError, match="dataset must have rows, got none"):
            await made.train()
        assert made.state is TrainerState.ERROR

    async def test_happens_once(self, trainer):
        made = trainer(data=[TRAJECTORY])
        await made.train()
        with pytest.raises(
            LifecycleError, match="must be validated to become training, got trained"
        ):
            await made.train()

    async def test_takes_other_data_before_the_checks_alone(self, trainer):
        made = trainer(data=[TRAJECTORY])
        await made.validate()
        with pytest.raises(
            LifecycleError, match="must be created to take a dataset, got validated"
        ):
            await made.train([TRAJECTORY] * 2)

    async def test_evaluate_comes_after(self, trainer):
        with pytest.raises(LifecycleError, match="must be trained to be evaluated, got created"):
            await trainer(data=[TRAJECTORY]).evaluate()


async def test_metrics_are_announced(trainer, tmp_path):
    events = []

    class Listener:
        @hookimpl
        def orbiter_on_metrics(self, event):
            events.append(event)

    listener = Listener()
    plugin_manager().register(listener)
    try:
        await trainer(data=[TRAJECTORY]).run()
    finally:
        plugin_manager().unregister(listener)
    assert events == [MetricsEvent(run=str(tmp_path / "run"), step=1, metrics={"loss": 0.5})]


async def test_the_data_of_a_folder_that_holds_a_job_are_not_replaced(trainer, tmp_path):
    await trainer(data=[TRAJECTORY]).run()
    first = (tmp_path / "run/data.jsonl").read_bytes()
    await trainer(data=[TRAJECTORY] * 2).run()  # nobody had noted down a job there
    JobFolder(tmp_path / "run").claim(make_job(tmp_path / "run"))
    with pytest.raises(
        ConfigError, match=r"output_dir must be new or hold the same job, .*another data"
    ):
        await trainer(data=[TRAJECTORY]).run()
    kept = (tmp_path / "run/data.jsonl").read_bytes()
    assert kept == first * 2
    await trainer(data=[TRAJECTORY] * 2).run()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["data.jsonl", "job.json"]


def make_job(folder):
    return TrainJob(
        algorithm="sft", model="tiny", data=folder / "data.jsonl", output_dir=folder, config=TrainConfig()
    )  # fmt: skip


def test_the_default_folder_is_named_by_the_algorithm():
    assert str(ModelTrainer("m", algorithm="sft").output_dir) == "runs/sft"
