import math
import os
import struct
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
import orjson
import pytest

from orbiter.errors import BackendError, ConfigError, RecordError
from orbiter.records import Pair, Trajectory
from orbiter.testing import check_backend
from orbiter.train.backend import Backend, TrainJob, TrainResult
from orbiter.train.config import TrainConfig, TrainMetrics


def save(path, weights):
    header = {
        "w": {"dtype": "F64", "shape": list(weights.shape), "data_offsets": [0, weights.nbytes]}
    }
    text = orjson.dumps(header)
    path.write_bytes(struct.pack("<Q", len(text)) + text + weights.tobytes())


def load(path):
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return np.frombuffer(data[8 + size :]).copy()


class Unigram(Backend):
    """Fits the frequencies of 128 characters by gradient descent; a right one, to be broken in one way each."""

    name = "unigram"
    algorithms: ClassVar = {"sft": Trajectory}

    def check(self, job):
        if job.algorithm not in self.algorithms:
            raise ConfigError(f"algorithm must be sft, got {job.algorithm!r}")
        for option in job.options:
            raise ConfigError(f"option {option!r} is unknown")
        if not job.data.is_file():
            raise ConfigError(f"data must be a file, got {str(job.data)!r}")

    def train(self, job):
        self.check(job)
        final = job.output_dir / "model"
        if not final.exists():
            self.fit(job, final)
        return TrainResult(checkpoint=final, metrics=self.last(job))

    def read(self, job):
        try:
            rows = [orjson.loads(line) for line in job.data.read_bytes().splitlines()]
        except orjson.JSONDecodeError as error:
            raise RecordError("is not JSON", field="data") from error
        texts = [m["content"] for row in rows for m in row["messages"] if m["role"] == "assistant"]
        return np.bincount([ord(c) for c in "".join(texts)], minlength=128)

    def fit(self, job, final):
        counts = self.read(job)
        weights = load(job_model(job) / "w.safetensors")
        job.output_dir.mkdir(parents=True, exist_ok=True)
        with (job.output_dir / "metrics.jsonl").open("wb") as metrics:
            for step in range(1, job.config.max_steps + 1):
                logps = weights - np.logaddexp.reduce(weights)
                loss = -float(logps @ counts / counts.sum())
                weights += job.config.learning_rate * (counts / counts.sum() - np.exp(logps))
                metrics.write(orjson.dumps({"step": step, "loss": loss}) + b"\n")
                if job.on_metrics:
                    job.on_metrics(step, {"loss": loss})
        self.publish(weights, final)

    def publish(self, weights, final):
        draft = final.with_name("draft")
        draft.mkdir()
        save(draft / "w.safetensors", weights)
        draft.rename(final)

    def last(self, job):
        row = orjson.loads((job.output_dir / "metrics.jsonl").read_bytes().splitlines()[-1])
        return TrainMetrics(loss=row["loss"], steps=row["step"])


def job_model(job):
    return Path(job.model)


@pytest.fixture
def job(tmp_path):
    (tmp_path / "base").mkdir()
    save(tmp_path / "base" / "w.safetensors", np.zeros(128))
    rows = [
        {
            "messages": [
                {"role": "user", "content": "sort 31:"},
                {"role": "assistant", "content": text},
            ],
            "env": "sorting",
            "task_id": "sorting:31",
            "score": 1.0,
        }
        for text in ("13", "113")
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    (tmp_path / "out").mkdir()
    return TrainJob(
        algorithm="sft",
        model=str(tmp_path / "base"),
        data=tmp_path / "rows.jsonl",
        output_dir=tmp_path / "out",
        config=TrainConfig(max_steps=3, learning_rate=1.0),
    )


def test_a_right_backend_passes(job):
    check_backend(Unigram, job)


class Nameless(Unigram):
    name = ""


class Listed(Unigram):
    algorithms = ("sft",)


class Other(Unigram):
    algorithms: ClassVar = {"dpo": Pair}


class Strict(Unigram):
    def check(self, job):
        raise BackendError("no device")


class Scribbling(Unigram):
    def check(self, job):
        super().check(job)
        job.output_dir.mkdir(parents=True, exist_ok=True)
        (job.output_dir / "job.json").write_text("{}")


class Raising(Unigram):
    def train(self, job):
        raise MemoryError


class NoResult(Unigram):
    def train(self, job):
        super().train(job)


class NoLoss(Unigram):
    def last(self, job):
        return TrainMetrics(loss=math.nan, steps=3)


class NoSteps(Unigram):
    def last(self, job):
        return TrainMetrics(loss=0.5)


class NoMetricsFile(Unigram):
    def train(self, job):
        result = super().train(job)
        (job.output_dir / "metrics.jsonl").unlink()
        return result


class Silent(Unigram):
    def fit(self, job, final):
        super().fit(attrs.evolve(job, on_metrics=None), final)


class Elsewhere(Unigram):
    def train(self, job):
        result = super().train(job)
        return attrs.evolve(result, checkpoint=job_model(job))


class Pickling(Unigram):
    def publish(self, weights, final):
        final.mkdir()
        (final / "w.bin").write_bytes(b"")


class PicklingToo(Unigram):
    def publish(self, weights, final):
        super().publish(weights, final)
        (final / "training_args.bin").write_bytes(b"")


class Unseeded(Unigram):
    def publish(self, weights, final):
        super().publish(weights + int.from_bytes(os.urandom(4), "big"), final)


class Restarting(Unigram):
    """Trains on from its own result when it is run again."""

    def train(self, job):
        final = job.output_dir / "model"
        if final.exists():
            save(final / "w.safetensors", load(final / "w.safetensors") + 1)
        return super().train(job)


class InPlace(Unigram):
    def fit(self, job, final):
        super().fit(job, final)
        save(job_model(job) / "w.safetensors", load(final / "w.safetensors"))


class InPlaceOnce(InPlace):
    def fit(self, job, final):
        Unigram.fit(self, job, final)
        (job_model(job) / "note.txt").write_text("trained")


class AnyAlgorithm(Unigram):
    def check(self, job):
        super().check(attrs.evolve(job, algorithm="sft"))


class UnnamedField(Unigram):
    def check(self, job):
        try:
            super().check(job)
        except ConfigError:
            raise ConfigError("bad job") from None


class AnyOption(Unigram):
    def check(self, job):
        super().check(attrs.evolve(job, options={}))


class OwnError(Unigram):
    def check(self, job):
        if not job.data.is_file():
            raise FileNotFoundError("data")
        super().check(job)


class Trusting(Unigram):
    """Checks nothing again when it trains."""

    def train(self, job):
        final = job.output_dir / "model"
        if not final.exists():
            self.fit(job, final)
        return TrainResult(checkpoint=final, metrics=self.last(job))


class Leftover(Unigram):
    """Makes its folder first and fills it later."""

    def fit(self, job, final):
        final.mkdir(parents=True)
        self.read(job)
        final.rmdir()
        super().fit(job, final)


class Lenient(Unigram):
    """Drops rows that it cannot read."""

    def read(self, job):
        try:
            return super().read(job)
        except RecordError:
            return np.ones(128)


@pytest.mark.parametrize(
    ("broken", "clause"),
    [
        (Nameless, "name"),
        (Listed, "algorithms"),
        (Other, "algorithms"),
        (Strict, "check"),
        (Scribbling, "check"),
        (Raising, "train"),
        (NoResult, "train"),
        (NoLoss, "metrics"),
        (NoSteps, "metrics"),
        (NoMetricsFile, "metrics"),
        (Silent, "metrics"),
        (Elsewhere, "checkpoint"),
        (Pickling, "checkpoint"),
        (PicklingToo, "checkpoint"),
        (Unseeded, "same weights"),
        (Restarting, "a finished job"),
        (InPlace, "same weights"),
        (InPlaceOnce, "the start stays"),
        (AnyAlgorithm, "refusals"),
        (UnnamedField, "refusals"),
        (AnyOption, "refusals"),
        (OwnError, "refusals"),
        (Trusting, "refusals"),
        (Lenient, "refusals"),
        (Leftover, "no partial checkpoint"),
    ],
)
def test_a_broken_clause_is_named(broken, clause, job):
    with pytest.raises(AssertionError) as caught:
        check_backend(broken, job)
    assert f" breaks {clause!r}: " in str(caught.value)
