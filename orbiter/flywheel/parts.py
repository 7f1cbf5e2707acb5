"""The parts of a run, made as its recipe says: environment, verifiers and their pools, policies, streams of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import attrs

from orbiter.curate.contamination import HeldOutIndex
from orbiter.errors import OrbiterError, UserCodeLoadError
from orbiter.flywheel.recipe import Recipe, Turn
from orbiter.flywheel.sections import Component, PolicySpec
from orbiter.flywheel.stopping import run_until_told
from orbiter.generate.policy import Policy
from orbiter.plugin import registry
from orbiter.records import Task
from orbiter.registry import parameters_of
from orbiter.tasks.environment import Environment
from orbiter.tasks.splits import TaskStream, is_held_out
from orbiter.tasks.streams import item_seed
from orbiter.verify.component import make_verifier
from orbiter.verify.pool import VerdictCache, VerifierPool
from orbiter.verify.verifier import Verifier

T = TypeVar("T")


class Parts:
    """What a recipe names, each made once.

    What holds processes or memory is made when it is first needed, and let go at the end of a with block.

    Args:
        recipe: Names the parts.
        base_dir: Folder that a ``file.py:Class`` of the recipe is relative to.
    """

    def __init__(self, recipe: Recipe, *, base_dir: Path = Path()) -> None:
        self.recipe = recipe
        self.base_dir = base_dir
        self.environment: Environment = self.make("environment", recipe.environment)
        self.verifier: Verifier = (
            self.make("verifier", recipe.verifier)
            if recipe.verifier
            else self.verifier_for(self.environment)
        )
        self.audit_verifier: Verifier | None = (
            self.make("verifier", recipe.audit_verifier) if recipe.audit_verifier else None
        )
        self._policy: Policy | None = None
        self._critics: dict[str, Policy] = {}
        self._verifiers: dict[str, Verifier] = {}
        self._environments: dict[str, tuple[Environment, Verifier]] = {}
        self._pools: dict[int, VerifierPool] = {}
        self._cache: VerdictCache | None = None
        self._streams: dict[str, TaskStream] = {}
        self._held_out: dict[int, HeldOutIndex] = {}
        self._runner: asyncio.Runner | None = None

    def make(self, kind: str, component: Component | PolicySpec) -> Any:
        """Return the instance that a component of the recipe names."""
        fields = [a.name for a in attrs.fields(type(component)) if a.name not in ("name", "extra")]
        return registry().create(
            kind, component.name, component.extra, base_dir=self.base_dir, beside=fields
        )

    def check(self, kind: str, component: Component) -> None:
        """See that a component of the recipe exists and takes its options, without making it."""
        registry().check(kind, component.name, component.extra, base_dir=self.base_dir)

    def verifier_for(self, environment: Environment) -> Verifier:
        """Return the verifier that an environment has of its own."""
        try:
            given = environment.verifier()
        except OrbiterError:
            raise
        except Exception as error:
            raise UserCodeLoadError(
                f"environment {environment.name!r} raised in verifier(): "
                f"{type(error).__name__}: {error}"
            ) from error
        return make_verifier(given, base_dir=self.base_dir)

    def critic(self, place: str, spec: Component) -> Policy:
        """Return a policy that stands in a stage of the recipe, made once."""
        if place not in self._critics:
            self._critics[place] = self.make("policy", spec)
        return self._critics[place]

    def judge_of(self, turn: Turn) -> Verifier:
        """Return what judges the samples of a round: its stage's own verifier, or the run's."""
        spec = turn.stage.verifier
        return self.verifier if spec is None else self.verifier_of(f"stages.{turn.name}", spec)

    def verifier_of(self, place: str, spec: Component) -> Verifier:
        """Return a verifier that stands somewhere in the recipe, made once."""
        if place not in self._verifiers:
            self._verifiers[place] = self.make("verifier", spec)
        return self._verifiers[place]

    def environment_of(self, place: str, spec: Component) -> tuple[Environment, Verifier]:
        """Return an environment that stands in a stage of the recipe, with the verifier that it has of its own; made once."""
        if place not in self._environments:
            environment: Environment = self.make("environment", spec)
            self._environments[place] = environment, self.verifier_for(environment)
        return self._environments[place]

    @property
    def pool(self) -> VerifierPool:
        """What judges: the verifier, in processes of its own that start when they are first needed."""
        return self.pool_of(self.verifier)

    def pool_of(self, verifier: Verifier) -> VerifierPool:
        """Return the pool of one of the run's verifiers, kept until the run ends."""
        spec = self.recipe.verify
        if self._cache is None and (spec.cache_size or spec.cache is not None):
            self._cache = VerdictCache(size=spec.cache_size, path=spec.cache)
        if id(verifier) not in self._pools:
            self._pools[id(verifier)] = VerifierPool(
                verifier,
                workers=spec.workers,
                timeout_s=spec.timeout_s,
                memory_mb=spec.memory_mb,
                cache=self._cache,
            )
        return self._pools[id(verifier)]

    @property
    def policy(self) -> Policy:
        """The policy, made on first use: a finished run never loads a model."""
        if self._policy is None:
            self._policy = self._make_policy()
        return self._policy

    def _make_policy(self) -> Policy:
        """Make the policy; one that takes a ``model`` is given the recipe's, unless it names its own."""
        spec, model = self.recipe.policy, self.recipe.model
        options = dict(spec.extra)
        if model is not None and model.id is not None and "model" not in options:
            factory = registry().get("policy", spec.name, base_dir=self.base_dir)
            if "model" in (parameters_of(factory) or ()):
                options["model"] = model.id
        policy: Policy = self.make("policy", attrs.evolve(spec, extra=options))
        return policy

    def stream(self, split: str) -> TaskStream:
        """Return the run's tasks of a split: ``train`` or ``held_out``."""
        if split not in self._streams:
            self._streams[split] = TaskStream(
                self.environment,
                seed=item_seed(self.recipe.seed, "tasks"),
                split=split,
                share=self.recipe.evaluate.share,
            )
        return self._streams[split]

    @cached_property
    def held_out_tasks(self) -> Sequence[Task]:
        """The tasks that every round is measured on."""
        return self.stream("held_out").take(self.recipe.evaluate.tasks, allow_fewer=True)

    def held_out(self, n: int | None) -> HeldOutIndex | None:
        """Return the held-out tasks, to find the rows that share so many words with one; None if none are to be compared."""
        if n is None or self.recipe.evaluate.tasks == 0:
            return None
        if n not in self._held_out:
            self._held_out[n] = HeldOutIndex(self.held_out_tasks, n=n)
        return self._held_out[n]

    def reserved(self, task: Task, *, n: int | None) -> str | None:
        """Return why a prompt is not one to train on, or None: it is held out, or shares so many words in a row with a task that is."""
        share = self.recipe.evaluate.share
        if share > 0 and is_held_out(task, share=share):
            return "held-out prompt"
        held_out = self.held_out(n)
        if held_out is not None and held_out.find(task) is not None:
            return "repeats a held-out task"
        return None

    def drop_policy(self) -> None:
        """Let the policy go; the next use makes another."""
        if self._policy is not None:
            self.wait_for(self._policy.aclose())
            self._policy = None

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; an interrupt cancels it and is raised here, and so is a SIGTERM that the program handles."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return run_until_told(self._runner, coroutine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for pool in self._pools.values():
                pool.close()
            for policy in filter(None, (self._policy, *self._critics.values())):
                self.wait_for(policy.aclose())
        finally:
            if self._cache is not None:
                self._cache.close()
            self._pools, self._cache = {}, None
            if self._runner is not None:
                self._runner.close()
                self._runner = None
            self._policy = None
            self._critics = {}
