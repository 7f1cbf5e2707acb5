"""Parts of the tests of evolution: numbers that want to be 42."""

from orbiter.flywheel.evolution import (
    EvolutionConfig,
    EvolutionPipeline,
    EvolutionStrategy,
)


class Climb(EvolutionStrategy):
    """Numbers that want to be 42; notes its calls."""

    def __init__(self):
        self.evaluated, self.mutated = [], []

    async def evaluate(self, candidate):
        self.evaluated.append(candidate)
        return -abs(candidate - 42)

    async def mutate(self, candidate):
        self.mutated.append(candidate)
        return candidate + (1 if candidate % 3 else 2)


def pipeline(strategy=None, **config):
    config = {"epochs": 5, "population_size": 4, "mutation_rate": 1.0, **config}
    return EvolutionPipeline(config=EvolutionConfig(**config), strategy=strategy or Climb())
