"""The flywheel: walks a recipe's rounds and stages, and can be stopped and gone on with at any point."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import attrs
from attrs import frozen

from orbiter import jsonl
from orbiter.convert import unstructure
from orbiter.curate.contamination import HeldOutIndex
from orbiter.errors import (
    ConfigError,
    LedgerWarning,
    OrbiterError,
    UserCodeLoadError,
    user_code,
)
from orbiter.flywheel import stages
from orbiter.flywheel.engines import HINTED, POLICY
from orbiter.flywheel.provenance import provenance
from orbiter.flywheel.recipe import BASE, TEACH, Recipe, Turn
from orbiter.flywheel.recipe_file import dump_recipe
from orbiter.flywheel.sections import Component, Gates
from orbiter.generate.policy import Policy
from orbiter.hookspecs import RoundEvent, StateEvent
from orbiter.ledger import AttemptKey, Ledger
from orbiter.plugin import plugin_manager, registry
from orbiter.records import Task, Trajectory
from orbiter.registry import parameters_of
from orbiter.tasks.environment import Environment
from orbiter.tasks.splits import TaskStream
from orbiter.tasks.streams import item_seed
from orbiter.verify.component import make_verifier
from orbiter.verify.pool import VerdictCache, VerifierPool
from orbiter.verify.verifier import Verifier

MAY_CHANGE = ("rounds", "verify", "gates", "exports", "description")
"""Fields of a recipe that may differ when a run is gone on with: none of them changes what is durable already."""


@frozen(kw_only=True)
class RunResult:
    """How a run ended.

    Args:
        path: Folder of the run.
        rounds: The summary of every round, as in rounds.jsonl; round 0 is the cold start.
        checkpoint: The last model, or None if nothing was trained.
        stopped: Why it ended before its last round, or None.
        was_finished: The run was complete already and nothing was done.
    """

    path: Path
    rounds: tuple[Mapping[str, Any], ...]
    checkpoint: Path | None
    stopped: str | None = None
    was_finished: bool = False


class Flywheel:
    """Turns the loop of one recipe.

        result = Flywheel(load_recipe("sorting.yaml"), runs_dir=Path("runs")).run()

    Every stage of every round is recorded in the run's ledger when it is complete. ``run`` does the stages that are not, so that
    calling it again after an interruption goes on where it stopped.

    Args:
        recipe: What to do.
        runs_dir: The run's folder is ``runs_dir/recipe.name``.
        base_dir: Folder that a ``file.py:Class`` of the recipe is relative to.
    """

    def __init__(
        self, recipe: Recipe, *, runs_dir: Path = Path("runs"), base_dir: Path = Path()
    ) -> None:
        self.recipe = recipe
        self.path = Path(runs_dir) / recipe.name
        self.base_dir = base_dir
        self.environment: Environment = self.make("environment", recipe.environment)
        self.verifier: Verifier = self._make_verifier()
        self.audit_verifier: Verifier | None = (
            self.make("verifier", recipe.audit_verifier) if recipe.audit_verifier else None
        )
        self.ledger: Ledger
        self._policy: Policy | None = None
        self._pools: dict[int, VerifierPool] = {}
        self._cache: VerdictCache | None = None
        self._runner: asyncio.Runner | None = None
        self.kept: dict[int, list[Trajectory]] = {}
        self._judged: tuple[int, dict[AttemptKey, Trajectory]] = (-1, {})
        self._streams: dict[str, TaskStream] = {}
        self._done: dict[tuple[int, str], dict[str, Any]] = {}
        self._checkpoint: Path | None = None
        self.models: dict[str, str] = {}
        self._verifiers: dict[str, Verifier] = {}
        self._critics: dict[str, Policy] = {}
        self._loaded = False
        self._worked, self._state = False, ""

    def make(self, kind: str, component: Component) -> Any:
        """Return the instance that a component of the recipe names."""
        return registry().create(kind, component.name, component.extra, base_dir=self.base_dir)

    def check(self, kind: str, component: Component) -> None:
        """See that a component of the recipe exists and takes its options, without making it."""
        registry().check(kind, component.name, component.extra, base_dir=self.base_dir)

    def _make_verifier(self) -> Verifier:
        if self.recipe.verifier is not None:
            return self.make("verifier", self.recipe.verifier)  # type: ignore[no-any-return]
        return self.verifier_for(self.environment)

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

    def turn(self, number: int) -> Turn:
        """Return what the recipe says of a round, counted from 1."""
        return self.recipe.turns[number - 1]

    def gates(self, number: int) -> Gates:
        """Return the gates of a round; of round 0, the recipe's own."""
        return self.turn(number).stage.gates if number else self.recipe.gates

    def tasks(self, number: int) -> list[Task]:
        """Return the tasks that a round asks."""
        return stages.round_tasks(self, number)

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
        return registry().create("policy", spec.name, options, base_dir=self.base_dir)  # type: ignore[no-any-return]

    def policy_of(self, model: str) -> Policy:
        """Return a policy of the recipe's kind that answers with a model of the run, or with one by id."""
        policy = self._make_policy()
        if self.place(model).is_dir():
            policy.load(self.place(model))
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

    @cached_property
    def held_out(self) -> HeldOutIndex | None:
        """The held-out tasks, to find the rows that repeat one; None if the recipe compares none."""
        n, count = self.recipe.curate.decontaminate, self.recipe.evaluate.tasks
        if n is None or count == 0:
            return None
        return HeldOutIndex(self.held_out_tasks, n=n)

    def remember(self, number: int, judged: dict[AttemptKey, Trajectory]) -> None:
        """Keep a round's judged attempts at hand for its curation; only the newest round's are."""
        self._judged = (number, judged)

    def judged(self, number: int) -> dict[AttemptKey, Trajectory]:
        """Return a round's attempts with their verdicts, in identity order."""
        if self._judged[0] != number:
            judged = {}
            for engine in (POLICY, HINTED):
                for attempt in self.ledger.attempts(number, engine):
                    verdict = self.ledger.verdict_of(attempt.key)
                    judged[attempt.key] = attrs.evolve(
                        attempt.trajectory,
                        score=verdict.score if verdict else None,
                        verdict=verdict,
                    )
            self._judged = (number, judged)
        return self._judged[1]

    def kept_rows(self, number: int) -> list[Trajectory]:
        """Return the rows that a round kept; of round 0, the demonstrations."""
        if number not in self.kept:
            self.kept[number] = list(jsonl.read(self.place(stages.kept_path(number)), Trajectory))
        return self.kept[number]

    def wait_for(self, coroutine: Any) -> Any:
        """Run a coroutine to its end; an interrupt cancels it and is raised here."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)

    def run(self) -> RunResult:
        """Do what is still to be done and return how the run ended.

        Raises:
            ConfigError: The folder holds a run of another recipe.
            RunLockedError: Another process works on this run.
            OrbiterError: A stage failed; what was durable before stays so.
        """
        with self:
            if not self.place("rounds.jsonl").exists():
                stages.check(self)
            return self._run()

    def _run(self) -> RunResult:
        with Ledger.open(self.path) as self.ledger:
            self._claim_folder()
            events = self.ledger.events("stage_done")
            self._done = {(event["round"], event["stage"]): event for event in events}
            exports = unstructure(self.recipe.exports)
            done = self.ledger.last_event("run_done")
            finished = done is not None and done.get("exports") == exports
            stopped = self._rounds()
            if finished and not self._worked:
                return self._result(stopped=stopped, was_finished=True)
            stages.export(self)
            self.ledger.add_event(
                "run_done", rounds=self.recipe.rounds, stopped=stopped, exports=exports
            )
            return self._result(stopped=stopped)

    def _rounds(self) -> str | None:
        recipe = self.recipe
        self.stage(0, "audit", stages.audit)
        self._use(BASE, self.stage(0, "model", stages.model).get("checkpoint"))
        if recipe.teach is not None:
            self._use(TEACH, self.stage(0, "teach", stages.teach).get("checkpoint"))
        self.stage(0, "evaluate", stages.evaluate)
        self.stage(0, "round", stages.summarise)
        with _settled_garbage():
            return self._turn()

    def _turn(self) -> str | None:
        ended: dict[str, str] = {}
        for turn in self.recipe.turns:
            # Gates are asked anew each time, so that a stopped run goes on when they are opened.
            if turn.name in ended:
                continue
            if reason := stages.reason_before(self, turn) or self._round(turn):
                return reason
            if reason := stages.reason_after(self, turn):
                return reason
            if reason := stages.reached(self, turn):
                ended[turn.name] = reason
        return ended.get(self.recipe.turns[-1].name)

    def _round(self, turn: Turn) -> str | None:
        """Do what is still to be done of a round, and return why the run stops in the middle of it, or None."""
        number, stage = turn.number, turn.stage
        if turn.stage.model is not None and number == turn.first:
            self._answer_with(turn.stage.model)
        if stage.demonstrate is not None:
            self.stage(number, "demonstrate", stages.demonstrate)
        if stage.generate is not None:
            self.stage(number, "generate", stages.generate)
        if stage.generate is not None or stages.reads_rows(self, turn):
            self.stage(number, "curate", stages.curate)
        if reason := stages.reason_to_learn_nothing(self, turn):
            return reason
        answers = True
        if stage.train is not None:
            answers = not stages.scores(self, stage.train)
            checkpoint = self.stage(number, "train", stages.train).get("checkpoint")
            self._use(turn.name, checkpoint, answers=answers)
        if answers and (stage.generate is not None or stage.train is not None):
            self.stage(number, "evaluate", stages.evaluate)
            if stage.gates.max_kl is not None and stage.train is not None:
                self.stage(number, "distance", stages.distance)
        self.stage(number, "round", stages.summarise)
        return None

    def stage(
        self, number: int, name: str, work: Callable[[Flywheel, int], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return what a stage of a round gave: from the ledger if it is complete, else by doing it now."""
        done = self.done(number, name)
        if done is not None:
            return done
        plugin_manager().notify(
            "orbiter_on_state",
            StateEvent(subject=self.recipe.name, old=self._state, new=f"round {number}: {name}"),
        )
        self._worked, self._state = True, f"round {number}: {name}"
        started = perf_counter()
        fields = work(self, number)
        fields.setdefault("seconds", round(perf_counter() - started, 4))
        fields = {"round": number, "stage": name, **fields}
        self.ledger.add_event("stage_done", **fields)
        # As a resumed run will find it.
        self._done[number, name] = self.ledger.last_event("stage_done") or {}
        if name == "round":
            plugin_manager().notify(
                "orbiter_on_round",
                RoundEvent(run=self.recipe.name, round=number, summary=fields),
            )
        return fields

    def done(self, number: int, name: str) -> dict[str, Any] | None:
        """Return what a complete stage gave, or None."""
        return self._done.get((number, name))

    @property
    def checkpoint(self) -> Path | None:
        """The model that answers now."""
        return self._checkpoint

    def place(self, relative: str) -> Path:
        """Return a path inside the run's folder."""
        return self.path / relative

    def _use(self, name: str, checkpoint: str | None, *, answers: bool = True) -> None:
        """Note the model that a stage made, and answer with it from now on if it is one that answers."""
        if checkpoint is not None:
            self.models[name] = checkpoint
            if answers:
                self._checkpoint = self.place(checkpoint)
                self._loaded = False

    def _answer_with(self, name: str) -> None:
        """Answer with the model that an earlier stage made, or with the first one."""
        if name in self.models:
            self._use(name, self.models[name])
        elif (
            self._checkpoint is not None
        ):  # the first model is one by id, which the policy is made with
            if self._policy is not None:
                self.wait_for(self._policy.aclose())
            self._policy, self._checkpoint, self._loaded = None, None, False

    def ready_policy(self) -> Policy:
        """Return the policy with the present checkpoint loaded."""
        policy = self.policy
        if self._checkpoint is not None and not self._loaded:
            with user_code(f"policy {policy.name!r}", "load"):
                policy.load(self._checkpoint)
            self._loaded = True
        return policy

    def label(self, model: str | Path) -> str:
        """Return the name of a model for records: relative to the run's folder if it is in there, wherever that lies."""
        path = Path(model)
        return (
            path.relative_to(self.path).as_posix() if path.is_relative_to(self.path) else str(model)
        )

    @property
    def model_label(self) -> str | None:
        """The name of the model that answers, for records."""
        if self._checkpoint is not None:
            return self.label(self._checkpoint)
        return self.policy.model

    def _claim_folder(self) -> None:
        """Save the recipe with the run, or check that it is the one that made the run."""
        for draft in self.path.rglob(".*.tmp"):
            draft.unlink()  # what a killed process was writing; the lock says that nobody writes it now
        if self.ledger.last_event("run_started") is not None:
            self._compare(unstructure(self.recipe), self.ledger.last_event("run_started") or {})
            self._note_changes()
        else:
            self.ledger.add_event(
                "run_started",
                name=self.recipe.name,
                base_dir=str(self.base_dir.resolve()),
                recipe=unstructure(self.recipe),
                provenance=provenance(self.verifier),
            )
        with jsonl.replace_file(self.place("recipe.yaml")) as file:
            file.write(dump_recipe(self.recipe).encode())

    def _note_changes(self) -> None:
        """Record and tell when other code than before goes on with the run: its rows are then not all of one making."""
        before = self.ledger.last_event("provenance_changed") or self.ledger.last_event(
            "run_started"
        )
        found, now = (before or {}).get("provenance") or {}, provenance(self.verifier)
        changed = sorted(key for key in now.keys() | found.keys() if now.get(key) != found.get(key))
        if not changed:
            return
        self.ledger.add_event("provenance_changed", changed=changed, provenance=now)
        warnings.warn(
            f"run {str(self.path)!r} goes on with other versions than it began with: {', '.join(changed)} changed",
            LedgerWarning,
            stacklevel=2,
        )

    def _compare(self, now: dict[str, Any], started: Mapping[str, Any]) -> None:
        before = _unchangeable(started.get("recipe") or {})
        now = _unchangeable(now)
        differing = sorted(
            key for key in now.keys() | before.keys() if now.get(key) != before.get(key)
        )
        if differing:
            key = differing[0]
            raise ConfigError(
                f"run {str(self.path)!r} was made by another recipe: {', '.join(differing)} differs; "
                f"{key} was {before.get(key)!r}, now {now.get(key)!r}",
                hint="choose another name with name=..., or restore the recipe",
            )

    def _result(self, *, stopped: str | None, was_finished: bool = False) -> RunResult:
        rounds = tuple(
            event for event in self.ledger.events("stage_done") if event.get("stage") == "round"
        )
        last = self.ledger.last_event("checkpoint_written")
        checkpoint = self.place(last["path"]) if last else None
        return RunResult(
            path=self.path,
            rounds=rounds,
            checkpoint=checkpoint,
            stopped=stopped,
            was_finished=was_finished,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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


def _unchangeable(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a recipe must say still when its run is gone on with: of the stages all but their gates, and of the last its rounds."""
    kept = {key: value for key, value in recipe.items() if key not in MAY_CHANGE}
    stages = {
        name: {key: value for key, value in stage.items() if key != "gates"}
        for name, stage in (recipe.get("stages") or {}).items()
    }
    if stages:
        stages[list(stages)[-1]].pop("rounds", None)
        kept["stages"] = stages
    return kept


_FROZEN_BY_PYTHON = 10_000
"""More than this many frozen objects are the application's doing: Python 3.12 freezes some hundred as it starts."""


@contextmanager
def _settled_garbage() -> Iterator[None]:
    """Keep the garbage collector from walking through all objects of the loaded libraries in the middle of every round.

    There are half a million of them after torch and its like, they live as long as the process, and one walk takes as long as
    curating a round. Where the application has frozen its objects itself, that is not done again, nor undone.
    """
    if gc.get_freeze_count() > _FROZEN_BY_PYTHON:
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
