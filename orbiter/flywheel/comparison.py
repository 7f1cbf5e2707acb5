"""Recipes compared: from the same start, on the same budget, over the same seeds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import attrs
from attrs import field, frozen

from orbiter.errors import ConfigError
from orbiter.flywheel.flywheel import Flywheel
from orbiter.flywheel.recipe import Recipe
from orbiter.flywheel.sections import Gates
from orbiter.intervals import Estimate, Interval

COSTS = ("samples", "tokens", "seconds")
"""What a run spends."""


@frozen(kw_only=True)
class Budget:
    """What each run may spend after its cold start; None is no bound.

    Args:
        samples: Answers sampled, those inside training counted too.
        tokens: Tokens generated and trained on.
        seconds: Seconds of making data and of training.
    """

    samples: float | None = None
    tokens: float | None = None
    seconds: float | None = None

    def holds(self, spent: Mapping[str, float]) -> bool:
        """Return whether so much is within the budget."""
        return all(most is None or spent[name] <= most for name, most in attrs.asdict(self).items())


@frozen(kw_only=True)
class Mark:
    """Where a run stood after a round.

    Args:
        round: The round; 0 is the cold start.
        rate: Held-out pass rate.
        low: Lower end of its 95 % Wilson interval.
        high: Upper end.
        spent: What all rounds after the cold start have spent so far.
    """

    round: int
    rate: float
    low: float
    high: float
    spent: Mapping[str, float]


@frozen(kw_only=True)
class Course:
    """One run.

    Args:
        recipe: Name of the recipe.
        seed: Its seed.
        marks: Its measured rounds within the budget, the cold start first.
        stopped: Why it ended before its last round, or None.
    """

    recipe: str
    seed: int
    marks: tuple[Mark, ...]
    stopped: str | None = None

    @property
    def rate(self) -> float:
        """The held-out pass rate at the end of the budget."""
        return self.marks[-1].rate

    def cost_of(self, target: float, name: str) -> float | None:
        """Return what the run had spent when it was first measured at a pass rate, or None if it never was."""
        return next((mark.spent[name] for mark in self.marks if mark.rate >= target), None)


@frozen(kw_only=True)
class Standing:
    """How a recipe did over its seeds.

    Args:
        recipe: Its name.
        courses: Its runs.
        rate: Mean held-out pass rate at the end of the budget; the interval is Student's over the seeds, of one seed Wilson's.
        reached: Runs that reached the target.
        costs: Median cost to the target, by kind, a run that never reached it taken for the dearest; None if the median run did not.
    """

    recipe: str
    courses: tuple[Course, ...]
    rate: Estimate
    reached: int = 0
    costs: Mapping[str, float | None] = field(factory=dict)


def compare(
    recipes: Sequence[Recipe],
    *,
    seeds: Sequence[int],
    budget: Budget,
    runs_dir: Path,
    base_dirs: Sequence[Path],
    on_course: Callable[[Course], None] | None = None,
) -> list[Course]:
    """Run each recipe with each seed, and return the runs; one that is finished is read and not run again.

    All of one seed begin with the same cold start: the first trains it, the others take its folder over, in which their backend finds its
    own job done.

    Args:
        recipes: Their names differ, and their starts agree: see :func:`same_start`.
        seeds: Seeds.
        budget: Of each run.
        runs_dir: Folder of the runs; the run of a seed is called ``name-seed``.
        base_dirs: Folder of each recipe, for what it names by file.
        on_course: Called with each run when it is done.

    Raises:
        ConfigError: Two recipes have one name, or different starts.
    """
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ConfigError(f"names of compared recipes must differ, got {twice!r} twice")
    same_start(recipes)
    courses = []
    for seed in seeds:
        taught: Path | None = None
        for recipe, base_dir in zip(recipes, base_dirs, strict=True):
            run = within(attrs.evolve(recipe, name=f"{recipe.name}-{seed}", seed=seed), budget)
            wheel = Flywheel(run, runs_dir=runs_dir, base_dir=base_dir)
            if taught is not None:
                _take_over(taught, wheel.path)
            course = _course(recipe.name, seed, wheel, budget)
            if recipe.teach is not None:
                taught = taught or wheel.path
            if on_course is not None:
                on_course(course)
            courses.append(course)
    return courses


def same_start(recipes: Sequence[Recipe]) -> None:
    """Raise ConfigError if recipes do not begin with the same model, tasks, sampling, cold start and measurement."""
    for name in ("environment", "verifier", "model", "policy", "teach", "evaluate"):
        found = [getattr(recipe, name) for recipe in recipes]
        other = next((i for i, value in enumerate(found) if value != found[0]), None)
        if other is not None:
            raise ConfigError(
                f"compared recipes must start the same, and {name} of {recipes[other].name!r} is not that of {recipes[0].name!r}",
                hint="give all of them the start of one recipe with --task",
            )


def within(recipe: Recipe, budget: Budget) -> Recipe:
    """Return a recipe whose stages begin no round beyond a budget, nor beyond bounds of its own that are tighter."""
    bounds: dict[str, Any] = {
        f"max_{name}": int(most) if name != "seconds" else most
        for name, most in attrs.asdict(budget).items()
        if most is not None
    }

    def bounded(gates: Gates) -> Gates:
        own = {name: getattr(gates, name) for name in bounds}
        tightest = {n: most if own[n] is None else min(most, own[n]) for n, most in bounds.items()}
        return attrs.evolve(gates, **tightest)

    stages = {
        name: attrs.evolve(stage, gates=bounded(stage.gates))
        for name, stage in recipe.stages.items()
    }
    return attrs.evolve(recipe, gates=bounded(recipe.gates), stages=stages)


def standings(courses: Sequence[Course], *, target: float) -> list[Standing]:
    """Return how each recipe did, in the order of their first runs."""
    groups: dict[str, list[Course]] = {}
    for course in courses:
        groups.setdefault(course.recipe, []).append(course)
    found = []
    for name, members in groups.items():
        costs = {
            cost: _median([course.cost_of(target, cost) for course in members]) for cost in COSTS
        }
        reached = sum(course.cost_of(target, "samples") is not None for course in members)
        found.append(
            Standing(
                recipe=name,
                courses=tuple(members),
                rate=_mean_rate(members),
                reached=reached,
                costs=costs,
            )
        )
    return found


def _median(values: Sequence[float | None]) -> float | None:
    found = median(float("inf") if value is None else value for value in values)
    return None if found == float("inf") else found


def _mean_rate(courses: Sequence[Course]) -> Estimate:
    last = [course.marks[-1] for course in courses]
    if len(last) == 1:
        return Estimate(last[0].rate, Interval(last[0].low, last[0].high))
    from scipy.special import stdtrit

    rates = [mark.rate for mark in last]
    half = float(stdtrit(len(rates) - 1, 0.975)) * stdev(rates) / len(rates) ** 0.5
    mean = fmean(rates)
    return Estimate(mean, Interval(max(0.0, mean - half), min(1.0, mean + half)))


def _take_over(taught: Path, run: Path) -> None:
    """Give a run that has not begun the cold start of another; what is not the same job its backend refuses to take for it."""
    place = Path("checkpoints", "round-0")
    if (taught / place).is_dir() and not run.exists():
        # Beside it first: half a copy would be taken for a job that is done.
        draft = run.with_name(f".{run.name}.tmp")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(taught / place, draft / place)
        draft.rename(run)


def _course(name: str, seed: int, wheel: Flywheel, budget: Budget) -> Course:
    result = wheel.run()
    spent = dict.fromkeys(COSTS, 0.0)
    marks = []
    for row in result.rounds:
        if row["round"]:
            spent = {cost: spent[cost] + row["spent"][cost] for cost in COSTS}
        if not budget.holds(spent):
            break
        if row.get("held_out") is not None:
            marks.append(
                Mark(
                    round=row["round"],
                    rate=row["held_out"],
                    low=row["held_out_low"],
                    high=row["held_out_high"],
                    spent=dict(spent),
                )
            )
    if not marks:
        raise ConfigError(
            f"recipe {name!r} must measure its rounds to be compared, got evaluate.tasks=0"
        )
    return Course(recipe=name, seed=seed, marks=tuple(marks), stopped=result.stopped)


def to_json(found: Sequence[Standing], *, target: float, budget: Budget) -> dict[str, Any]:
    """Return everything as plain data."""
    from orbiter.convert import unstructure

    return {
        "target": target,
        "budget": attrs.asdict(budget),
        "recipes": [unstructure(standing) for standing in found],
    }
