"""A training with verl that is done, to be looked at."""

from pathlib import Path

import orjson
from attrs import frozen
from orbiter_verl.attempt import attempts
from orbiter_verl.samples import Sample, SampleReader

from orbiter.train import TrainResult
from orbiter.train.backend import TrainJob


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
