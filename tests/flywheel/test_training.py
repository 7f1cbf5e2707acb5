"""Which data a training stage gets, and what the ledger says of it, with a backend that only writes a scripted checkpoint."""

import json

import attrs
import pytest

from orbiter.curate.pairs import best_of_n_pairs, unpaired_preferences
from orbiter.errors import ConfigError, OrbiterError
from orbiter.jsonl import read_objects
from orbiter.ledger import History, RunIndex

RECIPE = """\
name: trained
rounds: 2
model: {id: some-model}
environment: {name: sorting, length: 5}
policy: {name: scripted, accuracy: 0.5, environment: {name: sorting, length: 5}}
generate: {tasks: 10, samples: 4}
train: {backend: stage_parts.py:Forgetting, algorithm: ALGORITHM}
evaluate: {tasks: 5, audit: 0}
verify: {workers: 0}
"""


@pytest.fixture
def run(wheel):
    def run(algorithm, *, more=""):
        return wheel(text=RECIPE.replace("ALGORITHM", algorithm) + more).run()

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


@pytest.mark.parametrize(
    ("algorithm", "name", "make"),
    [("dpo", "pairs", best_of_n_pairs), ("kto", "unpaired", unpaired_preferences)],
)
def test_preferences_are_made_of_the_rounds_attempts_and_lead_back_to_them(
    run, algorithm, name, make
):
    result = run(algorithm, more="curate: {decontaminate: null}\n")
    path = result.path / "checkpoints/round-1/data.jsonl"
    rows = [row for _, row in read_objects(path)]
    with History.open(result.path) as history:
        attempts = [
            attrs.evolve(a.trajectory, verdict=history.verdict_of(a.key))
            for a in history.attempts(1, "policy")
        ]
    assert rows == [record.to_row() for record in make(attempts)] != []
    assert path.read_bytes() == (result.path / f"data/round-1-{name}.jsonl").read_bytes()
    ids = {row["metadata"].get(key) for row in rows for key in ("id", "chosen_id", "rejected_id")}
    with RunIndex(result.path) as index:
        found = index.find(checkpoint="checkpoints/round-1")
    assert {attempt.id for attempt in found} == ids - {None}
    assert len(found) == len(ids - {None})


@pytest.mark.parametrize(("rounds", "parts"), [(1, [2]), (2, [1, 2]), ("null", [1, 2])])
def test_preferences_of_the_last_rounds_are_joined(run, rounds, parts):
    """The policy of round 2 knows nothing, so that all of its pairs would come from round 1."""
    more = f"curate: {{rounds: {rounds}}}\n"
    if parts == [2]:
        with pytest.raises(OrbiterError, match="round 2 has nothing to train on: no task has"):
            run("dpo", more=more)
        return
    result = run("dpo", more=more)
    joined = b"".join((result.path / f"data/round-{n}-pairs.jsonl").read_bytes() for n in parts)
    assert (result.path / "checkpoints/round-2/data.jsonl").read_bytes() == joined


@pytest.mark.parametrize(
    ("algorithm", "more", "message"),
    [
        (
            "sft",
            "teach: {backend: stage_parts.py:Forgetting, algorithm: grpo}\n",
            "teach stage must train on Trajectory, and 'grpo' trains on Task",
        ),
        ("reward", "", "must make a model that answers, and 'reward' makes one that scores"),
        ("dpo", "curate: {keep: none}\n", "curate.keep must be 'survivors' for 'dpo'"),
        ("ppo", "", "got 'ppo'.*\n.*look elsewhere"),
    ],
)
def test_algorithm_that_a_stage_cannot_use_is_refused_before_the_run(
    run, tmp_path, algorithm, more, message
):
    with pytest.raises(ConfigError, match=message):
        run(algorithm, more=more)
    assert not (tmp_path / "runs").exists()
