"""The stages of a round. Each takes the flywheel and the round's number, and returns the plain facts that the ledger keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs

from orbiter import jsonl
from orbiter.convert import unstructure
from orbiter.curate import best_of_n_pairs, decontaminate, near_dedup, survivors
from orbiter.errors import BudgetExceededError, ConfigError
from orbiter.flywheel.summary import summarise_round
from orbiter.flywheel.rollout import Rollout, RolloutPlan, RolloutResult
from orbiter.generate.policy import Sampling
from orbiter.hookspecs import MetricsEvent
from orbiter.plugin import plugin_manager, registry
from orbiter.records import Message, Outcome, Task, Trajectory
from orbiter.tasks.streams import item_seed
from orbiter.train.backend import Backend, TrainJob
from orbiter.train.rewards import RewardSpec
from orbiter.verify.audit import self_audit
from orbiter.verify.verifier import Verifier, judge

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import Train

POLICY, HELD_OUT = "policy", "held_out"
"""Engines: what generated an attempt, and for what."""


def audit(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Measure how often the verifier is wrong, on answers of known label, and forecast the odds multiplier."""
    count = wheel.recipe.evaluate.audit
    if count == 0:
        return {}
    return self_audit(
        wheel.environment, wheel.verifier, count=count, seed=item_seed(wheel.recipe.seed, "audit")
    ).summary()


def model(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Make the model to start from, if the recipe names a maker."""
    spec = wheel.recipe.model
    if spec is None or spec.name is None:
        return {}
    path = "checkpoints/base"
    make_model(wheel, wheel.place(path))
    wheel.ledger.add_checkpoint(path, round=number, base=None, dataset=None)
    return {"checkpoint": path}


def make_model(wheel: Flywheel, path: Path) -> Path:
    """Make the first model of the run in a folder, with the characters that the environment uses."""
    spec = wheel.recipe.model
    assert spec is not None
    assert spec.name is not None
    options = {"seed": item_seed(wheel.recipe.seed, "model") % 2**31, **spec.extra}
    if wheel.environment.chars is not None:
        options.setdefault("chars", wheel.environment.chars)
    path.parent.mkdir(exist_ok=True)
    registry().create("model", spec.name, {"path": path, **options})
    return path


def teach(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Start cold: write demonstrations that the verifier confirms, and train on them."""
    assert wheel.recipe.teach is not None
    rows = demonstrations(wheel, wheel.recipe.teach.demonstrations)
    path = _write_dataset(wheel, "data/demonstrations.jsonl", rows, round=number)
    return _train(wheel, number, wheel.recipe.teach, path) | {"demonstrations": len(rows)}


def demonstrations(wheel: Flywheel, count: int) -> list[Trajectory]:
    """Return demonstrations that passed the verifier; one that does not is a fault of the environment."""
    spec = wheel.recipe.teach
    if spec is not None and spec.synthesiser is not None:
        engine = wheel.make("synthesiser", spec.synthesiser)
        return [attrs.evolve(row, round=0) for row in wheel.wait_for(engine.generate(count))]
    rows = []
    for task in wheel.stream("train").take(count):
        answer = wheel.environment.demonstrate(task)
        if answer is None:
            raise ConfigError(
                f"environment {wheel.environment.name!r} cannot demonstrate task {task.task_id!r}",
                hint="leave the teach stage out, or name a synthesiser in it",
            )
        row = Trajectory(
            messages=(*task.messages, Message("assistant", answer)),
            env=task.env,
            task_id=task.task_id,
            score=None,
            generator="demonstration",
            round=0,
        )
        verdict = judge(wheel.verifier, task, row)
        if verdict.outcome is not Outcome.PASS:
            raise ConfigError(
                f"environment {wheel.environment.name!r} demonstrates {answer!r} for task {task.task_id!r}, "
                f"but verifier {wheel.verifier.name!r} says {verdict.outcome.value}: {verdict.reason}"
            )
        rows.append(attrs.evolve(row, score=verdict.score, verdict=verdict))
    return rows


def generate(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Sample answers to this round's tasks and judge them."""
    result = _roll_out(wheel, _plan(wheel, number), verifier=wheel.verifier)
    wheel.remember(number, result)
    return _rollout_facts(result)


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
    )


def round_tasks(wheel: Flywheel, number: int) -> list[Task]:
    """Return the tasks of a round: the next ones of the stream, from its start again when it has no more."""
    spec, teach = wheel.recipe.generate, wheel.recipe.teach
    first = teach.demonstrations if teach is not None and teach.synthesiser is None else 0
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


def _roll_out(wheel: Flywheel, plan: RolloutPlan, *, verifier: Verifier) -> RolloutResult:
    started = perf_counter()
    policy = wheel.ready_policy()
    rollout = Rollout(plan, policy=policy, verifier=verifier, ledger=wheel.ledger)
    rollout.result.generate_s += perf_counter() - started  # loading the model is part of generating
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
        "generate_s": round(result.generate_s, 4),
        "verify_s": round(result.verify_s, 4),
    }


def curate(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Decide on every attempt of the round, and write the dataset that the round trains on."""
    spec = wheel.recipe.curate
    judged = wheel.recall(number)
    _check_invalid_rate(wheel, number, judged.values())
    decided = survivors(
        list(judged.values()), max_per_task=spec.max_per_task, min_score=spec.min_score
    )
    decisions = dict(zip(judged, decided.decisions))
    kept = {key: judged[key] for key, d in decisions.items() if d.accepted}
    for key, reason in _unfit(wheel, kept).items():
        decisions[key] = reason
        del kept[key]
    wheel.ledger.add_decisions(decisions.items())
    facts: dict[str, Any] = {"kept": len(kept), "decisions": _tally(decisions.values())}
    own = _write_dataset(wheel, f"data/round-{number}-kept.jsonl", kept.values(), round=number)
    if spec.pairs:
        pairs = best_of_n_pairs(list(judged.values()))
        facts["pairs"] = jsonl.write(wheel.place(f"data/round-{number}-pairs.jsonl"), pairs)
    if wheel.recipe.train is None:
        return facts | {"dataset": own, "rows": len(kept)}
    rows = _training_rows(wheel, number)
    return facts | {
        "dataset": _write_dataset(wheel, f"data/round-{number}.jsonl", rows, round=number),
        "rows": len(rows),
    }


def train(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Train on the round's dataset, from the previous checkpoint or from the base model."""
    curated = wheel.done(number, "curate") or {}
    assert wheel.recipe.train is not None
    return _train(wheel, number, wheel.recipe.train, curated["dataset"])


def _train(wheel: Flywheel, number: int, spec: Train, dataset: str) -> dict[str, Any]:
    backend: Backend = registry().create("backend", spec.backend)
    if spec.algorithm not in backend.algorithms:
        raise ConfigError(
            f"algorithm must be one of {', '.join(backend.algorithms)} with backend {spec.backend!r}, "
            f"got {spec.algorithm!r}"
        )
    start = _start_model(wheel, spec)
    path = f"checkpoints/round-{number}"
    data = wheel.place(dataset)
    if backend.algorithms[spec.algorithm] is Task:
        data = wheel.place(f"data/round-{number}-tasks.jsonl")
        jsonl.write(data, round_tasks(wheel, number))
    job = TrainJob(
        algorithm=spec.algorithm,
        model=start,
        data=data,
        output_dir=wheel.place(path),
        config=attrs.evolve(spec, seed=item_seed(wheel.recipe.seed, "train", number) % 2**31),
        rewards=(RewardSpec.from_verifier(wheel.verifier),),
        options=spec.options,
        on_metrics=lambda step, metrics: plugin_manager().notify(
            "orbiter_on_metrics", MetricsEvent(run=wheel.recipe.name, step=step, metrics=metrics)
        ),
    )
    backend.check(job)
    result = backend.train(job)
    base = Path(start).name if Path(start).is_relative_to(wheel.path) else start
    wheel.ledger.add_checkpoint(path, round=number, base=base, dataset=dataset)
    return {
        "checkpoint": path,
        "loss": result.metrics.loss,
        "steps": result.metrics.steps,
        "trained_tokens": result.token_count,
        "alarms": list(result.alarms),
    }


def _start_model(wheel: Flywheel, spec: Train) -> str:
    recipe = wheel.recipe
    assert recipe.model is not None
    if spec.start == "previous" and wheel.checkpoint is not None:
        return str(wheel.checkpoint)
    return recipe.model.id if recipe.model.id is not None else str(wheel.place("checkpoints/base"))


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
    )
    result = _roll_out(wheel, plan, verifier=wheel.verifier)
    facts = _rollout_facts(result)
    if wheel.audit_verifier is not None:
        tasks = {(t.env, t.task_id): t for t in plan.tasks}
        verdicts = [
            judge(wheel.audit_verifier, tasks[t.env, t.task_id], t) for t in result.judged.values()
        ]
        facts["audited_passed"] = sum(v.outcome is Outcome.PASS for v in verdicts)
        facts["audited_valid"] = sum(v.outcome is not Outcome.INVALID for v in verdicts)
    return facts


STAGES = ("audit", "model", "teach", "generate", "curate", "train", "evaluate")
"""The stages that a round can have, in order."""


def summarise(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Sum the round up, and say whether the run stops here."""
    facts = {name: done for name in STAGES if (done := wheel.done(number, name)) is not None}
    before = wheel.done(number - 1, "round") if number > 0 else None
    row = summarise_round(number, facts, before=before, audit=wheel.done(0, "audit") or {})
    if reason := _stop_reason(wheel, row, before):
        row["stop"] = reason
    return row


def _stop_reason(
    wheel: Flywheel, row: Mapping[str, Any], before: Mapping[str, Any] | None
) -> str | None:
    gates = wheel.recipe.gates
    rate = row.get("held_out")
    if gates.stop_at is not None and rate is not None and rate >= gates.stop_at:
        return f"held-out pass rate {rate:.3f} reached {gates.stop_at}"
    if gates.goodhart and before and "audited" in row and "audited" in before:
        # The verifier sees progress that the audit verifier does not: what rises is skill at the verifier.
        if row["held_out"] > before["held_out_high"] and row["audited"] < before["audited"]:
            return (
                f"the visible pass rate rose from {before['held_out']:.3f} to {row['held_out']:.3f} while "
                f"the audited one fell from {before['audited']:.3f} to {row['audited']:.3f}"
            )
    return None


def export(wheel: Flywheel) -> None:
    """Write the final data in every format that the recipe asks for."""
    for component in wheel.recipe.exports:
        exporter = wheel.make("exporter", component)
        export_run(wheel.path, exporter, rounds=wheel.recipe.rounds)
