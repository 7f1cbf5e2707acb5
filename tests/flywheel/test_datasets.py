"""What a round trains on, joined of files that runs and people write."""

import pytest

from orbiter import jsonl
from orbiter.errors import RecordError
from orbiter.records import Message, Pair, Trajectory

PARTS = """
from orbiter.records import Pair, Trajectory
from orbiter.train.backend import Backend, TrainResult
from orbiter.train.config import TrainMetrics

class Keeping(Backend):
    '''Trains nothing.'''
    name = "keeping"
    algorithms = {"sft": Trajectory, "dpo": Pair}
    def check(self, job): pass
    def train(self, job):
        job.output_dir.mkdir(parents=True, exist_ok=True)
        (job.output_dir / "scripted.json").write_text('{"accuracy": 0.4}')
        return TrainResult(checkpoint=job.output_dir, metrics=TrainMetrics(steps=1))
"""

HEAD = """\
name: datasets
model: {id: some-model}
environment: {name: sorting, length: 6}
policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 6}}
generate: {tasks: 10, samples: 4}
evaluate: {tasks: 0, audit: 0}
verify: {workers: 0}
stages:
  mixed: {generate: {}, data: DATA, train: {backend: "mine.py:Keeping", algorithm: ALGORITHM}}
"""


def trained_on(wheel, data, algorithm="sft"):
    result = wheel(text=HEAD.replace("DATA", data).replace("ALGORITHM", algorithm)).run()
    return result.path / "data/round-1.jsonl"


@pytest.mark.parametrize("data", ["[mine.jsonl, mixed]", "{mine.jsonl: 1, mixed: 1}"])
def test_a_file_may_end_without_a_newline(wheel, tmp_path, data):
    turns = (Message("user", "hi"), Message("assistant", "ho"))
    rows = [jsonl.dumps(Trajectory(turns, "mine", f"mine:{n}", 1.0)) for n in range(3)]
    (tmp_path / "mine.jsonl").write_bytes(b"\n".join(rows))
    found = list(jsonl.read(trained_on(wheel, data), Trajectory))
    assert {row.task_id for row in found if row.env == "mine"} == {"mine:0", "mine:1", "mine:2"}
    assert {row.env for row in found} == {"mine", "sorting"}


def test_a_wrong_pair_is_named_where_it_stands(wheel, tmp_path):
    said = [{"role": "assistant", "content": "a"}]
    good = {"prompt": said, "chosen": said, "rejected": said}
    jsonl.write(tmp_path / "mine.jsonl", [good, {**good, "metadata": None}])
    with pytest.raises(RecordError, match=r"mine.jsonl line 2: field 'metadata' must be an object"):
        trained_on(wheel, "[mixed, mine.jsonl]", "dpo")


def test_pairs_of_a_file_are_joined(wheel, tmp_path):
    said = [{"role": "assistant", "content": "a"}]
    jsonl.write(tmp_path / "mine.jsonl", [{"prompt": said, "chosen": said, "rejected": said}])
    pairs = list(jsonl.read(trained_on(wheel, "[mixed, mine.jsonl]", "dpo"), Pair))
    assert [pair.env for pair in pairs].count("") == 1 < len(pairs)


def test_a_stage_that_demonstrates_and_samples_trains_on_both(wheel):
    stage = (
        "  mixed: {demonstrate: {count: 7, environment: {name: addition}}, generate: {}, rounds: 2,"
    )
    text = HEAD.replace("  mixed: {generate: {}, data: DATA,", stage).replace("ALGORITHM", "sft")
    result = wheel(text=text).run()
    for number in (1, 2):
        rows = list(jsonl.read(result.path / f"data/round-{number}.jsonl", Trajectory))
        assert [row.env for row in rows].count("addition") == 7 * number
        kept = sum(row["kept"] for row in result.rounds[1 : number + 1])
        assert [row.env for row in rows].count("sorting") == kept > 0


def test_each_stage_compares_its_rows_with_held_out_tasks_in_its_own_way(wheel):
    """A sorted pair of digits may be the one word that another task asks to be sorted."""
    stages = "".join(
        f"  n{n}: {{generate: {{tasks: 40, reuse_tasks: true}}, curate: {{decontaminate: {n}}}}}\n"
        for n in ("null", 1)
    )
    head = HEAD[: HEAD.index("  mixed:")].replace("length: 6", "length: 2")
    result = wheel("evaluate.tasks=20", text=head + stages).run()
    found = [row["decisions"].get("contaminated", 0) for row in result.rounds[1:]]
    assert found[0] == 0 < found[1]
