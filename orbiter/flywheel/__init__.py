"""The loop: recipes, rounds, stages, gates, and the mathematics of yield."""

from orbiter.flywheel.flywheel import Flywheel, RunResult
from orbiter.flywheel.recipe import Recipe, load_recipe

__all__ = ["Flywheel", "Recipe", "RunResult", "load_recipe"]
