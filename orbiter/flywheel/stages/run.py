"""What a run does before its first round, after each, and at its end."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from orbiter.curate.export import Exporter
from orbiter.errors import ConfigError
from orbiter.flywheel.divergence import KL_TASKS, divergence
from orbiter.flywheel.export import export_run
from orbiter.flywheel.gates import (
    audit_reason,
    budget_reason,
    drift_reason,
    goodhart_reason,
    yield_reason,
)
from orbiter.flywheel.stages.checks import check_stages
from orbiter.flywheel.stages.training import make_backend, model_maker
from orbiter.flywheel.summary import summarise_round
from orbiter.intervals import Estimate
from orbiter.records import Task
from orbiter.tasks.streams import item_seed
from orbiter.verify.audit import tally
from orbiter.verify.audit.probes import NEAR_MISSES, probes

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel
    from orbiter.flywheel.recipe import Turn


def check(wheel: Flywheel) -> None:
    """See that the parts of later stages can be had, so that a recipe that names a wrong one fails and leaves nothing behind."""
    recipe = wheel.recipe
    wheel.ready_policy()
    for verifier in filter(None, (wheel.verifier, wheel.audit_verifier)):
        wheel.pool_of(verifier)  # it can be sent to workers
    if recipe.evaluate.tasks and not wheel.held_out_tasks:
        raise ConfigError(
            f"environment {wheel.environment.name!r} must have a held-out task, got none",
            hint="hold more out with evaluate.share=..., or measure nothing with evaluate.tasks=0",
        )
    if recipe.teach is not None:
        backend = make_backend(wheel, recipe.teach)
        backend.check_settings(recipe.teach.algorithm, recipe.teach, recipe.teach.options)
    if recipe.model is not None and recipe.model.name is not None:
        wheel.check("model", model_maker(wheel, recipe.model, wheel.place("checkpoints/base")))
    for component in recipe.teach.synthesisers if recipe.teach is not None else ():
        wheel.check("synthesiser", component)
    check_stages(wheel)
    _exporters(wheel)


def audit(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Measure how often the verifier is wrong, on answers of known label, and forecast the odds multiplier."""
    count = wheel.recipe.evaluate.audit
    if count == 0:
        return {}
    seed = item_seed(wheel.recipe.seed, "audit")
    by = wheel.verifier
    labelled = probes(wheel.environment, by, count=count, seed=seed, families=NEAR_MISSES)
    verdicts = wheel.pool.judge_all([(item.task, item.trajectory) for item in labelled])
    return tally(labelled, verdicts, verifier=by.name, version=by.version).summary()


def summarise(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Sum the round up."""
    facts = {name: done for name in STAGES if (done := wheel.done(number, name)) is not None}
    rounds = [row for row in _rounds(wheel, number) if row.get("held_out_valid")]
    return summarise_round(
        number,
        facts,
        name=wheel.turn(number).name if number and wheel.recipe.stages else "",
        before=rounds[-1] if rounds else None,
        audit=wheel.done(0, "audit") or {},
    )


def _rounds(wheel: Flywheel, until: int) -> list[dict[str, Any]]:
    """Return the summaries of the rounds before one, oldest first."""
    found = (wheel.done(number, "round") for number in range(until))
    return [row for row in found if row is not None]


def reason_before(wheel: Flywheel, turn: Turn) -> str | None:
    """Return why a round is not to begin, or None: a budget is used up, or the verifier is not good enough."""
    gates = turn.stage.gates
    if wheel.done(turn.number, "round") is not None:
        return None
    rounds = _rounds(wheel, turn.number)[1:]  # the cold start is where every method begins
    return budget_reason(gates, rounds) or audit_reason(gates, wheel.done(0, "audit") or {})


def reason_to_learn_nothing(wheel: Flywheel, turn: Turn) -> str | None:
    """Return why a round's samples are not to be trained on, or None."""
    made = wheel.done(turn.number, "generate")
    if made is None or turn.stage.gates.min_yield is None:
        return None
    row = summarise_round(turn.number, {"generate": made}, before=None, audit={})
    return yield_reason(turn.stage.gates, row)


def reason_after(wheel: Flywheel, turn: Turn) -> str | None:
    """Return why a run stops after a round, or None: the model went astray, or its verifier is gamed."""
    gates, row = turn.stage.gates, wheel.done(turn.number, "round") or {}
    before = [found for found in _rounds(wheel, turn.first) if found.get("looks")]
    if reason := drift_reason(gates, row, before[-1] if before else None):
        return reason
    if not gates.goodhart:
        return None
    return goodhart_reason(row, _rounds(wheel, turn.number), rounds=gates.goodhart_rounds)


def reached(wheel: Flywheel, turn: Turn) -> str | None:
    """Return why a stage is done before its last round, or None."""
    target, row = turn.stage.gates.stop_at, wheel.done(turn.number, "round") or {}
    rate = row.get("held_out")
    if target is None or rate is None or rate < target:
        return None
    return f"held-out pass rate {rate:.3f} reached {target}"


def distance(wheel: Flywheel, number: int) -> dict[str, Any]:
    """Estimate how far the model is from the one that its stage started from, on answers to held-out tasks."""
    started = perf_counter()
    start = (wheel.done(wheel.turn(number).first, "train") or {})["start"]
    tasks = wheel.stream("held_out").take(KL_TASKS, allow_fewer=True)
    seed = item_seed(wheel.recipe.seed, "distance", number)
    kl = wheel.wait_for(_divergence(wheel, start, tasks, seed))
    return {
        "start": start,
        "kl": kl.value,
        "kl_low": kl.interval.low,
        "kl_high": kl.interval.high,
        "work_s": round(perf_counter() - started, 4),
    }


async def _divergence(wheel: Flywheel, start: str, tasks: list[Task], seed: int) -> Estimate:
    reference = wheel.policy_of(start)
    try:
        sampling = wheel.recipe.policy.sampling
        return await divergence(
            wheel.ready_policy(), reference, tasks, sampling=sampling, seed=seed
        )
    finally:
        await reference.aclose()


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


STAGES = (
    "audit",
    "model",
    "teach",
    "demonstrate",
    "generate",
    "synthesise",
    "curate",
    "train",
    "evaluate",
    "distance",
)
"""The steps that a round can have, in order."""
