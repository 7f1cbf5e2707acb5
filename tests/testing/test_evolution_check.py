import itertools
import math

import pytest

from orbiter.flywheel.evolution import EvolutionConfig, EvolutionStrategy
from orbiter.tasks.streams import item_stream
from orbiter.testing import check_evolution

POPULATION = [0, 7, 50, 8]


class Climb(EvolutionStrategy):
    """A right one, to be broken in one way each."""

    async def evaluate(self, candidate):
        return -abs(candidate - 42)

    async def mutate(self, candidate):
        return candidate + item_stream("climb", candidate).choice([-1, 1])


class SelectsByPairs(Climb):
    """The selection of many a tutorial; numbers can be compared, and so it works here."""

    async def select(self, population, scores):
        ranked = sorted(zip(scores, population), reverse=True)
        return [p for _, p in ranked[: max(1, len(population) // 2)]]


def test_right_strategies_pass():
    check_evolution(Climb, POPULATION)
    check_evolution(SelectsByPairs, POPULATION)
    check_evolution(
        Climb,
        POPULATION,
        config=EvolutionConfig(epochs=2, population_size=9, elite_count=0, mutation_rate=1),
    )


class Weights:
    """A candidate without an equality or an order of its own."""

    def __init__(self, value):
        self.value = value


class ClimbWeights(Climb):
    async def evaluate(self, candidate):
        return await super().evaluate(candidate.value)

    async def mutate(self, candidate):
        return Weights(await super().mutate(candidate.value))


def test_candidates_need_no_equality():
    check_evolution(ClimbWeights, [Weights(1), Weights(2)])


class PairsOfWeights(ClimbWeights):
    select = SelectsByPairs.select


def test_unordered_candidates_of_equal_score_are_found():
    with pytest.raises(AssertionError, match="breaks 'ties': select"):
        check_evolution(PairsOfWeights, [Weights(1), Weights(2)])


class Noisy(Climb):
    count = itertools.count()

    async def evaluate(self, candidate):
        return next(self.count)


def test_a_noisy_score_is_fine_if_it_is_said_to_be_noisy():
    check_evolution(Noisy, POPULATION, deterministic=False)


class NotANumber(Climb):
    async def evaluate(self, candidate):
        return math.nan


class Nothing(Climb):
    async def evaluate(self, candidate):
        return None


class Raising(Climb):
    async def evaluate(self, candidate):
        return 1 / 0


class SelectsNone(Climb):
    async def select(self, population, scores):
        return []


class SelectsHalf(Climb):
    """Rounds half of one down to none."""

    async def select(self, population, scores):
        return population[: len(population) // 2]


class SelectsScores(Climb):
    async def select(self, population, scores):
        return sorted(scores, reverse=True)


class SortsInPlace(Climb):
    async def select(self, population, scores):
        population.sort(key=lambda c: abs(c - 42))
        return population[:2]


class Idle(Climb):
    async def mutate(self, candidate):
        return candidate


class RaisingMutation(Climb):
    async def mutate(self, candidate):
        raise KeyError(candidate)


class ClimbLists(Climb):
    """Candidates of one number in a list."""

    async def evaluate(self, candidate):
        return await super().evaluate(candidate[0])

    async def mutate(self, candidate):
        return [await super().mutate(candidate[0])]


class MutatesInPlace(ClimbLists):
    async def mutate(self, candidate):
        candidate[0] += 1
        return candidate


class MarksSeen(ClimbLists):
    async def evaluate(self, candidate):
        candidate.append("seen")
        return await super().evaluate(candidate)


class Shrinking(Climb):
    """Scores fall with every question, so that the best cannot live on."""

    def __init__(self):
        self.asked = 0

    async def evaluate(self, candidate):
        self.asked += 1
        return 0 if self.asked <= len(POPULATION) else -self.asked


LISTS = [[n] for n in POPULATION]


@pytest.mark.parametrize(
    ("broken", "population", "clause"),
    [
        (NotANumber, POPULATION, "evaluate"),
        (Nothing, POPULATION, "evaluate"),
        (Raising, POPULATION, "evaluate"),
        (Noisy, POPULATION, "same score again"),
        (SelectsNone, POPULATION, "select"),
        (SelectsHalf, POPULATION, "select"),
        (SelectsScores, POPULATION, "select"),
        (SortsInPlace, POPULATION, "candidates are left alone"),
        (Idle, POPULATION, "mutate"),
        (RaisingMutation, POPULATION, "mutate"),
        (MutatesInPlace, LISTS, "candidates are left alone"),
        (MarksSeen, LISTS, "candidates are left alone"),
        (Shrinking, POPULATION, "the best lives on"),
    ],
)
def test_a_broken_clause_is_named(broken, population, clause):
    check_evolution(ClimbLists, LISTS)
    with pytest.raises(AssertionError) as caught:
        check_evolution(broken, [c if isinstance(c, int) else list(c) for c in population])
    assert f" breaks {clause!r}: " in str(caught.value)


def test_two_candidates_are_needed():
    with pytest.raises(ValueError, match="at least two candidates"):
        check_evolution(Climb, [1])
