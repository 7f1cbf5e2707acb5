"""The stages that make a model: the first one, the cold start, and the training of a round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs

from orbiter import jsonl
from orbiter.errors import ConfigError, user_code
from orbiter.flywheel.demonstrations import demonstrations, made_by_stage
from orbiter.flywheel.exchanges import Exchanges
from orbiter.flywheel.recipe import PREVIOUS, TASK
from orbiter.flywheel.sections import Component, Reward
from orbiter.flywheel.spending import spending_facts
from orbiter.flywheel.stages.datasets import asked_path, kept_path
from orbiter.flywheel.stages.rollouts import round_tasks
from orbiter.hookspecs import MetricsEvent
from orbiter.plugin import plugin_manager
from orbiter.records import Task, Trajectory
from orbiter.tasks.environment import toolbox_of
from orbiter.tasks.streams import item_seed
from orbiter.tasks.toolbox import MakeToolbox
from orbiter.train.backend import Backend, TrainJob
from orbiter.train.rewards import RewardSpec
from orbiter.verify.verifier import Verifier

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import Turn
    from orbiter.flywheel.sections import ModelSpec, Train

REWARD_MODEL = "reward_model"
"""The verifier that scores with a model which a stage has trained to."""


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
    path = kept_path(0)
    with _asking(wheel, number, spec.synthesisers) as exchanges:
        rows = demonstrations(wheel, spec.demonstrations, exchanges)
    if not rows:
        raise ConfigError(
            "teach stage must have demonstrations, and no row of its synthesisers is fit"
        )
    jsonl.write(wheel.place(path), rows)
    wheel.kept[0] = rows
    wheel.ledger.add_dataset(path, rows, round=number)
    trained = _train(wheel, number, spec, path)
    exchanges.forget()  # a training that was killed begins with the demonstrations again
    return {**trained, **spending_facts(exchanges.spent), "demonstrations": len(rows)}


def demonstrate(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Write the demonstrations of a stage."""
    turn, path = wheel.turn(number), kept_path(number)
    spec = turn.stage.demonstrate
    with _asking(wheel, number, () if spec is None else spec.synthesisers) as exchanges:
        rows = made_by_stage(wheel, turn, exchanges)
    jsonl.write(wheel.place(path), rows)
    wheel.kept[number] = rows
    wheel.ledger.add_dataset(path, rows, round=number)
    exchanges.forget()
    return {**spending_facts(exchanges.spent), "dataset": path, "demonstrations": len(rows)}


def _asking(wheel: Flywheel, number: int, engines: Sequence[Component]) -> Exchanges:
    """Return what asks for the engines that demonstrate, if there are any."""
    return Exchanges(wheel.place(asked_path(number)) if engines else None)


def train(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Train on the round's dataset, or on its tasks, from the model that the stage says."""
    turn, curated = wheel.turn(number), wheel.done(number, "curate") or {}
    spec = turn.stage.train
    if spec is None:
        return {}
    if record_of(wheel, spec) is not Task:
        return _train(wheel, number, spec, curated["dataset"])
    tasks = f"data/round-{number}-tasks.jsonl"
    jsonl.write(wheel.place(tasks), round_tasks(wheel, number))
    scored_by = [wheel.models[r.name] for r in turn.stage.rewards if r.name in wheel.models]
    return _train(
        wheel,
        number,
        spec,
        tasks,
        rewards=rewards_of(wheel, turn),
        reward_models=scored_by,
        toolbox=toolbox_of(wheel.environment),
    )


def rewards_of(wheel: Flywheel, turn: Turn) -> tuple[RewardSpec, ...]:
    """Return the rewards of a stage whose algorithm samples for itself: by default the verdict of its verifier."""
    return tuple(
        RewardSpec.from_verifier(
            _reward_verifier(wheel, turn, spec),
            weight=spec.weight,
            name=None if spec.name == TASK else spec.name,
        )
        for spec in turn.stage.rewards or (Reward(name=TASK),)
    )


def _reward_verifier(wheel: Flywheel, turn: Turn, spec: Reward) -> Verifier:
    place = f"stages.{turn.name}.rewards.{spec.name}"
    if spec.name in wheel.models:
        # Not in a worker, which would load the libraries of models once more: what it runs is the run's own model.
        options = {"model": str(wheel.place(wheel.models[spec.name])), **spec.extra}
        return wheel.verifier_of(place, Component(name=REWARD_MODEL, extra=options))
    if spec.name == TASK:
        return wheel.pool_of(wheel.judge_of(turn)).remote
    component = Component(name=spec.name, extra=spec.extra)
    return wheel.pool_of(wheel.verifier_of(place, component)).remote


def _train(
    wheel: Flywheel,
    number: int,
    spec: Train,
    dataset: str,
    *,
    rewards: tuple[RewardSpec, ...] = (),
    reward_models: Sequence[str] = (),
    toolbox: MakeToolbox | None = None,
) -> dict[str, Any]:
    backend = make_backend(wheel, spec)
    start = _start_model(wheel, spec)
    data = wheel.place(dataset)
    trained_on: dict[str, Any] = {"dataset": dataset, "tasks": None}
    if rewards:
        trained_on = {"dataset": None, "tasks": dataset, "reward_models": list(reward_models)}
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
        toolbox=toolbox,
        options=spec.options,
        on_metrics=lambda step, metrics: plugin_manager().notify(
            "orbiter_on_metrics", MetricsEvent(run=wheel.recipe.name, step=step, metrics=metrics)
        ),
    )
    started = perf_counter()
    with user_code(f"backend {backend.name!r}", "train"):
        result = backend.prepare(job)()
    train_s = perf_counter() - started
    path = result.checkpoint.relative_to(wheel.path).as_posix()
    wheel.ledger.add_checkpoint(path, round=number, base=wheel.label(start), **trained_on)
    return {
        "checkpoint": path,
        "start": wheel.label(start),
        "scoring": spec.algorithm in backend.scoring,
        "loss": result.metrics.loss,
        "steps": result.metrics.steps,
        "trained_tokens": result.token_count,
        "trained_samples": result.sample_count,
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
    if spec is wheel.recipe.train and spec.algorithm in backend.scoring and not wheel.recipe.stages:
        raise ConfigError(
            f"algorithm of the loop must make a model that answers, and {spec.algorithm!r} makes one that scores",
            hint="train it in a stage of its own, whose name is then a reward of later ones",
        )
    return backend


def record_of(wheel: Flywheel, spec: Train) -> type:
    """Return the record that a stage trains on; of tasks, the policy samples by itself, with the verifier as its reward."""
    return make_backend(wheel, spec).record_of(spec.algorithm)


def scores(wheel: Flywheel, spec: Train) -> bool:
    """Return whether a training makes a model that scores answers instead of giving them."""
    return spec.algorithm in make_backend(wheel, spec).scoring


def _start_model(wheel: Flywheel, spec: Train) -> str:
    if spec.start == PREVIOUS and wheel.checkpoint is not None:
        return str(wheel.checkpoint)
    if spec.start in wheel.models:
        return str(wheel.place(wheel.models[spec.start]))
    named = wheel.recipe.model.id if wheel.recipe.model is not None else None
    return named if named is not None else str(wheel.place("checkpoints/base"))
