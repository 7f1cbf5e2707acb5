"""A short timed probe of a recipe: what a run will take, before anything is spent on it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import attrs
from attrs import frozen

from orbiter import jsonl
from orbiter.errors import ConfigError, user_code
from orbiter.flywheel import odds, stages
from orbiter.flywheel.account import newest_model
from orbiter.flywheel.demonstrations import demonstrations, made_by_stage
from orbiter.flywheel.exchanges import Exchanges
from orbiter.flywheel.flywheel import Flywheel
from orbiter.flywheel.recipe import TEACH, Recipe, Stage, Turn
from orbiter.flywheel.sections import Train
from orbiter.flywheel.stages.datasets import own_rounds, sources_of
from orbiter.flywheel.stages.synthesising import make_engine
from orbiter.generate.policy import Completion, Request, ask_all
from orbiter.intervals import clustered_size
from orbiter.ledger import History
from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.tasks.streams import item_seed
from orbiter.train.backend import TrainJob

TRAIN_STEPS = 3
"""Optimiser steps that the probe times, after one that warms up."""


@frozen(kw_only=True)
class Sample:
    """One task, what was answered, and the verdict on it."""

    task: Task
    completion: Completion
    verdict: Verdict


@frozen(kw_only=True)
class Estimate:
    """What a run will take, extrapolated from a probe.

    Args:
        model: The model that was probed.
        probed: Attempts that were sampled.
        pass_rate: Share of them that passed, of the valid ones; None if none was valid.
        pass_rate_interval: Its 95 % Wilson interval.
        samples: Answers of policies in the whole run: attempts, held-out ones included, and what writers and critics say.
        tokens: Tokens of the whole run.
        kept_per_round: Expected rows kept in a round at the probed pass rate.
        sample_s: Seconds of generating and verifying.
        train_s: Seconds of training; None without a training stage.
        reason: Why the first answer that did not pass did not.
    """

    model: str
    probed: int
    pass_rate: float | None
    pass_rate_interval: odds.Interval | None
    samples: int
    tokens: int
    kept_per_round: float | None
    sample_s: float
    train_s: float | None
    reason: str

    @property
    def seconds(self) -> float:
        """Seconds of the whole run."""
        return self.sample_s + (self.train_s or 0.0)


@contextmanager
def probing(wheel: Flywheel) -> Iterator[str]:
    """Load the newest model of the run, or its first one, and give its name; a model that must be made is made in a temporary folder."""
    newest = _newest_checkpoint(wheel)
    spec = wheel.recipe.model
    folder = Path(tempfile.mkdtemp(prefix="orbiter-probe-"))
    try:
        with wheel:
            if newest is not None:
                wheel.policy.load(newest)
                yield str(newest)
            elif spec is not None and spec.name is not None:
                made = stages.make_model(wheel, spec, folder / "base")
                wheel.policy.load(made)
                yield str(made)
            else:
                yield (spec.id if spec and spec.id else None) or wheel.policy.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _newest_checkpoint(wheel: Flywheel) -> Path | None:
    if not wheel.place("rounds.jsonl").exists():
        return None
    with History.open(wheel.path) as ledger:
        newest = newest_model(ledger)
    return wheel.place(newest) if newest is not None else None


def demonstrated(wheel: Flywheel, count: int) -> list[Trajectory]:
    """Return a few demonstrations of the first stage, of a recipe that does nothing else."""
    turn = wheel.recipe.turns[0]
    if turn.stage.demonstrate is None:
        return []
    few = attrs.evolve(turn.stage.demonstrate, count=count)
    turn = attrs.evolve(turn, stage=attrs.evolve(turn.stage, demonstrate=few))
    with wheel:
        return made_by_stage(wheel, turn, Exchanges())


def sample(wheel: Flywheel, tasks: list[Task], *, samples: int = 1) -> tuple[list[Sample], float]:
    """Return answers and verdicts for some tasks, and the seconds that they took."""
    requests = [
        Request(
            messages=task.messages,
            env=task.env,
            task_id=task.task_id,
            attempt=n,
            seed=item_seed(wheel.recipe.seed, "probe", task.task_id, n),
            tools=task.tools,
        )
        for task in tasks
        for n in range(samples)
    ]
    asked = [task for task in tasks for _ in range(samples)]
    started = perf_counter()
    policy = stages.with_tools(wheel, tasks, wheel.policy)
    completions = wheel.wait_for(ask_all(policy, requests, wheel.recipe.policy.sampling))
    verdicts = list(_verdicts(wheel, asked, completions))
    spent = perf_counter() - started
    out = [Sample(task=t, completion=c, verdict=v) for t, c, v in zip(asked, completions, verdicts)]
    return out, spent


def _verdicts(
    wheel: Flywheel, tasks: list[Task], completions: list[Completion]
) -> Iterator[Verdict]:
    pairs = [
        (task, Trajectory.following(task, *completion.messages))
        for task, completion in zip(tasks, completions)
        if completion.error is None
    ]
    judged = iter(wheel.pool.judge_all(pairs))
    for completion in completions:
        error = completion.error
        yield next(judged) if error is None else Verdict.invalid(f"no answer: {error}")


def estimate(wheel: Flywheel, *, tasks: int = 64) -> Estimate:
    """Return what the recipe will take, from sampling a few tasks and a few steps of training."""
    recipe = wheel.recipe
    with probing(wheel) as model:
        probe_tasks = wheel.tasks(_sampling_turn(recipe).number)[:tasks]
        sample(wheel, probe_tasks[:2])  # the first call pays for loading and warming up
        samples, seconds = sample(wheel, probe_tasks, samples=2)
        train_s = _train_seconds(wheel, model)
        answers = sum(most_answers(wheel, turn.stage) for turn in recipe.turns)
    clusters = _by_task(samples)
    passed, valid = sum(p for p, _ in clusters), sum(n for _, n in clusters)
    answers += (recipe.rounds + 1) * recipe.evaluate.tasks * recipe.evaluate.samples
    tokens = sum(s.completion.token_count for s in samples)
    rate = passed / valid if valid else None
    return Estimate(
        model=model,
        probed=len(samples),
        pass_rate=rate,
        pass_rate_interval=odds.wilson(passed, valid, effective=clustered_size(clusters))
        if valid
        else None,
        samples=answers,
        tokens=round(answers * tokens / len(samples)),
        kept_per_round=None if rate is None else expected_kept(wheel, rate),
        sample_s=answers * seconds / len(samples),
        train_s=train_s,
        reason=next((s.verdict.reason for s in samples if s.verdict.reason), ""),
    )


def most_answers(wheel: Flywheel, stage: Stage) -> int:
    """Return how many answers of policies a round of a stage takes, critiques and revisions too; of an engine, at most."""
    if stage.generate is not None:
        revised = 0 if stage.revise is None else 2 * stage.revise.rounds
        hinted = 0 if stage.generate.hint is None else 1
        return stage.generate.tasks * (stage.generate.samples + hinted) * (1 + revised)
    if stage.synthesise is None:
        return 0
    engine = make_engine(wheel, stage.synthesise, seed=0)
    wheel.wait_for(engine.aclose(keep=wheel.policy))
    return stage.synthesise.tasks * engine.answers_per_task


def _by_task(samples: list[Sample]) -> list[tuple[int, int]]:
    """Return of each task how many of its answers passed, and how many were validly judged."""
    tasks: dict[tuple[str, str], list[bool]] = {}
    for s in samples:
        if s.verdict.outcome is not Outcome.INVALID:
            passes = tasks.setdefault((s.task.env, s.task.task_id), [])
            passes.append(s.verdict.outcome is Outcome.PASS)
    return [(sum(passes), len(passes)) for passes in tasks.values()]


def _sampling_turn(recipe: Recipe) -> Turn:
    """Return the first round that samples; of a recipe that leaves it to its trainers, the first."""
    return next((turn for turn in recipe.turns if turn.stage.generate), recipe.turns[0])


def expected_kept(wheel: Flywheel, pass_rate: float) -> float:
    """Return the expected rows kept in the first round that samples: tasks * E[min(cap, passes of a task)], passes binomial.

    An upper bound where answers repeat, since repeats are dropped.
    """
    stage = _sampling_turn(wheel.recipe).stage
    spec, cap = stage.generate or wheel.recipe.generate, stage.curate.max_per_task
    return spec.tasks * odds.expected_survivors(pass_rate, samples=spec.samples, cap=cap)


def _train_seconds(wheel: Flywheel, model: str) -> float | None:
    """Return the seconds that all training stages will take, from a few timed steps on demonstrations; None if one trains on other data."""
    recipe = wheel.recipe
    specs = [turn.stage.train for turn in recipe.turns if turn.stage.train is not None]
    spec = next(iter(specs), recipe.teach)
    if spec is None:
        return None
    if any(stages.record_of(wheel, one) is not Trajectory for one in specs):
        return None
    backend = stages.make_backend(wheel, spec)
    try:
        shown = demonstrations(wheel, min(64, spec.batch_size * 2), Exchanges())
    except ConfigError:
        return None
    folder = Path(tempfile.mkdtemp(prefix="orbiter-probe-"))
    try:
        jsonl.write(folder / "rows.jsonl", shown)
        per_step = []
        for steps in (1, 1 + TRAIN_STEPS):
            config = attrs.evolve(
                spec, max_steps=steps, save_every=None, eval_every=None, report_to=()
            )
            job = TrainJob(
                algorithm=spec.algorithm,
                model=model,
                data=folder / "rows.jsonl",
                output_dir=folder / f"out-{steps}",
                config=config,
                options=spec.options,
            )
            started = perf_counter()
            with user_code(f"backend {backend.name!r}", "train"):
                backend.train(job)
            per_step.append(perf_counter() - started)
        fixed, step = per_step[0], max(0.0, per_step[1] - per_step[0]) / TRAIN_STEPS
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    total = 0.0
    if recipe.teach is not None:
        total += fixed + step * (
            recipe.teach.max_steps or _steps(recipe.teach, recipe.teach.demonstrations)
        )
    for turn in recipe.turns:
        if (train := turn.stage.train) is not None:
            total += fixed + step * (train.max_steps or _steps(train, _most_rows(wheel, turn)))
    return total


def _most_rows(wheel: Flywheel, turn: Turn) -> int:
    """Return how many rows a round trains on if every round keeps all that it may."""
    recipe, total = wheel.recipe, 0
    for source in sources_of(recipe, turn.name):
        if source == TEACH:
            total += 0 if recipe.teach is None else recipe.teach.demonstrations
        elif source.endswith(".jsonl"):
            total += (wheel.base_dir / source).read_bytes().count(b"\n")
        else:
            stage = recipe.graph[source]
            rounds = own_rounds(turn) if source == turn.name else range(stage.rounds)
            asked = stage.generate or stage.synthesise
            kept = 0 if asked is None else asked.tasks * stage.curate.max_per_task
            shown = 0 if stage.demonstrate is None else stage.demonstrate.count
            total += len(rounds) * (kept + shown)
    return total


def _steps(spec: Train, rows: int) -> float:
    return spec.epochs * rows / (spec.batch_size * spec.gradient_accumulation)
