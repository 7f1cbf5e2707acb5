"""The recipe: what a run does, as attrs classes; :mod:`orbiter.flywheel.recipe_file` reads it from YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from orbiter.convert import join_path, unstructure
from orbiter.errors import RecordError, did_you_mean
from orbiter.flywheel.sections import (
    Component,
    Curate,
    Demonstrate,
    Evaluate,
    Gates,
    Generate,
    ModelSpec,
    PolicySpec,
    Revise,
    Reward,
    Synthesise,
    Teach,
    Train,
    Verify,
    at_least,
)
from orbiter.ledger.folder import RUN_NAME

_SECRET = re.compile(
    r"(?:.*[_-])?(?:api[_-]?key|authorization|password|secret|(?:access|auth|bearer|hub|hf)[_-]?token)",
    re.IGNORECASE,
)

BASE, TEACH, PREVIOUS, LOOP, TASK = "base", "teach", "previous", "loop", "task"
"""What a recipe calls the first model, the cold start, the present model, the one stage without ``stages``, and the run's verifier."""

_STAGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


@frozen(kw_only=True)
class Stage:
    """A stage of a recipe: it makes data, trains, or both, for some rounds, from models and datasets of earlier stages.

    A stage does what it has a section for. In a recipe file, the fields that its ``generate``, ``curate``, ``train`` and ``gates`` leave
    out are those of the recipe's own section of that name.

    Args:
        rounds: How often it turns.
        model: Whose model answers, and is trained on by ``start: previous``: ``base``, ``teach`` or an earlier stage; None for the present
            one.
        demonstrate: Demonstrations that it has made.
        generate: What it samples; None for nothing.
        synthesise: The engine that makes its attempts instead; None for none.
        revise: Have the answers criticised and revised first.
        verifier: What judges its samples; None for the verifier of the run.
        curate: What is kept of them.
        data: What it trains on: ``teach``, stages by name, itself among them, or JSONL files; with a share each, or all of them whole.
            Empty: what it samples, and the demonstrations.
        rewards: Of an algorithm that samples for itself; empty: the verifier's score.
        train: The training of each round; None makes data only.
        gates: When it ends, or the run stops.
    """

    rounds: int = field(default=1, validator=at_least(1))
    model: str | None = None
    demonstrate: Demonstrate | None = None
    generate: Generate | None = None
    synthesise: Synthesise | None = None
    revise: Revise | None = None
    verifier: Component | None = None
    curate: Curate = field(factory=Curate)
    data: tuple[str, ...] | Mapping[str, float] = ()
    rewards: tuple[Reward, ...] = ()
    train: Train | None = None
    gates: Gates = field(factory=Gates)

    @property
    def attempts(self) -> bool:
        """Whether it makes attempts, which are judged and decided on."""
        return self.generate is not None or self.synthesise is not None


@frozen(kw_only=True)
class Turn:
    """One round of a run, as its recipe has it.

    Args:
        number: The round, counted from 1 through all stages.
        name: Its stage's name.
        stage: Its stage.
        first: First round of the stage.
        last: Last round of the stage.
    """

    number: int
    name: str
    stage: Stage
    first: int
    last: int


@frozen(kw_only=True, slots=False)
class Recipe:
    """A run.

    Args:
        name: Name of the run, and of its folder.
        environment: Where tasks come from.
        policy: What answers.
        description: One sentence.
        seed: Every random choice of the run derives from it.
        rounds: How often the loop turns; with ``stages``, the sum of theirs.
        inputs: Values for ``${inputs.name}``.
        model: The model to start from; None if the policy needs none.
        verifier: What judges; default: the environment's own.
        audit_verifier: A second judge of the held-out answers, never used for filtering.
        teach: The cold start; None to start with the model as it is.
        generate: What a round samples.
        verify: How verdicts are made.
        curate: What is kept.
        train: The training of each round; None makes data only.
        evaluate: How a round is measured.
        gates: When to stop.
        exports: Formats that the final data is written in.
        stages: The graph, in the order in which it is walked; empty for one stage, ``loop``, of ``rounds`` with the sections ``generate``,
            ``curate``, ``train`` and ``gates``.
    """

    name: str
    environment: Component
    policy: PolicySpec
    description: str = ""
    seed: int = 0
    rounds: int = field(default=5, validator=at_least(1))
    inputs: Mapping[str, Any] = field(factory=dict)
    model: ModelSpec | None = None
    verifier: Component | None = None
    audit_verifier: Component | None = None
    teach: Teach | None = None
    generate: Generate = field(factory=Generate)
    verify: Verify = field(factory=Verify)
    curate: Curate = field(factory=Curate)
    train: Train | None = None
    evaluate: Evaluate = field(factory=Evaluate)
    gates: Gates = field(factory=Gates)
    exports: tuple[Component, ...] = ()
    stages: Mapping[str, Stage] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._refuse_secrets()
        if not RUN_NAME.fullmatch(self.name):
            raise RecordError(
                f"must be 1 to 100 letters, digits, '_', '.' and '-', got {self.name!r}",
                field="name",
            )
        for section in ("teach", "train"):
            if getattr(self, section) is not None and self.model is None:
                raise RecordError(f"must be given, since there is a {section} stage", field="model")
        check_graph(self)

    @property
    def graph(self) -> Mapping[str, Stage]:
        """The stages by name; of a recipe without any, the loop."""
        if self.stages:
            return self.stages
        loop = Stage(
            rounds=self.rounds,
            generate=self.generate,
            curate=self.curate,
            train=self.train,
            gates=self.gates,
        )
        return {LOOP: loop}

    @property
    def asks(self) -> bool:
        """Whether the policy is asked, or trained; of a run that only demonstrates it is not."""
        return any(stage.attempts or stage.train is not None for stage in self.graph.values())

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """The rounds of the run, in order."""
        turns: list[Turn] = []
        for name, stage in self.graph.items():
            first = len(turns) + 1
            last = first + stage.rounds - 1
            turns += [
                Turn(number=number, name=name, stage=stage, first=first, last=last)
                for number in range(first, last + 1)
            ]
        return tuple(turns)

    def _refuse_secrets(self) -> None:
        """A recipe is saved with its run and shown in errors, so what it holds is no secret."""
        for place, key in _keys(unstructure(self), ""):
            if _SECRET.fullmatch(key):
                raise RecordError(
                    "must not be in a recipe, which is saved with the run",
                    field=place,
                    hint="let the part read it from the environment, and name the variable: api_key_env",
                )


def _keys(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield every key of plain data at every depth, after the path that ends in it."""
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for step, item in items:
        path = join_path(place, step)
        if isinstance(step, str):
            yield path, step
        yield from _keys(item, path)


def check_graph(recipe: Recipe) -> None:
    """Raise RecordError where a stage reads what no earlier one makes, or has nothing to do."""
    known = [BASE] if recipe.teach is None else [BASE, TEACH]
    if recipe.teach is not None and recipe.teach.start not in (PREVIOUS, BASE):
        raise _unknown(recipe.teach.start, "teach.start", [PREVIOUS, BASE])
    if not recipe.stages:
        if recipe.train is not None and recipe.train.start not in (PREVIOUS, *known):
            raise _unknown(recipe.train.start, "train.start", [PREVIOUS, *known])
        _check_gates("gates", recipe.graph[LOOP])
        return
    total = sum(stage.rounds for stage in recipe.stages.values())
    if recipe.rounds != total:
        raise RecordError(
            f"must be left out or {total}, the sum of the stages' rounds, got {recipe.rounds}",
            field="rounds",
            hint="set stages.NAME.rounds",
        )
    models, datasets = list(known), known[1:]
    for name, stage in recipe.stages.items():
        _check_stage(recipe, name, stage, models=models, datasets=[*datasets, name])
        datasets.append(name)
        if stage.train is not None:
            models.append(name)


def _check_stage(
    recipe: Recipe, name: str, stage: Stage, *, models: list[str], datasets: list[str]
) -> None:
    place = f"stages.{name}"
    if not _STAGE_NAME.fullmatch(name) or name in (BASE, TEACH, PREVIOUS, TASK):
        raise RecordError(
            f"must be named with letters, digits, '_' and '-', and not {BASE}, {TEACH}, {PREVIOUS} or {TASK}",
            field=place,
        )
    if stage.model is not None and stage.model not in models:
        raise _unknown(stage.model, f"{place}.model", models)
    if stage.train is not None:
        if recipe.model is None:
            raise RecordError(f"must be given, since stage {name!r} trains", field="model")
        if stage.train.start not in (PREVIOUS, *models):
            raise _unknown(stage.train.start, f"{place}.train.start", [PREVIOUS, *models])
    for source in stage.data:
        if not source.endswith(".jsonl") and source not in datasets:
            raise _unknown(source, f"{place}.data", [*datasets, "a .jsonl file"])
    if twice := {source for source in stage.data if list(stage.data).count(source) > 1}:
        raise RecordError(
            f"must name a dataset once, got {min(twice)!r} twice", field=f"{place}.data"
        )
    if isinstance(stage.data, Mapping):
        for source, share in stage.data.items():
            if not share > 0:
                raise RecordError(f"must be above 0, got {share!r}", field=f"{place}.data.{source}")
    if not stage.attempts and stage.demonstrate is None and stage.train is None:
        raise RecordError(
            "must have a section generate, synthesise, demonstrate or train", field=place
        )
    if stage.generate is not None and stage.synthesise is not None:
        raise RecordError(
            "must not be given beside generate",
            field=f"{place}.synthesise",
            hint="make them two stages, and name both in the data of the one that trains",
        )
    without = {"revise": "generate", "data": "train", "rewards": "train"}
    if stage.synthesise is None:
        without["verifier"] = "generate"
    for section, needed in without.items():
        if getattr(stage, section) and getattr(stage, needed) is None:
            raise RecordError(
                f"must not be given without a section {needed}", field=f"{place}.{section}"
            )
    _check_gates(f"{place}.gates", stage)


def _check_gates(place: str, stage: Stage) -> None:
    """Raise RecordError for a gate that could never close, since the stage does not do what it bounds."""
    for gate, needed in (("min_yield", "generate"), ("max_kl", "train")):
        if getattr(stage.gates, gate) is not None and getattr(stage, needed) is None:
            raise RecordError(
                f"must not be given without a section {needed}, which it bounds",
                field=f"{place}.{gate}",
                hint=f"leave it out; where it is in the recipe's own gates, set gates: {{{gate}: null}} in the stage",
            )


def _unknown(name: str, place: str, known: list[str]) -> RecordError:
    return RecordError(
        f"must be one of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}",
        field=place,
        hint="a stage reads what earlier ones made",
    )
