"""The loop: recipes, rounds, stages, gates, and the mathematics of yield."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orbiter.lazy import homes, lazy_names

if TYPE_CHECKING:
    from orbiter.flywheel.flywheel import Flywheel as Flywheel
    from orbiter.flywheel.flywheel import RunResult as RunResult
    from orbiter.flywheel.recipe import Recipe as Recipe
    from orbiter.flywheel.recipe_file import load_recipe as load_recipe

HOMES = homes(
    {
        "orbiter.flywheel.flywheel": "Flywheel RunResult",
        "orbiter.flywheel.recipe": "Recipe",
        "orbiter.flywheel.recipe_file": "load_recipe",
    }
)

__all__ = sorted(HOMES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, HOMES)
