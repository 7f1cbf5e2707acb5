"""The stages that ask the policy: answers to train on, and a measurement on held-out tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs

from orbiter.errors import BudgetExceededError, ConfigError
from orbiter.flywheel.drift import looks_of
from orbiter.flywheel.engines import HELD_OUT, HINTED, POLICY
from orbiter.flywheel.exchanges import Exchanges
from orbiter.flywheel.rollout import Rollout, RolloutPlan, RolloutResult
from orbiter.flywheel.sections import Generate
from orbiter.flywheel.spending import spending_facts, spending_of
from orbiter.flywheel.stages.datasets import asked_path
from orbiter.flywheel.stages.revising import revising
from orbiter.flywheel.summary import effective_answers
from orbiter.flywheel.waves import AdaptiveWaves, UniformWaves
from orbiter.generate.policy import Policy
from orbiter.generate.tool_using import ToolUsingPolicy
from orbiter.ledger import AttemptKey
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.tasks.environment import Environment, demonstration_of, toolbox_of
from orbiter.verify.verifier import Verifier

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import Turn
    from orbiter.verify.pool import VerifierPool


def generate(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Sample answers to this round's tasks and judge them."""
    turn = wheel.turn(number)
    spec = _sampled(wheel, turn)
    pool = wheel.pool_of(wheel.judge_of(turn))
    plan = _plan(wheel, turn)
    result = _roll_out(wheel, plan, pool=pool, turn=turn)
    judged, facts = dict(result.judged), rollout_facts(result)
    if spec.target_survivors is not None:
        # Hard tasks were asked more often than easy ones; the first attempts alone are a fair sample of the pass rate.
        first = [t.verdict for key, t in result.judged.items() if key.attempt == 0]
        facts["first_passed"] = sum(v is not None and v.outcome is Outcome.PASS for v in first)
        facts["first_failed"] = sum(v is not None and v.outcome is Outcome.FAIL for v in first)
    elif spec.samples > 1:
        facts["effective"] = effective_answers(_verdicts_of(result))
    if spec.hint is not None and (unsolved := _unsolved(plan.tasks, result)):
        hinted = attrs.evolve(
            plan,
            engine=HINTED,
            tasks=unsolved,
            waves=UniformWaves(1),
            hint=partial(with_hint, wheel.environment, spec.hint),
        )
        again = _roll_out(wheel, hinted, pool=pool, turn=turn)
        judged |= again.judged
        facts |= _with_hinted(facts, rollout_facts(again))
    wheel.remember(number, judged)
    return facts


def _sampled(wheel: Flywheel, turn: Turn) -> Generate:
    """Return what a round asks, also for an algorithm that samples for itself."""
    engine = turn.stage.synthesise
    if engine is not None:
        return Generate(tasks=engine.tasks, samples=1)
    return turn.stage.generate or wheel.recipe.generate


def _unsolved(tasks: Iterable[Task], result: RolloutResult) -> list[Task]:
    """Return the tasks that were answered, and never so that it passed."""
    outcomes: dict[tuple[str, str], set[Outcome]] = {}
    for key, row in result.judged.items():
        if row.verdict is not None:
            outcomes.setdefault((key.env, key.task_id), set()).add(row.verdict.outcome)
    return [
        task
        for task in tasks
        if Outcome.PASS not in (seen := outcomes.get((task.env, task.task_id), set()))
        and Outcome.FAIL in seen
    ]


def with_hint(environment: Environment, hint: str, task: Task) -> tuple[Message, ...]:
    """Return the prompt of a task with the right answer after it.

    Raises:
        ConfigError: The environment knows no answer to it.
    """
    answer = task.answer
    if not isinstance(answer, str):
        answer = demonstration_of(environment, task)
    if answer is None:
        raise ConfigError(
            f"environment {environment.name!r} must know the answer to task {task.task_id!r} to give a hint",
            hint="leave generate.hint out",
        )
    *before, last = task.messages
    return (*before, attrs.evolve(last, content=last.text + hint.replace("{answer}", answer)))


def _with_hinted(facts: Mapping[str, Any], hinted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changes in the facts of a round by its hinted attempts, which are in no yield."""
    timed = ("timed_tokens", "generate_s", "verify_s", "work_s")
    return {
        "hinted": hinted["sampled"],
        "hinted_passed": hinted["passed"],
        **spending_facts(spending_of(facts) + spending_of(hinted)),
        **{name: round(facts[name] + hinted[name], 4) for name in timed},
    }


def _plan(wheel: Flywheel, turn: Turn) -> RolloutPlan:
    spec = _sampled(wheel, turn)
    return RolloutPlan(
        run=wheel.recipe.name,
        round=turn.number,
        engine=POLICY,
        tasks=round_tasks(wheel, turn.number),
        waves=UniformWaves(spec.samples)
        if spec.target_survivors is None
        else AdaptiveWaves(spec.samples, spec.target_survivors),
        seed=wheel.recipe.seed,
        sampling=wheel.recipe.policy.sampling,
        model=wheel.model_label,
        max_invalid_rate=turn.stage.gates.max_invalid_rate,
    )


def round_tasks(wheel: Flywheel, number: int) -> list[Task]:
    """Return the tasks of a round: the next ones of the stream, from its start again when it has no more."""
    turn = wheel.turn(number)
    spec = _sampled(wheel, turn)
    return next_tasks(wheel, spec.tasks, until=turn.first if spec.reuse_tasks else number)


def next_tasks(wheel: Flywheel, count: int, *, until: int) -> list[Task]:
    """Return the tasks of the stream that follow those of the rounds before one."""
    teach = wheel.recipe.teach
    taught = teach.demonstrations if teach is not None and not teach.synthesisers else 0
    start = taught + sum(_taken(wheel, other) for other in wheel.recipe.turns[: until - 1])
    tasks = wheel.stream("train").cycle(count, start=start, after=taught)
    if not tasks:
        raise ConfigError(
            f"environment {wheel.environment.name!r} has no tasks left beside the {taught} demonstrations"
        )
    return tasks


def _taken(wheel: Flywheel, turn: Turn) -> int:
    """Return how many tasks of the stream a round uses up."""
    stage, shown = turn.stage, turn.stage.demonstrate
    asked = stage.attempts or (shown is None and stage.train is not None)
    own = shown is not None and shown.environment is None and not shown.synthesisers
    # What a round demonstrates and what it asks begin with the same task.
    return max(_sampled(wheel, turn).tasks if asked else 0, shown.count if own and shown else 0)


def evaluate(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Measure the present model on held-out tasks, never trained on, with the verifier and the audit verifier."""
    spec = wheel.recipe.evaluate
    if spec.tasks == 0:
        return {}
    plan = RolloutPlan(
        run=wheel.recipe.name,
        round=number,
        engine=HELD_OUT,
        tasks=wheel.held_out_tasks,
        waves=UniformWaves(spec.samples),
        seed=wheel.recipe.seed,
        sampling=attrs.evolve(wheel.recipe.policy.sampling, temperature=spec.temperature),
        model=wheel.model_label,
        max_invalid_rate=wheel.gates(number).max_invalid_rate,
    )
    result = _roll_out(wheel, plan, pool=wheel.pool)
    facts = rollout_facts(result) | looks_of(result)
    if spec.samples > 1:
        facts["effective"] = effective_answers(_verdicts_of(result))
    if wheel.audit_verifier is not None:
        others, spent = _second_opinion(wheel, wheel.audit_verifier, plan.tasks, result)
        facts |= {
            "audited_passed": sum(v.outcome is Outcome.PASS for v in others.values()),
            "audited_valid": sum(v.outcome is not Outcome.INVALID for v in others.values()),
            "verify_s": round(result.verify_s + spent, 4),
            "work_s": round(result.work_s + spent, 4),
        }
        if spec.samples > 1:
            facts["audited_effective"] = effective_answers(others)
    return facts


def _verdicts_of(result: RolloutResult) -> dict[AttemptKey, Verdict]:
    """Return the verdicts of a rollout."""
    return {key: row.verdict for key, row in result.judged.items() if row.verdict is not None}


def _second_opinion(
    wheel: Flywheel, verifier: Verifier, tasks: Iterable[Task], result: RolloutResult
) -> tuple[dict[AttemptKey, Verdict], float]:
    """Judge the answers of a rollout with another verifier; what was not answered is unknown to it too.

    Its verdicts go into the ledger beside those of record, unless both verifiers go by one name and version. Returned
    with them: how many seconds it judged.
    """
    by_id = {(task.env, task.task_id): task for task in tasks}
    identity = {"verifier": verifier.name, "version": verifier.version}
    apart = (verifier.name, verifier.version) != (wheel.verifier.name, wheel.verifier.version)
    verdicts: dict[AttemptKey, Verdict] = {}
    unknown: dict[AttemptKey, Trajectory] = {}
    for key, row in result.judged.items():
        if key in result.unanswered:
            continue
        if apart and (known := wheel.ledger.verdict_of(key, **identity)) is not None:
            verdicts[key] = known
        else:
            unknown[key] = row
    pairs = [(by_id[row.env, row.task_id], row) for row in unknown.values()]
    started = perf_counter()
    fresh = list(zip(unknown, wheel.pool_of(verifier).judge_all(pairs)))
    spent = perf_counter() - started
    verdicts |= fresh
    if apart:
        wheel.ledger.add_verdicts(fresh)
    return verdicts, spent


def _roll_out(
    wheel: Flywheel, plan: RolloutPlan, *, pool: VerifierPool, turn: Turn | None = None
) -> RolloutResult:
    started = perf_counter()
    policy = with_tools(wheel, plan.tasks, wheel.ready_policy())
    loading_s = perf_counter() - started  # part of generating
    revises = turn is not None and turn.stage.revise is not None
    with Exchanges(wheel.place(asked_path(plan.round)) if revises else None) as exchanges:
        if turn is not None:
            policy = revising(wheel, turn, policy, exchanges)
        rollout = Rollout(plan, policy=policy, pool=pool, ledger=wheel.ledger)
        rollout.result.generate_s += loading_s
        rollout.result.work_s += loading_s
        try:
            result = wheel.wait_for(rollout.run())
        except BudgetExceededError:
            exchanges.forget()  # the same answers would be as invalid again
            raise
        exchanges.forget()
    result.timed_token_count -= exchanges.reused.tokens
    return result


def with_tools(wheel: Flywheel, tasks: Iterable[Task], policy: Policy) -> Policy:
    """Return a policy whose tool calls in answers to these tasks are carried out, where the environment has tools."""
    make = toolbox_of(wheel.environment)
    if make is None:
        return policy
    by_id = {(task.env, task.task_id): task for task in tasks}
    return ToolUsingPolicy(
        policy,
        make,
        task_of=lambda request: by_id[request.env, request.task_id],
        max_turns=wheel.recipe.policy.max_turns,
    )


def rollout_facts(result: RolloutResult) -> dict[str, Any]:
    """Return the plain facts of a rollout: what was asked, what the verdicts were, and what it cost."""
    passed, failed = result.outcomes(Outcome.PASS), result.outcomes(Outcome.FAIL)
    reasons: dict[str, int] = {}
    for trajectory in result.judged.values():
        verdict = trajectory.verdict
        if verdict is not None and verdict.outcome is not Outcome.PASS:
            reasons[verdict.reason] = reasons.get(verdict.reason, 0) + 1
    tasks: dict[tuple[str, str], bool] = {}
    for key, row in result.judged.items():
        right = row.verdict is not None and row.verdict.outcome is Outcome.PASS
        tasks[key.env, key.task_id] = tasks.get((key.env, key.task_id), True) and right
    return {
        "tasks": len(tasks),
        "solved_tasks": sum(tasks.values()),
        "sampled": len(result.judged),
        "passed": passed,
        "failed": failed,
        "invalid": result.outcomes(Outcome.INVALID),
        "reasons": dict(sorted(reasons.items(), key=lambda kv: (-kv[1], kv[0]))[:20]),
        **spending_facts(result.spent),
        "timed_tokens": result.timed_token_count,
        "generate_s": round(result.generate_s, 4),
        "verify_s": round(result.verify_s, 4),
        "work_s": round(result.work_s, 4),
    }
