"""What a run does before its first round, after each, and at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbiter.curate.export import Exporter
from orbiter.errors import ConfigError
from orbiter.flywheel.export import export_run
from orbiter.flywheel.stages.training import make_backend, model_maker
from orbiter.flywheel.summary import goodhart_reason, summarise_round
from orbiter.tasks.streams import item_seed
from orbiter.verify.audit import tally
from orbiter.verify.audit.probes import NEAR_MISSES, probes

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel


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
        wheel.check("model", model_maker(wheel, recipe.model, wheel.place("checkpoints/base")))
    for component in recipe.teach.synthesisers if recipe.teach is not None else ():
        wheel.check("synthesiser", component)
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


STAGES = ("audit", "model", "teach", "generate", "curate", "train", "evaluate")
"""The stages that a round can have, in order."""
