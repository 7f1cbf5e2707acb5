"""Demonstrations for the cold start: right answers, confirmed by the verifier, none of them to a held-out task."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs
from attrs import frozen

from orbiter.errors import ConfigError, OrbiterWarning, user_code
from orbiter.flywheel.exchanges import Exchanges
from orbiter.generate.engine import PolicySynthesiser
from orbiter.generate.synthesiser import DataSynthesiser
from orbiter.ledger.attempt import as_given
from orbiter.plugin import registry
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict, content_hash
from orbiter.registry import parameters_of
from orbiter.tasks.environment import Environment, demonstration_of
from orbiter.tasks.splits import TaskStream, is_held_out
from orbiter.tasks.streams import item_seed
from orbiter.verify.scoring import own_task
from orbiter.verify.verifier import Verifier

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import Turn
    from orbiter.flywheel.sections import Component, Demonstrate

REACH = 64
"""How many rows of an engine are looked at, per demonstration wanted, before it counts as exhausted."""


@frozen
class Source:
    """An environment that demonstrates, and what confirms it."""

    environment: Environment
    verifier: Verifier


def demonstrations(wheel: Flywheel, count: int, exchanges: Exchanges) -> list[Trajectory]:
    """Return up to ``count`` demonstrations: of the recipe's engines in equal parts, or of the environment itself.

    What an engine cannot give is made up by those after it.

    Args:
        wheel: The run.
        count: How many are wanted.
        exchanges: Asks the policies of the engines, and knows what they spent.

    Raises:
        ConfigError: The environment knows no answers, or its own verifier does not pass them.
    """
    teach = wheel.recipe.teach
    engines = teach.synthesisers if teach is not None else ()
    if not engines:
        source = Source(wheel.environment, wheel.verifier)
        return _confirmed(wheel, source, wheel.stream("train").take(count))
    rows = _made(wheel, engines, count, exchanges, "synthesiser")
    _tell_shortfall("teach.demonstrations", count, len(rows), SYNTHESISERS)
    return rows


def made_by_stage(wheel: Flywheel, turn: Turn, exchanges: Exchanges) -> list[Trajectory]:
    """Return the demonstrations that a stage asks for, none of them to a task that an earlier one had.

    Raises:
        ConfigError: As :func:`demonstrations`.
    """
    spec = turn.stage.demonstrate
    if spec is None:
        return []
    if spec.synthesisers:
        rows = _made(wheel, spec.synthesisers, spec.count, exchanges, "synthesiser", turn.number)
        who = SYNTHESISERS
    else:
        source, tasks = _to_show(wheel, turn, spec)
        rows = _confirmed(wheel, source, tasks)
        who = f"environment {source.environment.name!r} has {{}} tasks that are not held out"
    _tell_shortfall(f"stages.{turn.name}.demonstrate.count", spec.count, len(rows), who)
    return [attrs.evolve(row, round=turn.number) for row in rows]


SYNTHESISERS = (
    "the synthesisers have {} distinct rows that pass the verifier and answer no held-out prompt"
)


def _tell_shortfall(place: str, wanted: int, count: int, who: str) -> None:
    if count < wanted:
        warnings.warn(f"{place} is {wanted}, but {who.format(count)}", OrbiterWarning, stacklevel=3)


def _to_show(wheel: Flywheel, turn: Turn, spec: Demonstrate) -> tuple[Source, list[Task]]:
    """Return the environment that a stage has demonstrate, and the tasks of this round."""
    if spec.environment is None:
        source = Source(wheel.environment, wheel.verifier)
        return source, wheel.next_tasks(spec.count, until=turn.number)
    source = Source(*wheel.environment_of(f"stages.{turn.name}", spec.environment))
    stream = TaskStream(
        source.environment,
        seed=item_seed(wheel.recipe.seed, "tasks"),
        share=wheel.recipe.evaluate.share,
    )
    before = (other.stage.demonstrate for other in wheel.recipe.turns[: turn.number - 1])
    start = sum(
        other.count
        for other in before
        if other is not None and other.environment == spec.environment and not other.synthesisers
    )
    return source, stream.cycle(spec.count, start=start)


def answers_to(wheel: Flywheel, number: int) -> list[Trajectory]:
    """Return the environment's own answers to the tasks of a round, confirmed by the verifier."""
    source = Source(wheel.environment, wheel.verifier)
    rows = _confirmed(wheel, source, wheel.tasks(number))
    return [attrs.evolve(row, round=number) for row in rows]


def _made(
    wheel: Flywheel,
    engines: Sequence[Component],
    count: int,
    exchanges: Exchanges,
    *key: str | int,
) -> list[Trajectory]:
    """Return rows of several engines; ``key`` names their seeds."""
    rows: list[Trajectory] = []
    for i, engine in enumerate(engines):
        share = math.ceil((count - len(rows)) / (len(engines) - i))
        rows += _made_by(wheel, _seeded(wheel, engine, *key, i), share, exchanges, beside=rows)
    return rows


def _seeded(wheel: Flywheel, engine: Component, *key: str | int) -> Component:
    """Give an engine that takes a seed one from the run's, unless the recipe gives it one."""
    factory = registry().get("synthesiser", engine.name, base_dir=wheel.base_dir)
    if "seed" in engine.extra or "seed" not in (parameters_of(factory) or ()):
        return engine
    seed = item_seed(wheel.recipe.seed, *key) % 2**31
    return attrs.evolve(engine, extra={**engine.extra, "seed": seed})


def _confirmed(wheel: Flywheel, source: Source, tasks: Sequence[Task]) -> list[Trajectory]:
    """Return the environment's demonstrations; one that the verifier does not pass is a fault of the environment."""
    rows = [_demonstrated(source.environment, task) for task in tasks]
    verdicts = wheel.pool_of(source.verifier).judge_all(list(zip(tasks, rows)))
    for row, verdict in zip(rows, verdicts):
        if verdict.outcome is not Outcome.PASS:
            raise ConfigError(
                f"environment {source.environment.name!r} demonstrates {row.answer!r} for task {row.task_id!r}, "
                f"but verifier {source.verifier.name!r} says {verdict.outcome.value}: {verdict.reason}"
            )
    return [attrs.evolve(r, score=v.score, verdict=v) for r, v in zip(rows, verdicts)]


def _demonstrated(environment: Environment, task: Task) -> Trajectory:
    answer = demonstration_of(environment, task)
    if answer is None:
        raise ConfigError(
            f"environment {environment.name!r} cannot demonstrate task {task.task_id!r}",
            hint="leave the teach stage out, or name synthesisers in it",
        )
    turn = Message("assistant", answer)
    return Trajectory.following(task, turn, generator="demonstration", round=0)


def _made_by(
    wheel: Flywheel,
    engine: Component,
    count: int,
    exchanges: Exchanges,
    *,
    beside: Sequence[Trajectory],
) -> list[Trajectory]:
    """Return distinct rows of an engine that pass the verifier, answer no held-out prompt and are none of the others."""
    synthesiser = wheel.make("synthesiser", engine)
    if isinstance(synthesiser, PolicySynthesiser):
        n = wheel.recipe.curate.decontaminate
        synthesiser.forbidden = lambda task: wheel.reserved(task, n=n)
        # An engine that is asked for more asks for the same again.
        synthesiser.asking = exchanges.ask
    asked, tried = count, 0
    rows: list[Trajectory] = []
    try:
        while True:
            made = _generated(wheel, synthesiser, engine.name, asked)
            judged = _judged(wheel, made, beside)
            others = [v for _, v in judged if v.outcome is not Outcome.PASS]
            before, rows = rows, [row for row, v in judged if v.outcome is Outcome.PASS][:count]
            if isinstance(synthesiser, PolicySynthesiser):
                # It returns what passed, so that fewer rows do not say that there are no more tasks.
                is_exhausted = synthesiser.report.tried == tried or len(rows) == len(before)
                tried = synthesiser.report.tried
            else:
                is_exhausted = len(made) < asked
            if len(rows) == count or is_exhausted or asked >= REACH * count:
                if others and len(rows) < count:
                    warnings.warn(
                        f"synthesiser {engine.name!r}: the verifier does not pass {len(others)} of {len(judged)} "
                        f"rows; the first: {others[0].outcome.value}: {others[0].reason}",
                        OrbiterWarning,
                        stacklevel=2,
                    )
                return rows
            asked *= 2
    finally:
        if isinstance(synthesiser, PolicySynthesiser):
            wheel.wait_for(synthesiser.aclose())


def _generated(
    wheel: Flywheel, synthesiser: DataSynthesiser, name: str, count: int
) -> list[Trajectory]:
    """Return what an engine generates; how much it falls short is told of all engines together."""
    with warnings.catch_warnings():
        if isinstance(synthesiser, PolicySynthesiser):
            warnings.simplefilter("ignore", OrbiterWarning)
        with user_code(f"synthesiser {name!r}", f"generate({count})"):
            return wheel.wait_for(synthesiser.generate(count))


def _judged(
    wheel: Flywheel, made: Iterable[Trajectory], beside: Iterable[Trajectory]
) -> list[tuple[Trajectory, Verdict]]:
    """Return distinct rows that answer no held-out prompt and are none of the others, with their verdicts."""
    share, pairs = wheel.recipe.evaluate.share, []
    seen = {content_hash(row.messages) for row in beside}
    held_out = wheel.held_out(wheel.recipe.curate.decontaminate)
    for row in made:
        task = own_task(row)
        key = content_hash(row.messages)
        if key in seen or (share > 0 and is_held_out(task, share=share)):
            continue
        # Beside the hash of its prompt, which another system message would change.
        if held_out is not None and held_out.find(row) is not None:
            continue
        seen.add(key)
        pairs.append((task, row))
    return [
        (attrs.evolve(as_given(row), score=verdict.score, verdict=verdict, round=0), verdict)
        for (_, row), verdict in zip(pairs, wheel.pool.judge_all(pairs))
    ]
