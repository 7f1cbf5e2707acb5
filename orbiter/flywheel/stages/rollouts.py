"""The stages that ask the policy: answers to train on, and a measurement on held-out tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs

from orbiter.errors import ConfigError
from orbiter.flywheel.engines import HELD_OUT, POLICY
from orbiter.flywheel.rollout import Rollout, RolloutPlan, RolloutResult
from orbiter.intervals import effective_size
from orbiter.ledger import AttemptKey
from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.verify.verifier import Verifier

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel


def generate(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Sample answers to this round's tasks and judge them."""
    result = _roll_out(wheel, _plan(wheel, number))
    wheel.remember(number, result.judged)
    facts = _rollout_facts(result)
    if wheel.recipe.generate.target_survivors is not None:
        # Hard tasks were asked more often than easy ones; the first attempts alone are a fair sample of the pass rate.
        first = [t.verdict for key, t in result.judged.items() if key.attempt == 0]
        facts["first_passed"] = sum(v is not None and v.outcome is Outcome.PASS for v in first)
        facts["first_failed"] = sum(v is not None and v.outcome is Outcome.FAIL for v in first)
    return facts


def _plan(wheel: Flywheel, number: int) -> RolloutPlan:
    spec = wheel.recipe.generate
    return RolloutPlan(
        run=wheel.recipe.name,
        round=number,
        engine=POLICY,
        tasks=round_tasks(wheel, number),
        samples=spec.samples,
        seed=wheel.recipe.seed,
        sampling=wheel.recipe.policy.sampling,
        target_survivors=spec.target_survivors,
        model=wheel.model_label,
        max_invalid_rate=wheel.recipe.gates.max_invalid_rate,
    )


def round_tasks(wheel: Flywheel, number: int) -> list[Task]:
    """Return the tasks of a round: the next ones of the stream, from its start again when it has no more."""
    spec, teach = wheel.recipe.generate, wheel.recipe.teach
    first = teach.demonstrations if teach is not None and not teach.synthesisers else 0
    stream = wheel.stream("train")
    start = first if spec.reuse_tasks else first + (number - 1) * spec.tasks
    tasks = stream.take(spec.tasks, start=start, allow_fewer=True)
    if len(tasks) < spec.tasks:
        seen = {task.task_id for task in tasks}
        again = stream.take(spec.tasks, start=first, allow_fewer=True)
        tasks += [t for t in again if t.task_id not in seen][: spec.tasks - len(tasks)]
    if not tasks:
        raise ConfigError(
            f"environment {wheel.environment.name!r} has no tasks left beside the {first} demonstrations"
        )
    return tasks


def evaluate(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Measure the present model on held-out tasks, never trained on, with the verifier and the audit verifier."""
    spec = wheel.recipe.evaluate
    if spec.tasks == 0:
        return {}
    plan = RolloutPlan(
        run=wheel.recipe.name,
        round=number,
        engine=HELD_OUT,
        tasks=wheel.stream("held_out").take(spec.tasks, allow_fewer=True),
        samples=spec.samples,
        seed=wheel.recipe.seed,
        sampling=attrs.evolve(wheel.recipe.policy.sampling, temperature=spec.temperature),
        model=wheel.model_label,
        max_invalid_rate=wheel.recipe.gates.max_invalid_rate,
    )
    result = _roll_out(wheel, plan)
    facts = _rollout_facts(result)
    verdicts = {key: row.verdict for key, row in result.judged.items() if row.verdict is not None}
    if spec.samples > 1:
        facts["effective"] = _effective(verdicts)
    if wheel.audit_verifier is not None:
        started = perf_counter()
        others = _second_opinion(wheel, wheel.audit_verifier, plan.tasks, result)
        spent = perf_counter() - started
        facts |= {
            "audited_passed": sum(v.outcome is Outcome.PASS for v in others.values()),
            "audited_valid": sum(v.outcome is not Outcome.INVALID for v in others.values()),
            "verify_s": round(result.verify_s + spent, 4),
            "work_s": round(result.work_s + spent, 4),
        }
        if spec.samples > 1:
            facts["audited_effective"] = _effective(others)
    return facts


def _effective(verdicts: Mapping[AttemptKey, Verdict]) -> float:
    """Return how many independent answers these are worth, several of which are to one task."""
    tasks: dict[tuple[str, str], list[bool]] = {}
    for key, verdict in verdicts.items():
        if verdict.outcome is not Outcome.INVALID:
            tasks.setdefault((key.env, key.task_id), []).append(verdict.outcome is Outcome.PASS)
    return effective_size((sum(passed), len(passed)) for passed in tasks.values())


def _second_opinion(
    wheel: Flywheel, verifier: Verifier, tasks: Iterable[Task], result: RolloutResult
) -> dict[AttemptKey, Verdict]:
    """Judge the answers of a rollout with another verifier; what was not answered is unknown to it too.

    Its verdicts go into the ledger beside those of record, unless both verifiers go by one name and version.
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
    fresh = list(zip(unknown, wheel.pool_of(verifier).judge_all(pairs)))
    verdicts |= fresh
    if apart:
        wheel.ledger.add_verdicts(fresh)
    return verdicts


def _roll_out(wheel: Flywheel, plan: RolloutPlan) -> RolloutResult:
    started = perf_counter()
    policy = wheel.ready_policy()
    rollout = Rollout(plan, policy=policy, pool=wheel.pool, ledger=wheel.ledger)
    loading_s = perf_counter() - started  # part of generating
    rollout.result.generate_s += loading_s
    rollout.result.work_s += loading_s
    return wheel.wait_for(rollout.run())  # type: ignore[no-any-return]


def _rollout_facts(result: RolloutResult) -> dict[str, Any]:
    passed, failed = result.outcomes(Outcome.PASS), result.outcomes(Outcome.FAIL)
    reasons: dict[str, int] = {}
    for trajectory in result.judged.values():
        verdict = trajectory.verdict
        if verdict is not None and verdict.outcome is not Outcome.PASS:
            reasons[verdict.reason] = reasons.get(verdict.reason, 0) + 1
    return {
        "sampled": len(result.judged),
        "passed": passed,
        "failed": failed,
        "invalid": result.outcomes(Outcome.INVALID),
        "reasons": dict(sorted(reasons.items(), key=lambda kv: (-kv[1], kv[0]))[:20]),
        "tokens": result.token_count,
        "timed_tokens": result.timed_token_count,
        "generate_s": round(result.generate_s, 4),
        "verify_s": round(result.verify_s, 4),
        "work_s": round(result.work_s, 4),
    }
