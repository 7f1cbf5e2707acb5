"""The stages of a round. Each takes the flywheel and the round's number, and returns the plain facts that the ledger keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs

from orbiter import jsonl
from orbiter.curate.export import Exporter
from orbiter.curate.near_dedup import near_dedup
from orbiter.curate.pairs import UnpairedPreference, best_of_n_pairs, unpaired_preferences
from orbiter.curate.survivors import survivors
from orbiter.errors import ConfigError, OrbiterError
from orbiter.flywheel.demonstrations import demonstrations
from orbiter.flywheel.engines import HELD_OUT, POLICY
from orbiter.flywheel.export import export_run
from orbiter.flywheel.recipe import Component
from orbiter.flywheel.rollout import Rollout, RolloutPlan, RolloutResult
from orbiter.flywheel.summary import goodhart_reason, summarise_round
from orbiter.hookspecs import MetricsEvent
from orbiter.intervals import effective_size
from orbiter.ledger import AttemptKey
from orbiter.ledger.decision import Decision, Fate
from orbiter.plugin import plugin_manager
from orbiter.records import Outcome, Pair, Task, Trajectory, Verdict
from orbiter.tasks.streams import item_seed
from orbiter.train.backend import Backend, TrainJob
from orbiter.train.rewards import RewardSpec
from orbiter.verify.audit import labelled_answers, tally
from orbiter.verify.verifier import Verifier

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import ModelSpec, Train


def check(wheel: Flywheel) -> None:
    """See that the parts of later stages can be had, so that a recipe that names a wrong one fails and leaves nothing behind."""
    recipe = wheel.recipe
    wheel.ready_policy()
    for verifier in filter(None, (wheel.verifier, wheel.audit_verifier)):
        wheel.pool_of(verifier)  # it can be sent to workers
    if recipe.evaluate.tasks and not wheel.stream("held_out").take(1, allow_fewer=True):
        raise ConfigError(
            f"environment {wheel.environment.name!r} must have a held-out task, got none",
            hint="hold more out with evaluate.share=..., or measure nothing with evaluate.tasks=0",
        )
    for spec in (recipe.teach, recipe.train):
        if spec is not None:
            make_backend(wheel, spec)
    if recipe.model is not None and recipe.model.name is not None:
        wheel.check("model", _model_maker(wheel, recipe.model, wheel.place("checkpoints/base")))
    for component in recipe.teach.synthesisers if recipe.teach is not None else ():
        wheel.check("synthesiser", component)
    _exporters(wheel)


def audit(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Measure how often the verifier is wrong, on answers of known label, and forecast the odds multiplier."""
    count = wheel.recipe.evaluate.audit
    if count == 0:
        return {}
    seed = item_seed(wheel.recipe.seed, "audit")
    labelled = labelled_answers(wheel.environment, count=count, seed=seed)
    verdicts = wheel.pool.judge_all([(item.task, item.trajectory) for item in labelled])
    by = wheel.verifier
    return tally(labelled, verdicts, verifier=by.name, version=by.version).summary()


def model(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Make the model to start from, if the recipe names a maker."""
    spec = wheel.recipe.model
    if spec is None or spec.name is None:
        return {}
    path = "checkpoints/base"
    make_model(wheel, spec, wheel.place(path))
    wheel.ledger.add_checkpoint(path, round=number, base=None, dataset=None)
    return {"checkpoint": path}


def make_model(wheel: Flywheel, spec: ModelSpec, path: Path) -> Path:
    """Make the model that a maker's spec names in a folder, with the characters that the environment uses."""
    path.parent.mkdir(exist_ok=True)
    wheel.make("model", _model_maker(wheel, spec, path))
    return path


def _model_maker(wheel: Flywheel, spec: ModelSpec, path: Path) -> Component:
    options = {"path": path, "seed": item_seed(wheel.recipe.seed, "model") % 2**31, **spec.extra}
    if wheel.environment.chars is not None:
        options.setdefault("chars", wheel.environment.chars)
    return Component(name=str(spec.name), extra=options)


def teach(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Start cold: write demonstrations that the verifier confirms, and train on them."""
    spec = wheel.recipe.teach
    if spec is None:
        return {}
    rows = demonstrations(wheel, spec.demonstrations)
    path = kept_path(0)
    if not rows:
        raise ConfigError(
            "teach stage must have demonstrations, and no row of its synthesisers is fit"
        )
    jsonl.write(wheel.place(path), rows)
    wheel.kept[0] = rows
    wheel.ledger.add_dataset(path, rows, round=number)
    return _train(wheel, number, spec, path) | {"demonstrations": len(rows)}


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


def curate(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Decide on every attempt of the round, and write what is kept and what the round trains on."""
    spec, judged = wheel.recipe.curate, wheel.judged(number)
    rows = list(judged.values())
    decided = survivors(rows, max_per_task=spec.max_per_task, min_score=spec.min_score)
    decisions = _drop_unfit(wheel, rows, list(decided.decisions))
    wheel.ledger.add_decisions(zip(judged, decisions, strict=True))
    kept = [row for row, decision in zip(rows, decisions) if decision.accepted]
    path = kept_path(number)
    jsonl.write(wheel.place(path), kept)
    wheel.kept[number] = kept
    wheel.ledger.add_dataset(path, kept, round=number)
    facts: dict[str, Any] = {"kept": len(kept), "decisions": _tally(decisions), "dataset": path}
    trains_on = None if wheel.recipe.train is None else _record_of(wheel, wheel.recipe.train)
    clean = [row for row, d in zip(rows, decisions) if d.decision is not Fate.CONTAMINATED]
    for kind, (name, make) in _PREFERENCES.items():
        if kind is trains_on or (kind is Pair and spec.pairs):
            facts[name] = jsonl.write(wheel.place(_preference_path(number, name)), make(clean))
    if trains_on is Trajectory:
        facts |= _write_training_set(wheel, number)
    elif trains_on in _PREFERENCES:
        facts |= _write_preference_set(wheel, number, _PREFERENCES[trains_on][0])
    return facts


_PREFERENCES: Mapping[Any, tuple[str, Callable[[Sequence[Trajectory]], Sequence[Any]]]] = {
    Pair: ("pairs", best_of_n_pairs),
    UnpairedPreference: ("unpaired", unpaired_preferences),
}
"""The records of preference: what a round's file of them is called, and how they are made of its attempts."""


def _preference_path(number: int, name: str) -> str:
    return f"data/round-{number}-{name}.jsonl"


def _record_of(wheel: Flywheel, spec: Train) -> type:
    """Return the record that a stage trains on; of tasks, the policy samples by itself, with the verifier as its reward."""
    return make_backend(wheel, spec).record_of(spec.algorithm)


def kept_path(number: int) -> str:
    """Return where the rows that a round kept are; round 0 has the demonstrations."""
    return f"data/round-{number}-kept.jsonl" if number else "data/demonstrations.jsonl"


def _drop_unfit(
    wheel: Flywheel, rows: Sequence[Trajectory], decisions: list[Decision]
) -> list[Decision]:
    """Turn rows that repeat a held-out task, and accepted ones that nearly repeat another, into what they are.

    A row that failed or repeats another is no less contaminated: it may enter a preference pair.
    """
    spec = wheel.recipe.curate
    if wheel.held_out is not None:
        for i, row in enumerate(rows):
            if decisions[i].decision is not Fate.INVALID and (found := wheel.held_out.find(row)):
                task, _ = found
                decisions[i] = Decision(Fate.CONTAMINATED, f"held-out task {task.task_id}")
    if spec.near_duplicates is not None:
        accepted = [i for i, decision in enumerate(decisions) if decision.accepted]
        repeats = near_dedup([rows[i] for i in accepted], threshold=spec.near_duplicates)
        for index, _ in repeats.dropped:
            decisions[accepted[index]] = Decision(Fate.DUPLICATE, "nearly the same text")
    return decisions


def _tally(decisions: Iterable[Decision]) -> dict[str, int]:
    return dict(sorted(Counter(str(d.decision) for d in decisions).items()))


def _last_rounds(wheel: Flywheel, number: int) -> range:
    """Return the rounds whose data a round trains on."""
    rounds = wheel.recipe.curate.rounds
    return range(1 if rounds is None else max(1, number - rounds + 1), number + 1)


def _write_training_set(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Join the demonstrations and what the last rounds kept into the file that this round trains on."""
    spec = wheel.recipe.curate
    parts = list(_last_rounds(wheel, number)) if spec.keep == "survivors" else []
    if wheel.recipe.teach is not None and (spec.demonstrations or not parts):
        parts.insert(0, 0)
    rows = [row for part in parts for row in wheel.kept_rows(part)]
    if not rows:
        raise OrbiterError(
            f"round {number} has nothing to train on: no answer survived and there are no demonstrations",
            hint="teach a cold start, sample more, or start from a stronger model",
        )
    path = _join(wheel, number, [kept_path(part) for part in parts])
    wheel.ledger.add_dataset(path, rows, round=number)
    return {"dataset": path, "rows": len(rows)}


def _write_preference_set(wheel: Flywheel, number: int, name: str) -> dict[str, Any]:
    """Join the preferences of the last rounds, and note of which attempts they are made."""
    count, used = 0, list[Trajectory]()
    rounds = _last_rounds(wheel, number)
    for part in rounds:
        ids = set()
        for _, row in jsonl.read_objects(wheel.place(_preference_path(part, name))):
            count += 1
            ids |= {row["metadata"].get(key) for key in ("id", "chosen_id", "rejected_id")}
        # Equal answers share their id; the first of them stands for the others.
        for attempt in wheel.judged(part).values():
            if attempt.id in ids:
                ids.remove(attempt.id)
                used.append(attempt)
    if not count:
        raise OrbiterError(
            f"round {number} has nothing to train on: no task has an answer that passed beside one that failed",
            hint="teach a cold start, take more samples per task, or choose harder or easier tasks",
        )
    path = _join(wheel, number, [_preference_path(part, name) for part in rounds])
    wheel.ledger.add_dataset(path, used, round=number)
    return {"dataset": path, "rows": count}


def _join(wheel: Flywheel, number: int, parts: Iterable[str]) -> str:
    """Write the lines of the files, as they are, into the one that a round trains on."""
    path = f"data/round-{number}.jsonl"
    with jsonl.replace_file(wheel.place(path)) as file:
        for part in parts:
            file.write(wheel.place(part).read_bytes())
    return path


def train(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Train on the round's dataset, from the previous checkpoint or from the base model."""
    spec, curated = wheel.recipe.train, wheel.done(number, "curate")
    return (
        {} if spec is None or curated is None else _train(wheel, number, spec, curated["dataset"])
    )


def _train(wheel: Flywheel, number: int, spec: Train, dataset: str) -> dict[str, Any]:
    backend = make_backend(wheel, spec)
    start = _start_model(wheel, spec)
    data, trained_on = wheel.place(dataset), {"dataset": dataset, "tasks": None}
    rewards: tuple[RewardSpec, ...] = ()
    if _record_of(wheel, spec) is Task:
        rewards = (RewardSpec.from_verifier(wheel.pool.remote),)
        tasks = f"data/round-{number}-tasks.jsonl"
        data, trained_on = wheel.place(tasks), {"dataset": None, "tasks": tasks}
        jsonl.write(data, round_tasks(wheel, number))
    job = TrainJob(
        algorithm=spec.algorithm,
        model=start,
        data=data,
        output_dir=wheel.place(f"checkpoints/round-{number}"),
        # The run's seed decides; a seed of the stage's own varies the training alone, and 0 varies nothing.
        config=attrs.evolve(
            spec, seed=(item_seed(wheel.recipe.seed, "train", number) ^ spec.seed) % 2**31
        ),
        rewards=rewards,
        options=spec.options,
        on_metrics=lambda step, metrics: plugin_manager().notify(
            "orbiter_on_metrics", MetricsEvent(run=wheel.recipe.name, step=step, metrics=metrics)
        ),
    )
    started = perf_counter()
    backend.check(job)
    result = backend.train(job)
    train_s = perf_counter() - started
    path = result.checkpoint.relative_to(wheel.path).as_posix()
    wheel.ledger.add_checkpoint(path, round=number, base=wheel.label(start), **trained_on)
    return {
        "checkpoint": path,
        "loss": result.metrics.loss,
        "steps": result.metrics.steps,
        "trained_tokens": result.token_count,
        "train_s": round(train_s, 4),
        "alarms": list(result.alarms),
    }


def make_backend(wheel: Flywheel, spec: Train) -> Backend:
    """Return the backend of a training stage, which knows its algorithm."""
    backend: Backend = wheel.make("backend", Component(name=spec.backend))
    record = backend.record_of(spec.algorithm)
    if spec is wheel.recipe.teach and record is not Trajectory:
        raise ConfigError(
            f"algorithm of the teach stage must train on Trajectory, and {spec.algorithm!r} trains on {record.__name__}",
            hint="teach with sft, and train with the other",
        )
    if spec.algorithm in backend.scoring:
        raise ConfigError(
            f"algorithm of a stage must make a model that answers, and {spec.algorithm!r} makes one that scores",
            hint="train it outside a run, on an export of one",
        )
    if record in _PREFERENCES and wheel.recipe.curate.keep == "none":
        raise ConfigError(
            f"curate.keep must be 'survivors' for {spec.algorithm!r}, which trains on what a round makes, got 'none'"
        )
    return backend


def _start_model(wheel: Flywheel, spec: Train) -> str:
    if spec.start == "previous" and wheel.checkpoint is not None:
        return str(wheel.checkpoint)
    named = wheel.recipe.model.id if wheel.recipe.model is not None else None
    return named if named is not None else str(wheel.place("checkpoints/base"))


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


STAGES = ("audit", "model", "teach", "generate", "curate", "train", "evaluate")
"""The stages that a round can have, in order."""


def summarise(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Sum the round up."""
    facts = {name: done for name in STAGES if (done := wheel.done(number, name)) is not None}
    before = wheel.done(number - 1, "round") if number > 0 else None
    return summarise_round(number, facts, before=before, audit=wheel.done(0, "audit") or {})


def stop_reason(wheel: Flywheel, number: int) -> str | None:
    """Return why the run stops after a round by its gates, or None."""
    gates = wheel.recipe.gates
    row = wheel.done(number, "round") or {}
    rate = row.get("held_out")
    if gates.stop_at is not None and rate is not None and rate >= gates.stop_at:
        return f"held-out pass rate {rate:.3f} reached {gates.stop_at}"
    earlier = [wheel.done(i, "round") or {} for i in range(number)] if gates.goodhart else []
    return goodhart_reason(row, earlier)


def export(wheel: Flywheel) -> None:
    """Write the final data in every format that the recipe asks for."""
    for target, exporter in _exporters(wheel).items():
        report = export_run(wheel.path, exporter, target)
        files = [path.relative_to(wheel.path).as_posix() for path in report.files]
        wheel.ledger.add_event(
            "exported", name=exporter.name, rows=report.count, files=files, skipped=report.skipped
        )


def _exporters(wheel: Flywheel) -> dict[Path, Exporter]:
    """Return the exporters of the recipe by the file that each writes."""
    made: dict[Path, Exporter] = {}
    for component in wheel.recipe.exports:
        exporter: Exporter = wheel.make("exporter", component)
        target = wheel.place(f"exports/{exporter.name}{exporter.suffix}")
        if target in made:
            raise ConfigError(
                f"exports must be files of their own, got two for {target.name!r}",
                hint="write the second one with orbiter export --out",
            )
        made[target] = exporter
    return made
