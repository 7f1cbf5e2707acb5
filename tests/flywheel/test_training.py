"""Which data a training stage gets, and what the ledger says of it, with a backend that only writes a scripted checkpoint."""

import json

import pytest

from orbiter.errors import ConfigError
from orbiter.flywheel import Flywheel, load_recipe
from orbiter.jsonl import read_objects
from orbiter.ledger import RunIndex

PARTS = """
import json
import shutil
from orbiter.records import Pair, Task, Trajectory
from orbiter.train.backend import Backend, TrainResult
from orbiter.train.config import TrainMetrics

class Copying(Backend):
    '''Keeps the data of the job beside a checkpoint of the scripted policy.'''
    name = "copying"
    algorithms = {"sft": Trajectory, "grpo": Task, "dpo": Pair}
    def check(self, job):
        pass
    def train(self, job):
        job.output_dir.mkdir(parents=True, exist_ok=True)
        shutil.copy(job.data, job.output_dir / "data.jsonl")
        (job.output_dir / "scripted.json").write_text(json.dumps({"accuracy": 0.0}))
        return TrainResult(checkpoint=job.output_dir, metrics=TrainMetrics(steps=1))
"""

RECIPE = """\
name: trained
rounds: 2
model: {id: some-model}
environment: {name: sorting, length: 5}
policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 5}}
generate: {tasks: 10, samples: 4}
train: {backend: mine.py:Copying, algorithm: ALGORITHM}
evaluate: {tasks: 5, audit: 0}
verify: {workers: 0}
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "mine.py").write_text(PARTS)

    def run(algorithm, *, more=""):
        (tmp_path / "recipe.yaml").write_text(RECIPE.replace("ALGORITHM", algorithm) + more)
        recipe = load_recipe(tmp_path / "recipe.yaml")
        return Flywheel(recipe, runs_dir=tmp_path / "runs", base_dir=tmp_path).run()

    return run


def test_rows_are_what_sft_trains_on_and_leads_back_to(run):
    result = run("sft")
    rows = [row for _, row in read_objects(result.path / "checkpoints/round-1/data.jsonl")]
    with RunIndex(result.path) as index:
        assert len(index.find(checkpoint="checkpoints/round-1")) == len(rows) > 0


def test_tasks_are_what_grpo_trains_on_and_no_row_is_said_to_have_taught_it(run):
    """From round 2 on no answer passes, so that there are no rows; grpo needs none."""
    result = run("grpo")
    assert [row["kept"] > 0 for row in result.rounds[1:]] == [True, False]
    for number in (1, 2):
        folder = result.path / f"checkpoints/round-{number}"
        tasks = [row["task_id"] for _, row in read_objects(folder / "data.jsonl")]
        assert len(tasks) == 10
    with RunIndex(result.path) as index:
        assert index.find(checkpoint="checkpoints/round-1") == []
    events = [json.loads(line) for line in (result.path / "rounds.jsonl").read_bytes().splitlines()]
    written = [event for event in events if event["event"] == "checkpoint_written"]
    assert [event["tasks"] for event in written] == [
        "data/round-1-tasks.jsonl",
        "data/round-2-tasks.jsonl",
    ]


def test_algorithm_that_a_stage_has_no_data_for_is_refused_before_the_run(run, tmp_path):
    with pytest.raises(ConfigError, match=r"train stage must train on Trajectory or Task.*Pair"):
        run("dpo")
    with pytest.raises(ConfigError, match=r"teach stage must train on Trajectory, and 'grpo'"):
        run("sft", more="teach: {backend: mine.py:Copying, algorithm: grpo}\n")
    assert not (tmp_path / "runs").exists()
