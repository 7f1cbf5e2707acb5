"""The stages that make a model: the first one, the cold start, and the training of a round."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs

from orbiter import jsonl
from orbiter.errors import ConfigError
from orbiter.flywheel.demonstrations import demonstrations
from orbiter.flywheel.sections import Component
from orbiter.flywheel.stages.datasets import PREFERENCES, kept_path
from orbiter.flywheel.stages.rollouts import round_tasks
from orbiter.hookspecs import MetricsEvent
from orbiter.plugin import plugin_manager
from orbiter.records import Task, Trajectory
from orbiter.tasks.streams import item_seed
from orbiter.train.backend import Backend, TrainJob
from orbiter.train.rewards import RewardSpec

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.sections import ModelSpec, Train


def model(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Make the model to start from, if the recipe names a maker."""
    spec = wheel.recipe.model
    if spec is None or spec.name is None:
        return {}
    path = "checkpoints/base"
    make_model(wheel, spec, wheel.place(path))
    wheel.ledger.add_checkpoint(path, round=number, base=None, dataset=None)
    return {"checkpoint": path}


def make_model(wheel: Flywheel, spec: ModelSpec, path: Path) -> Path:
    """Make the model that a maker's spec names in a folder, with the characters that the environment uses."""
    path.parent.mkdir(exist_ok=True)
    wheel.make("model", model_maker(wheel, spec, path))
    return path


def model_maker(wheel: Flywheel, spec: ModelSpec, path: Path) -> Component:
    """Return the component that makes a model in a folder."""
    options = {"path": path, "seed": item_seed(wheel.recipe.seed, "model") % 2**31, **spec.extra}
    if wheel.environment.chars is not None:
        options.setdefault("chars", wheel.environment.chars)
    return Component(name=str(spec.name), extra=options)


def teach(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Start cold: write demonstrations that the verifier confirms, and train on them."""
    spec = wheel.recipe.teach
    if spec is None:
        return {}
    rows = demonstrations(wheel, spec.demonstrations)
    path = kept_path(0)
    if not rows:
        raise ConfigError(
            "teach stage must have demonstrations, and no row of its synthesisers is fit"
        )
    jsonl.write(wheel.place(path), rows)
    wheel.kept[0] = rows
    wheel.ledger.add_dataset(path, rows, round=number)
    return _train(wheel, number, spec, path) | {"demonstrations": len(rows)}


def train(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Train on the round's dataset, from the previous checkpoint or from the base model."""
    spec, curated = wheel.recipe.train, wheel.done(number, "curate")
    return (
        {} if spec is None or curated is None else _train(wheel, number, spec, curated["dataset"])
    )


def _train(wheel: Flywheel, number: int, spec: Train, dataset: str) -> dict[str, Any]:
    backend = make_backend(wheel, spec)
    start = _start_model(wheel, spec)
    data, trained_on = wheel.place(dataset), {"dataset": dataset, "tasks": None}
    rewards: tuple[RewardSpec, ...] = ()
    if record_of(wheel, spec) is Task:
        rewards = (RewardSpec.from_verifier(wheel.pool.remote),)
        tasks = f"data/round-{number}-tasks.jsonl"
        data, trained_on = wheel.place(tasks), {"dataset": None, "tasks": tasks}
        jsonl.write(data, round_tasks(wheel, number))
    job = TrainJob(
        algorithm=spec.algorithm,
        model=start,
        data=data,
        output_dir=wheel.place(f"checkpoints/round-{number}"),
        # The run's seed decides; a seed of the stage's own varies the training alone, and 0 varies nothing.
        config=attrs.evolve(
            spec, seed=(item_seed(wheel.recipe.seed, "train", number) ^ spec.seed) % 2**31
        ),
        rewards=rewards,
        options=spec.options,
        on_metrics=lambda step, metrics: plugin_manager().notify(
            "orbiter_on_metrics", MetricsEvent(run=wheel.recipe.name, step=step, metrics=metrics)
        ),
    )
    started = perf_counter()
    backend.check(job)
    result = backend.train(job)
    train_s = perf_counter() - started
    path = result.checkpoint.relative_to(wheel.path).as_posix()
    wheel.ledger.add_checkpoint(path, round=number, base=wheel.label(start), **trained_on)
    return {
        "checkpoint": path,
        "loss": result.metrics.loss,
        "steps": result.metrics.steps,
        "trained_tokens": result.token_count,
        "train_s": round(train_s, 4),
        "alarms": list(result.alarms),
    }


def make_backend(wheel: Flywheel, spec: Train) -> Backend:
    """Return the backend of a training stage, which knows its algorithm."""
    backend: Backend = wheel.make("backend", Component(name=spec.backend))
    record = backend.record_of(spec.algorithm)
    if spec is wheel.recipe.teach and record is not Trajectory:
        raise ConfigError(
            f"algorithm of the teach stage must train on Trajectory, and {spec.algorithm!r} trains on {record.__name__}",
            hint="teach with sft, and train with the other",
        )
    if spec.algorithm in backend.scoring:
        raise ConfigError(
            f"algorithm of a stage must make a model that answers, and {spec.algorithm!r} makes one that scores",
            hint="train it outside a run, on an export of one",
        )
    if record in PREFERENCES and wheel.recipe.curate.keep == "none":
        raise ConfigError(
            f"curate.keep must be 'survivors' for {spec.algorithm!r}, which trains on what a round makes, got 'none'"
        )
    return backend


def record_of(wheel: Flywheel, spec: Train) -> type:
    """Return the record that a stage trains on; of tasks, the policy samples by itself, with the verifier as its reward."""
    return make_backend(wheel, spec).record_of(spec.algorithm)


def _start_model(wheel: Flywheel, spec: Train) -> str:
    if spec.start == "previous" and wheel.checkpoint is not None:
        return str(wheel.checkpoint)
    named = wheel.recipe.model.id if wheel.recipe.model is not None else None
    return named if named is not None else str(wheel.place("checkpoints/base"))
