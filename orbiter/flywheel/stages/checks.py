"""Whether the stages of a recipe can be walked: said before anything is made."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orbiter import jsonl
from orbiter.curate.replay import ReplayBuffer
from orbiter.errors import ConfigError
from orbiter.flywheel.recipe import TASK, TEACH
from orbiter.flywheel.sections import Component
from orbiter.flywheel.stages.datasets import PREFERENCES, sources_of
from orbiter.flywheel.stages.synthesising import make_engine
from orbiter.flywheel.stages.training import REWARD_MODEL, make_backend, scores
from orbiter.generate.constitution import Constitution
from orbiter.generate.policy import Policy
from orbiter.records import Pair, Task, Trajectory

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import Stage
    from orbiter.flywheel.sections import Train


def check_stages(wheel: Flywheel) -> None:
    """Raise if a stage names what cannot be had, or reads what the named one does not make.

    Raises:
        ConfigError: Names the stage and the field.
        RecordError: A file of data has a row that the stage cannot train on; names file, line and field.
        UnknownNameError: Nothing has the name of a part.
    """
    for name, stage in wheel.recipe.graph.items():
        place = f"stages.{name}"
        if stage.verifier is not None:
            wheel.pool_of(wheel.verifier_of(place, stage.verifier))
        if stage.demonstrate is not None:
            if stage.demonstrate.environment is not None:
                wheel.check("environment", stage.demonstrate.environment)
            for component in stage.demonstrate.synthesisers:
                wheel.check("synthesiser", component)
        _check_revise(wheel, name, stage)
        if stage.synthesise is not None:
            engine = make_engine(wheel, stage.synthesise, seed=0)
            wheel.wait_for(engine.aclose(keep=wheel.policy))
        _check_gates(wheel, place, stage)
        if stage.model is not None:
            _check_answers(wheel, f"{place}.model", stage.model)
        if stage.train is not None:
            _check_training(wheel, name, stage, stage.train)


def _check_answers(wheel: Flywheel, place: str, name: str) -> None:
    """See that a stage's model answers, and does not score."""
    other = wheel.recipe.graph.get(name)
    if other is not None and other.train is not None and scores(wheel, other.train):
        raise ConfigError(
            f"{place} must be a model that answers, and that of the stage {name!r} scores answers",
            hint="name it in the rewards of a stage instead",
        )


def _check_revise(wheel: Flywheel, name: str, stage: Stage) -> None:
    if stage.revise is None:
        return
    if stage.revise.critic is not None:
        wheel.critic(name, stage.revise.critic)
    if stage.revise.constitution is not None:
        Constitution.read(wheel.base_dir / stage.revise.constitution)


def _check_gates(wheel: Flywheel, place: str, stage: Stage) -> None:
    gates = stage.gates
    if gates.max_fpr is not None and stage.verifier is not None:
        raise ConfigError(
            f"{place}.gates.max_fpr bounds the errors of the run's verifier, and the stage has one of its own",
            hint="audit that one with orbiter audit, and set gates: {max_fpr: null} in the stage",
        )
    if gates.max_fpr is not None and wheel.recipe.evaluate.audit == 0:
        raise ConfigError(
            f"{place}.gates.max_fpr needs an audit of the verifier, got evaluate.audit=0",
            hint="audit it with evaluate.audit=200",
        )
    looks = (gates.max_kl, gates.max_length_ratio, gates.max_refusal_rise, gates.stop_at)
    if any(bound is not None for bound in looks) and wheel.recipe.evaluate.tasks == 0:
        raise ConfigError(
            f"gates of {place} need held-out tasks to measure, got evaluate.tasks=0",
            hint="measure with evaluate.tasks=200",
        )
    if gates.max_kl is not None and stage.train is not None and scores(wheel, stage.train):
        raise ConfigError(
            f"{place}.gates.max_kl bounds how far a model that answers moves, and that of {stage.train.algorithm!r} scores",
            hint="leave it out; where it is in the recipe's own gates, set gates: {max_kl: null} in the stage",
        )
    if gates.max_kl is not None and type(wheel.policy).logps is Policy.logps:
        raise ConfigError(
            f"{place}.gates.max_kl needs a policy that tells log-probabilities, got {wheel.policy.name!r}",
            hint="use the policy 'transformers', or leave the gate out",
        )


def _check_training(wheel: Flywheel, name: str, stage: Stage, train: Train) -> None:
    """See that the backend knows the algorithm, and that what it reads is of the kind that it trains on."""
    place, recipe = f"stages.{name}", wheel.recipe
    backend = make_backend(wheel, train)
    backend.check_settings(train.algorithm, train, train.options)
    record = backend.record_of(train.algorithm)
    if train.algorithm not in backend.scoring:
        _check_answers(wheel, f"{place}.train.start", train.start)
    if record is not Task and stage.rewards:
        raise ConfigError(
            f"{place}.rewards are for algorithms that sample for themselves, and {train.algorithm!r} trains on {record.__name__}"
        )
    if record is Task:
        if stage.data:
            raise ConfigError(
                f"{place}.data must be empty for {train.algorithm!r}, which samples for itself"
            )
        _check_rewards(wheel, name, stage)
        return
    if record is Pair and stage.curate.capacity is not None and isinstance(stage.data, Mapping):
        raise ConfigError(
            f"{place}.curate.capacity keeps the newest pairs, whatever shares {place}.data gives them",
            hint="leave one of them out: name the data in a list, or set curate: {capacity: null} in the stage",
        )
    if record in PREFERENCES and stage.curate.keep == "none" and not stage.data:
        raise ConfigError(
            f"{f'{place}.' if recipe.stages else ''}curate.keep must be 'survivors' for {train.algorithm!r}, "
            "which trains on what a round makes, got 'none'"
        )
    sources = sources_of(recipe, name)
    if record is not Trajectory:
        sources = [source for source in sources if source != TEACH]
    if not sources:
        raise ConfigError(
            f"{place} must have something to train on, got nothing for {train.algorithm!r}",
            hint="give it a section generate, or name earlier stages in data",
        )
    for source in sources:
        if source.endswith(".jsonl"):
            _check_file(wheel, name, stage, source, record)
        elif source != TEACH:
            _check_source(wheel, place, source, record, train.algorithm)


def _check_file(wheel: Flywheel, name: str, stage: Stage, source: str, record: type) -> None:
    """See that a stage can train on a file, so that a row that is wrong is named before anything is spent."""
    path, place = wheel.base_dir / source, f"stages.{name}.data"
    if not path.is_file():
        raise ConfigError(f"{place} names the file {source!r}, which does not exist")
    capacity = stage.curate.capacity
    if record is not Pair or capacity is None:
        deque(jsonl.read(path, record), maxlen=0)
        return
    first = next(turn.first for turn in wheel.recipe.turns if turn.name == name)
    try:
        ReplayBuffer(capacity=capacity, max_age=first).added(jsonl.read(path, Pair), round=first)
    except ConfigError as error:
        raise error.within(f"{place}: {source}") from None


def _check_source(wheel: Flywheel, place: str, source: str, record: type, algorithm: str) -> None:
    other = wheel.recipe.graph[source]
    if record is Trajectory and (other.attempts or other.demonstrate):
        return
    if record in PREFERENCES and other.attempts:
        return
    needed = "generate or synthesise"
    if record is Trajectory:
        needed = "generate, synthesise or demonstrate"
    raise ConfigError(
        f"{place}.data names the stage {source!r}, which makes no {record.__name__} for {algorithm!r}",
        hint=f"name a stage with a section {needed}",
    )


def _check_rewards(wheel: Flywheel, name: str, stage: Stage) -> None:
    graph = wheel.recipe.graph
    before = list(graph)[: list(graph).index(name)]
    for reward in stage.rewards:
        if reward.name == TASK:
            continue
        if reward.name not in graph:
            wheel.check("verifier", Component(name=reward.name, extra=reward.extra))
            continue
        train = graph[reward.name].train
        if reward.name not in before or train is None or not scores(wheel, train):
            raise ConfigError(
                f"rewards of stage {name!r} must name an earlier stage whose model scores, got {reward.name!r}",
                hint="train it with the algorithm 'reward'",
            )
        extra = {"model": str(wheel.path), **reward.extra}
        wheel.check("verifier", Component(name=REWARD_MODEL, extra=extra))
