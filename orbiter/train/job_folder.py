"""The job folder: what a training run leaves behind, and from where it goes on after a crash.

job.json         what was asked, so that another job is never continued by mistake
metrics.jsonl    one row per log
resume/          resumable checkpoints; one counts once its ``complete`` file is there
checkpoint/      the trained model; appears complete or not at all
result.json      what TrainResult says of it; there once the job is done
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import orjson
from attrs import frozen

from orbiter.convert import structure, unstructure
from orbiter.errors import BackendError
from orbiter.jsonl import replace_file
from orbiter.train.backend import TrainJob, TrainResult
from orbiter.train.tally import Tally

_COMPLETE = "complete"


@frozen
class ResumePoint:
    """Where a run can go on: the checkpoint's folder, its step, and the counts up to there."""

    folder: Path
    step: int
    tally: Tally


@frozen
class JobFolder:
    """The folder of one training job."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The trained model."""
        return self.path / "checkpoint"

    @property
    def metrics(self) -> Path:
        """One JSON object per log."""
        return self.path / "metrics.jsonl"

    @property
    def resume(self) -> Path:
        """Resumable checkpoints."""
        return self.path / "resume"

    @property
    def is_claimed(self) -> bool:
        """Whether a job has noted down that the folder is its own."""
        return (self.path / "job.json").exists()

    def claim(self, job: TrainJob) -> None:
        """Note down what the folder is for.

        Raises:
            BackendError: It holds another job already.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        file, asked = self.path / "job.json", _describe(job)
        if file.exists():
            found = orjson.loads(file.read_bytes())
            if found != asked:
                differs = sorted(
                    k for k in asked.keys() | found.keys() if asked.get(k) != found.get(k)
                )
                raise BackendError(
                    f"output_dir must be new or hold the same job, got {str(self.path)!r}, whose job differs in "
                    + ", ".join(differs),
                    hint="choose another output_dir, or delete this one to train anew",
                )
            return
        _write(file, orjson.dumps(asked, option=orjson.OPT_INDENT_2))

    def result(self) -> TrainResult | None:
        """Return the result if the job is done."""
        file = self.path / "result.json"
        if not file.exists() or not self.checkpoint.is_dir():
            return None
        row = orjson.loads(file.read_bytes())
        return structure({**row, "checkpoint": str(self.checkpoint)}, TrainResult, source=str(file))

    def finish(self, result: TrainResult) -> None:
        """Note the result down, and remove what was kept for resuming."""
        row = unstructure(attrs.evolve(result, checkpoint=Path("checkpoint")))
        _write(self.path / "result.json", orjson.dumps(row, option=orjson.OPT_INDENT_2))
        shutil.rmtree(self.resume, ignore_errors=True)

    def newest(self) -> ResumePoint | None:
        """Return the newest complete resumable checkpoint."""
        found = [
            (int(match[1]), entry)
            for entry in (self.resume.iterdir() if self.resume.is_dir() else ())
            if (match := re.fullmatch(r"checkpoint-(\d+)", entry.name))
            and (entry / _COMPLETE).exists()
        ]
        if not found:
            return None
        step, entry = max(found)
        tally = structure(
            orjson.loads((entry / _COMPLETE).read_bytes()), Tally, source=str(entry / _COMPLETE)
        )
        return ResumePoint(entry, step, tally)

    def keep_metrics(self, step: int) -> dict[str, float]:
        """Cut the metrics after the rows of a step, and return the last value of each in what stays."""
        lines = self.metrics.read_bytes().splitlines(keepends=True) if self.metrics.exists() else []
        kept: list[bytes] = []
        last: dict[str, float] = {}
        for line in lines:
            # A run that was killed may have left a torn last line.
            if not line.endswith(b"\n") or (row := orjson.loads(line)).pop("step") > step:
                break
            kept.append(line)
            last.update(row)
        self.metrics.write_bytes(b"".join(kept))
        return last

    def mark_complete(self, step: int, tally: Tally) -> None:
        """Say that the resumable checkpoint of ``step`` is wholly written."""
        folder = self.resume / f"checkpoint-{step}"
        _sync(folder)
        _write(folder / _COMPLETE, orjson.dumps(attrs.asdict(tally)))

    def publish(self, save: Callable[[Path], None]) -> None:
        """Make the checkpoint folder from what ``save`` writes into the draft that it is given."""
        for old in self.path.glob(".checkpoint.*"):
            shutil.rmtree(old)
        draft = Path(tempfile.mkdtemp(dir=self.path, prefix=".checkpoint."))
        try:
            save(draft)
            draft.chmod(0o755)
            _sync(draft)
            if self.checkpoint.exists():
                # Left by a run that stopped between publishing and noting the result: the same job, so the same weights.
                shutil.rmtree(self.checkpoint)
            os.rename(draft, self.checkpoint)
            _sync_folder(self.path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _describe(job: TrainJob) -> dict[str, Any]:
    """Return what makes two jobs the same: all that decides the weights, with the content of the data."""
    return {
        "algorithm": job.algorithm,
        "model": _identify(job.model),
        "data": _hash(job.data),
        "eval_data": None if job.eval_data is None else _hash(job.eval_data),
        "config": unstructure(job.config),
        "rewards": [[reward.name, reward.weight, reward.version] for reward in job.rewards],
        "options": {key: repr(value) for key, value in sorted(job.options.items())},
        **({} if job.toolbox is None else {"toolbox": type(job.toolbox()).__qualname__}),
    }


def _identify(model: str) -> Any:
    """Return a hub id as it is, and a folder as the hashes of its files: a moved folder is the same model, a changed one is not."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    return {
        file.name: _hash(file)
        for file in sorted(folder.iterdir())
        if file.suffix in (".json", ".safetensors", ".jinja") and file.is_file()
    }


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _write(path: Path, data: bytes) -> None:
    with replace_file(path) as file:
        file.write(data)


def _sync(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
