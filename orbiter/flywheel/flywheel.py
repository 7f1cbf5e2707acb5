"""The flywheel: walks a recipe's rounds and stages, and can be stopped and gone on with at any point."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import attrs
from attrs import frozen

from orbiter import jsonl
from orbiter.convert import unstructure
from orbiter.errors import user_code
from orbiter.flywheel import stages
from orbiter.flywheel.account import newest_model
from orbiter.flywheel.claim import claim_folder
from orbiter.flywheel.engines import FOR_TRAINING
from orbiter.flywheel.parts import Parts
from orbiter.flywheel.recipe import BASE, TEACH, Recipe, Turn
from orbiter.flywheel.sections import Gates
from orbiter.generate.policy import Policy
from orbiter.hookspecs import RoundEvent, StateEvent
from orbiter.ledger import AttemptKey, Ledger
from orbiter.plugin import plugin_manager
from orbiter.records import Task, Trajectory


@frozen(kw_only=True)
class RunResult:
    """How a run ended.

    Args:
        path: Folder of the run.
        rounds: The summary of every round, as in rounds.jsonl; round 0 is the cold start.
        checkpoint: The last model that was trained to answer, or None if none was.
        stopped: Why it ended before its last round, or None.
        was_finished: The run was complete already and nothing was done.
        exports: The files that the recipe's exporters wrote.
    """

    path: Path
    rounds: tuple[Mapping[str, Any], ...]
    checkpoint: Path | None
    stopped: str | None = None
    was_finished: bool = False
    exports: tuple[Path, ...] = ()


class Flywheel(Parts):
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
        super().__init__(recipe, base_dir=base_dir)
        self.path = Path(runs_dir) / recipe.name
        self.ledger: Ledger
        self.kept: dict[int, list[Trajectory]] = {}
        self.preferences: dict[str, list[tuple[bytes, tuple[str, ...]]]] = {}
        self.compared: dict[str, dict[str, AttemptKey]] = {}
        self._kept_ids: dict[int, tuple[list[Trajectory], list[str]]] = {}
        self.models: dict[str, str] = {}
        self._judged: tuple[int, dict[AttemptKey, Trajectory]] = (-1, {})
        self._done: dict[tuple[int, str], dict[str, Any]] = {}
        self._checkpoint: Path | None = None
        self._loaded = False
        self._worked, self._state = False, ""

    def turn(self, number: int) -> Turn:
        """Return what the recipe says of a round, counted from 1."""
        return self.recipe.turns[number - 1]

    def gates(self, number: int) -> Gates:
        """Return the gates of a round; of round 0, the recipe's own."""
        return self.turn(number).stage.gates if number else self.recipe.gates

    def tasks(self, number: int) -> list[Task]:
        """Return the tasks that a round asks."""
        return stages.round_tasks(self, number)

    def next_tasks(self, count: int, *, until: int) -> list[Task]:
        """Return the tasks that follow those of the rounds before one."""
        return stages.next_tasks(self, count, until=until)

    def remember(self, number: int, judged: dict[AttemptKey, Trajectory]) -> None:
        """Keep a round's judged attempts at hand for its curation; only the newest round's are."""
        self._judged = (number, judged)

    def judged(self, number: int) -> dict[AttemptKey, Trajectory]:
        """Return a round's attempts with their verdicts, in identity order."""
        if self._judged[0] != number:
            judged = {}
            for engine in FOR_TRAINING:
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

    def kept_ids(self, number: int) -> list[str]:
        """Return the ids of the rows that a round kept."""
        rows = self.kept_rows(number)
        known = self._kept_ids.get(number)
        if known is None or known[0] is not rows:
            known = self._kept_ids[number] = (rows, [row.id for row in rows])
        return known[1]

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
            claim_folder(self.ledger, self.recipe, self.verifier, base_dir=self.base_dir)
            events = self.ledger.events("stage_done")
            self._done = {(event["round"], event["stage"]): event for event in events}
            exports = unstructure(self.recipe.exports)
            done = self.ledger.last_event("run_done")
            stopped = self._rounds()
            if (
                done is not None
                and not self._worked
                and (done.get("exports"), done.get("stopped")) == (exports, stopped)
            ):
                return self._result(stopped=stopped, was_finished=True)
            stages.export(self)
            self.ledger.add_event(
                "run_done", rounds=self.recipe.rounds, stopped=stopped, exports=exports
            )
            return self._result(stopped=stopped)

    def _rounds(self) -> str | None:
        recipe = self.recipe
        with _settled_garbage() as settle:
            self.stage(0, "audit", stages.audit)
            self._use(BASE, self.stage(0, "model", stages.model).get("checkpoint"))
            settle()
            if recipe.teach is not None:
                self._use(TEACH, self.stage(0, "teach", stages.teach).get("checkpoint"))
            self.stage(0, "evaluate", stages.evaluate)
            self.stage(0, "round", stages.summarise)
            settle()
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
        if stage.model is not None and number == turn.first:
            self._answer_with(stage.model)
        if stage.demonstrate is not None:
            self.stage(number, "demonstrate", stages.demonstrate)
        if stage.generate is not None:
            self.stage(number, "generate", stages.generate)
        if stage.synthesise is not None:
            self.stage(number, "synthesise", stages.synthesise)
        if stage.attempts or stages.reads_rows(self, turn):
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
        elif self._checkpoint is not None:
            # The first model is one by id, which the policy is made with.
            self.drop_policy()
            self._checkpoint, self._loaded = None, False

    def ready_policy(self) -> Policy:
        """Return the policy with the present checkpoint loaded."""
        policy = self.policy
        if self._checkpoint is not None and not self._loaded:
            with user_code(f"policy {policy.name!r}", "load"):
                policy.load(self._checkpoint)
            self._loaded = True
        return policy

    def policy_of(self, model: str) -> Policy:
        """Return a policy of the recipe's kind that answers with a model of the run, or with one by id."""
        policy = self._make_policy()
        if self.place(model).is_dir():
            policy.load(self.place(model))
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

    def _result(self, *, stopped: str | None, was_finished: bool = False) -> RunResult:
        rounds = tuple(
            event for event in self.ledger.events("stage_done") if event.get("stage") == "round"
        )
        last = newest_model(self.ledger, made_by=("teach", "train"))
        checkpoint = self.place(last) if last is not None else None
        files = (name for event in self.ledger.events("exported") for name in event["files"])
        return RunResult(
            path=self.path,
            rounds=rounds,
            checkpoint=checkpoint,
            stopped=stopped,
            was_finished=was_finished,
            exports=tuple(self.place(name) for name in dict.fromkeys(files)),
        )


_FROZEN_BY_PYTHON = 10_000
"""More than this many frozen objects are the application's doing: Python 3.12 freezes some hundred as it starts."""


@contextmanager
def _settled_garbage() -> Iterator[Callable[[], None]]:
    """Keep the garbage collector from walking through all objects of the loaded libraries in the middle of every round.

    There are half a million of them after torch and its like, they live as long as the process, and one walk takes as long as
    curating a round. What is yielded takes in what was loaded meanwhile, which is all that it walks through. Where the application
    has frozen its objects itself, nothing is frozen, nor undone.
    """
    if gc.get_freeze_count() > _FROZEN_BY_PYTHON:
        yield lambda: None
        return

    def settle() -> None:
        gc.collect()
        gc.freeze()

    settle()
    try:
        yield settle
    finally:
        gc.unfreeze()
