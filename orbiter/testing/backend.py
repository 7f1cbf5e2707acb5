"""The check of a Backend."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import orjson

from orbiter.errors import BackendError, ConfigError, OrbiterError
from orbiter.testing.contract import Contract, shown
from orbiter.train.backend import Backend, TrainJob, TrainResult
from orbiter.train.config import TrainMetrics
from orbiter.train.training_data import RECORDS

UNKNOWN = "no_such_setting_of_any_backend"


def check_backend(make: Callable[[], Backend], job: TrainJob) -> None:
    """Check that a backend keeps its contract.

    The clauses: it is named and says what record each algorithm trains on; ``check`` accepts the job and writes nothing;
    ``check``, ``prepare`` and ``train`` refuse an unknown algorithm, an unknown option and a missing data file, naming the field, and leave
    no checkpoint; data that is not JSONL leaves none either; ``train`` puts a checkpoint of safetensors inside ``output_dir``, without
    pickles, keeps ``metrics.jsonl`` and calls ``on_metrics`` for the same steps; the model it starts from stays as it is; the same job
    gives the same weights, prepared or trained at once; a finished job that is run again changes nothing.

        def test_my_backend(tmp_path):
            job = TrainJob(algorithm="sft", model=..., data=..., output_dir=tmp_path, config=TrainConfig(max_steps=2))
            check_backend(MyBackend, job)

    It trains twice, in full.

    Args:
        make: Makes a fresh backend.
        job: A small job that works; its ``output_dir`` is an empty folder, in which each run gets a subfolder.

    Raises:
        AssertionError: A clause is broken; the message names it.
    """
    backend = make()
    contract = Contract("backend", str(getattr(backend, "name", type(backend).__name__)))
    _check_attributes(contract, backend, job)
    with contract.without_error("check", "check() of a job that works"):
        backend.check(_in(job, "checked"))
    contract.clause(
        "check",
        not (job.output_dir / "checked").exists() or not _files(job.output_dir / "checked"),
        "check() must write nothing into output_dir",
    )
    model = _hashes(Path(job.model))
    name = _check_train(contract, backend, job)
    _check_again(contract, make(), job, name)
    contract.clause(
        "the start stays",
        _hashes(Path(job.model)) == model,
        "train() must leave the model that it starts from as it is, got it changed",
    )
    _check_refusals(contract, make, job, name)


def _check_attributes(contract: Contract, backend: Backend, job: TrainJob) -> None:
    name = getattr(backend, "name", None)
    contract.clause("name", isinstance(name, str) and name, f"name must be a text, got {name!r}")
    algorithms = backend.algorithms
    contract.clause(
        "algorithms",
        isinstance(algorithms, Mapping)
        and algorithms
        and all(record in RECORDS for record in algorithms.values()),
        f"algorithms must map names to {', '.join(record.__name__ for record in RECORDS)}, got {shown(algorithms)}",
    )
    contract.clause(
        "algorithms",
        job.algorithm in algorithms,
        f"the job's algorithm {job.algorithm!r} must be among {', '.join(algorithms)}",
    )


def _check_train(contract: Contract, backend: Backend, job: TrainJob) -> Path:
    """Train once, and return the name of the checkpoint inside ``output_dir``."""
    seen: list[int] = []
    watched = attrs.evolve(_in(job, "first"), on_metrics=lambda step, _: seen.append(step))
    with contract.without_error("train", "train() of a job that works"):
        result = backend.train(watched)
    contract.clause(
        "train",
        isinstance(result, TrainResult) and isinstance(result.metrics, TrainMetrics),
        f"train() must return a TrainResult, got {shown(result)}",
    )
    loss = result.metrics.loss
    contract.clause(
        "metrics",
        result.metrics.steps >= 1 and (loss is None or math.isfinite(loss)),
        f"metrics must count the steps and have a finite loss or None, got {result.metrics!r}",
    )
    _check_metrics_file(contract, watched.output_dir / "metrics.jsonl", seen)
    checkpoint = result.checkpoint
    contract.clause(
        "checkpoint",
        checkpoint.is_dir() and checkpoint.resolve().is_relative_to(watched.output_dir.resolve()),
        f"checkpoint must be a folder inside output_dir, got {str(checkpoint)!r}",
    )
    suffixes = {path.suffix for path in checkpoint.rglob("*")}
    contract.clause(
        "checkpoint",
        ".safetensors" in suffixes,
        f"checkpoint must hold weights as safetensors, got files of {sorted(suffixes)}",
    )
    pickles = suffixes & {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
    contract.clause("checkpoint", not pickles, f"checkpoint must hold no pickles, got {pickles}")
    return checkpoint.resolve().relative_to(watched.output_dir.resolve())


def _check_metrics_file(contract: Contract, path: Path, seen: list[int]) -> None:
    contract.clause("metrics", path.is_file(), "metrics.jsonl must be in output_dir, got none")
    with contract.without_error("metrics", "reading metrics.jsonl"):
        rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        steps = [row["step"] for row in rows]
    contract.clause(
        "metrics",
        steps and steps == sorted(steps),
        f"metrics.jsonl must hold rows with steps in order, got {steps}",
    )
    contract.clause(
        "metrics",
        seen == sorted(seen) and set(seen) == set(steps),
        f"on_metrics must be called for the steps of metrics.jsonl, got {seen} and {steps}",
    )


def _check_again(contract: Contract, fresh: Backend, job: TrainJob, name: Path) -> None:
    first = job.output_dir / "first" / name
    weights = _hashes(first)
    with contract.without_error(
        "same weights", "prepare() and the training of the same job elsewhere"
    ):
        fresh.prepare(_in(job, "second"))()
    contract.clause(
        "same weights",
        _weights(_hashes(job.output_dir / "second" / name)) == _weights(weights),
        "the same job with the same seed must give the same weights, got others",
    )
    with contract.without_error("a finished job", "train() of a finished job"):
        again = fresh.train(_in(job, "first"))
    contract.clause(
        "a finished job",
        again.checkpoint.resolve() == first.resolve() and _hashes(first) == weights,
        "a finished job that is run again must return the same checkpoint and leave it as it is",
    )


def _check_refusals(
    contract: Contract, make: Callable[[], Backend], job: TrainJob, name: Path
) -> None:
    refused = {
        "algorithm": attrs.evolve(job, algorithm=UNKNOWN),
        UNKNOWN: attrs.evolve(job, options={**job.options, UNKNOWN: 1}),
        "data": attrs.evolve(job, data=job.output_dir / "no-such-file.jsonl"),
    }
    for number, (field, bad) in enumerate(refused.items()):
        bad = _in(bad, f"refused-{number}")
        for method in ("check", "prepare", "train"):
            with contract.refusal(
                "refusals",
                f"{method}() of a job with a wrong {field}",
                ConfigError,
                BackendError,
                naming=field,
            ):
                getattr(make(), method)(bad)
        _check_no_checkpoint(contract, bad.output_dir / name, f"a job with a wrong {field}")
    torn = job.output_dir / "torn.jsonl"
    torn.write_bytes(job.data.read_bytes()[:-3] + b'\n{"messages": [')
    bad = attrs.evolve(_in(job, "torn"), data=torn)
    with contract.refusal("refusals", "train() on torn data", OrbiterError):
        make().train(bad)
    _check_no_checkpoint(contract, bad.output_dir / name, "a job on torn data")


def _check_no_checkpoint(contract: Contract, path: Path, what: str) -> None:
    contract.clause(
        "no partial checkpoint",
        not path.exists(),
        f"{what} must leave no checkpoint, got {path.name!r}",
    )


def _in(job: TrainJob, folder: str) -> TrainJob:
    return attrs.evolve(job, output_dir=job.output_dir / folder)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(folder)
    }


def _weights(hashes: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in hashes.items() if name.endswith(".safetensors")}
