"""The stage in which an engine makes attempts: what it proposes is written down, then judged and recorded like any answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from orbiter import jsonl
from orbiter.errors import ConfigError, user_code
from orbiter.flywheel.engines import SYNTHESISED
from orbiter.flywheel.exchanges import Exchanges
from orbiter.flywheel.rollout import Rollout
from orbiter.flywheel.rollout_plan import RolloutPlan
from orbiter.flywheel.sections import Component
from orbiter.flywheel.spending import spending_facts
from orbiter.flywheel.stages.datasets import asked_path
from orbiter.flywheel.stages.rollouts import rollout_facts, round_tasks
from orbiter.flywheel.waves import CountedWaves
from orbiter.generate.engine import PolicySynthesiser
from orbiter.generate.policy import Completion, Policy, Request, Sampling, Spending
from orbiter.generate.proposals import Dropped, Proposal, Proposed
from orbiter.plugin import registry
from orbiter.records import Task
from orbiter.registry import parameters_of
from orbiter.tasks.streams import item_seed

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import Turn
    from orbiter.flywheel.sections import Synthesise


@frozen(kw_only=True)
class ProposedLine:
    """A line of the file of proposals: an attempt to be judged, what the engine gave up, or, in the last line, what was spent on the rest.

    Args:
        task: The task of an attempt.
        completion: What follows its prompt.
        dropped: What was given up.
        beside: What was spent beside the attempts.
    """

    task: Task | None = None
    completion: Completion | None = None
    dropped: Dropped | None = None
    beside: Spending | None = None


def proposed_path(number: int) -> str:
    """Return where the proposals of a round are."""
    return f"data/round-{number}-proposed.jsonl"


def proposed_tasks(wheel: Flywheel, number: int) -> list[Task]:
    """Return the tasks of a round's proposals."""
    return list(_tasks(_read(wheel.place(proposed_path(number))).proposals))


def synthesise(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Have the engine make its attempts, and judge them."""
    turn = wheel.turn(number)
    spec = turn.stage.synthesise
    if spec is None:
        return {}
    started = perf_counter()
    engine = make_engine(wheel, spec, seed=item_seed(wheel.recipe.seed, "synthesise", number))
    # What was proposed is written down before anything is recorded, so that a run that is gone on with judges the same.
    path = wheel.place(proposed_path(number))
    is_new = not path.is_file()
    try:
        with Exchanges(wheel.place(asked_path(number))) as exchanges:
            if is_new:
                fresh = wheel.wait_for(_proposed(wheel, engine, number, exchanges))
                _check_answered(_plan(wheel, turn, engine, fresh.proposals), fresh)
                _write(path, fresh)
            exchanges.forget()
    finally:
        wheel.wait_for(engine.aclose(keep=wheel.policy))
    proposed = _read(path)
    proposing_s = perf_counter() - started
    plan = _plan(wheel, turn, engine, proposed.proposals)
    pool = wheel.pool_of(wheel.judge_of(turn))
    told = _Teller(engine.name, proposed.proposals)
    rollout = Rollout(plan, policy=told, pool=pool, ledger=wheel.ledger)
    rollout.result.generate_s += proposing_s
    rollout.result.work_s += proposing_s
    result = wheel.wait_for(rollout.run())
    wheel.remember(number, dict(result.judged))
    dropped = Counter(item.reason for item in proposed.dropped)
    spent = result.spent + proposed.beside
    return {
        **rollout_facts(result),
        **spending_facts(spent),
        "timed_tokens": spent.tokens - exchanges.reused.tokens if is_new else 0,
        "beside": spending_facts(proposed.beside),
        "by": engine.name,
        "dropped": dict(dropped.most_common()),
    }


def _plan(
    wheel: Flywheel, turn: Turn, engine: PolicySynthesiser, proposals: Sequence[Proposal]
) -> RolloutPlan:
    """Return the plan that asks for each proposal once."""
    return RolloutPlan(
        run=wheel.recipe.name,
        round=turn.number,
        engine=SYNTHESISED,
        tasks=_tasks(proposals),
        waves=CountedWaves(Counter((p.task.env, p.task.task_id) for p in proposals)),
        seed=wheel.recipe.seed,
        sampling=engine.sampling,
        model=wheel.model_label,
        max_invalid_rate=turn.stage.gates.max_invalid_rate,
    )


def _check_answered(plan: RolloutPlan, proposed: Proposed) -> None:
    """Raise where too little was answered to be written down, since what is missing there is missing for good.

    Of the attempts, which would be invalid, and of all that was tried, what was given up for want of an answer included.
    """
    attempts = attrs.evolve(proposed, dropped=())
    for part in (attempts, proposed):
        plan.check_invalid(part.unanswered, of=len(part.proposals) + len(part.dropped))


def make_engine(wheel: Flywheel, spec: Synthesise, *, seed: int) -> PolicySynthesiser:
    """Return the engine of a stage; what it does not say of policy, environment, seed and sampling is the run's.

    Raises:
        ConfigError: It is not made to propose attempts, or an option is wrong.
    """
    factory = registry().get("synthesiser", spec.name, base_dir=wheel.base_dir)
    sampling = wheel.recipe.policy
    given = {
        "policy": wheel.ready_policy(),
        "environment": wheel.environment,
        "seed": seed,
        "temperature": sampling.temperature,
        "max_new_tokens": sampling.max_new_tokens,
    }
    known = parameters_of(factory) or {}
    options = {key: value for key, value in given.items() if key in known} | dict(spec.extra)
    engine = wheel.make("synthesiser", Component(name=spec.name, extra=options))
    if not isinstance(engine, PolicySynthesiser):
        raise ConfigError(
            f"synthesiser {spec.name!r} must be a PolicySynthesiser to make attempts, got {type(engine).__name__}",
            hint="name it in demonstrate.synthesisers, or derive it from orbiter.generate.engine.PolicySynthesiser",
        )
    if engine.verifier is not None:
        raise ConfigError(
            f"verifier must not be an option of synthesiser {spec.name!r} in a recipe",
            hint="give the stage a section verifier",
        )
    return engine


async def _proposed(
    wheel: Flywheel, engine: PolicySynthesiser, number: int, exchanges: Exchanges
) -> Proposed:
    """Return what the engine proposes, without answers to new prompts that are held out."""
    tasks = round_tasks(wheel, number)
    own = {(task.env, task.task_id) for task in tasks}
    n = wheel.turn(number).stage.curate.decontaminate
    engine.forbidden = lambda task: (
        None if (task.env, task.task_id) in own else wheel.reserved(task, n=n)
    )
    engine.asking = exchanges.ask
    with user_code(f"synthesiser {engine.name!r}", "propose"):
        found = await engine.proposed(tasks)
    kept, dropped = list[Proposal](), list(found.dropped)
    for proposal in found.proposals:
        # An engine that does not ask what is forbidden has paid for an answer, which is not kept all the same.
        reason = engine.forbidden(proposal.task)
        if reason is None:
            kept.append(proposal)
        else:
            dropped.append(Dropped(reason, proposal.task.task_id, proposal.task.prompt))
    attempts = Spending.of(proposal.completion for proposal in kept)
    return Proposed(
        proposals=tuple(kept), dropped=tuple(dropped), beside=exchanges.spent.beside(attempts)
    )


def _tasks(proposals: Sequence[Proposal]) -> list[Task]:
    """Return the tasks of proposals, each once."""
    return list({(p.task.env, p.task.task_id): p.task for p in proposals}.values())


def _write(path: Path, proposed: Proposed) -> None:
    lines = [ProposedLine(task=p.task, completion=p.completion) for p in proposed.proposals]
    lines += [ProposedLine(dropped=item) for item in proposed.dropped]
    jsonl.write(path, [*lines, ProposedLine(beside=proposed.beside)])


def _read(path: Path) -> Proposed:
    lines = list(jsonl.read(path, ProposedLine))
    return Proposed(
        proposals=tuple(
            Proposal(line.task, line.completion)
            for line in lines
            if line.task is not None and line.completion is not None
        ),
        dropped=tuple(line.dropped for line in lines if line.dropped is not None),
        beside=sum((line.beside for line in lines if line.beside is not None), Spending()),
    )


class _Teller(Policy):
    """Answers with what an engine has proposed: the n-th proposal for a task is its n-th attempt."""

    batch_size = 256

    def __init__(self, name: str, proposals: Sequence[Proposal]) -> None:
        self.name = name
        self._answers: dict[tuple[str, str], list[Completion]] = {}
        for proposal in proposals:
            key = (proposal.task.env, proposal.task.task_id)
            self._answers.setdefault(key, []).append(proposal.completion)

    async def complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:  # noqa: ARG002
        """Return what was proposed."""
        return [self._answers[r.env, r.task_id][r.attempt] for r in requests]
