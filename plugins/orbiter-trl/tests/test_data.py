"""What is read of a job's files: once, and never something else than what was checked."""

import os

import attrs
import pytest
from orbiter_trl.backend import TrlBackend
from orbiter_trl.data import read_data

from orbiter import jsonl
from orbiter.errors import BackendError
from orbiter.train.tally import Tally


@pytest.fixture
def reads(monkeypatch):
    """The files that records were read from, in order."""
    seen = []
    read = jsonl.read

    def watched(path, *args, **named):
        seen.append(path)
        return read(path, *args, **named)

    monkeypatch.setattr(jsonl, "read", watched)
    return seen


@pytest.mark.parametrize("algorithm", TrlBackend.algorithms)
def test_a_file_is_read_once_from_the_check_to_the_trainer(any_job, reads, algorithm):
    job = any_job(algorithm)
    if algorithm not in ("spin", "online_dpo"):
        held_out = job.data.with_name("held_out.jsonl")
        held_out.write_bytes(job.data.read_bytes())
        job = attrs.evolve(job, eval_data=held_out)
    trainer, _ = TrlBackend().prepare(job).make_trainer(Tally())
    assert len(trainer.train_dataset)
    assert reads == [path for path in (job.data, job.eval_data) if path is not None]


def test_data_that_change_after_the_check_are_not_trained_on(any_job):
    job = any_job("dpo")
    training = TrlBackend().prepare(job)
    lines = job.data.read_bytes().splitlines(keepends=True)
    job.data.write_bytes(b"".join(lines[1:]))
    with pytest.raises(
        BackendError, match=r"must stay as they were checked, and '.*Pair.jsonl' was"
    ):
        training()
    assert not (job.output_dir / "checkpoint").exists()
    result = TrlBackend().prepare(job)()
    assert result.metrics.steps == 2


@pytest.mark.parametrize("change", ["rewritten", "removed"])
def test_a_change_is_seen(any_job, change):
    job = any_job("sft")
    data = read_data(job, lambda path: path.read_bytes().splitlines())
    data.check_unchanged()
    if change == "removed":
        job.data.unlink()
    else:  # the same size, at another time
        os.utime(job.data, ns=(0, 0))
    with pytest.raises(BackendError, match="was changed since"):
        data.check_unchanged()


def test_a_training_gives_its_rows_away_and_is_called_once(any_job):
    training = TrlBackend().prepare(any_job("sft"))
    training.make_trainer(Tally())
    with pytest.raises(BackendError, match="must be called once"):
        training()
