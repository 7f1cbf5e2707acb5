"""Evolution: who is evaluated, selected and mutated, when it ends, and whose fault a failure is."""

import asyncio
import math

import pytest
from evolution_parts import Climb, pipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter import hookimpl
from orbiter.errors import ConfigError, UserCodeError
from orbiter.flywheel.evolution import (
    EVOLUTION_TRANSITIONS,
    EvolutionPhase,
)
from orbiter.plugin import plugin_manager


async def test_a_population_climbs():
    result = await pipeline(epochs=40).run([0, 10])
    assert (result.best_score, result.best_candidate, result.epochs_completed) == (0, 42, 40)
    scores = [record.best_score for record in result.history]
    assert scores == sorted(scores)
    assert [record.epoch for record in result.history] == list(range(1, 41))
    assert (len(result.population), result.stop_reason) == (4, "epochs")


async def test_one_epoch_evaluates_and_no_more():
    strategy = Climb()
    result = await pipeline(strategy, epochs=1).run([0, 10])
    assert (strategy.evaluated, strategy.mutated) == ([0, 10], [])
    assert (result.best_candidate, result.history[0].mean_score) == (10, -37.0)


async def test_a_score_is_asked_for_once():
    strategy = Climb()
    result = await pipeline(strategy, mutation_rate=0.0, epochs=3).run([0, 10])
    assert strategy.evaluated == [0, 10]
    assert [record.evaluated_count for record in result.history] == [2, 0, 0]
    assert result.population == (10, 10, 10, 10)


@settings(deadline=None, max_examples=40)
@given(
    population=st.lists(st.integers(-50, 50), min_size=1, max_size=6),
    epochs=st.integers(1, 6),
    population_size=st.integers(1, 6),
    elite_count=st.integers(0, 6),
    ratio=st.floats(0.01, 1),
    rate=st.floats(0, 1),
    seed=st.integers(0, 5),
)
async def test_what_always_holds(
    population, epochs, population_size, elite_count, ratio, rate, seed
):
    config = {
        "epochs": epochs,
        "population_size": population_size,
        "elite_count": min(elite_count, population_size),
        "selection_ratio": ratio,
        "mutation_rate": rate,
        "seed": seed,
    }
    strategy = Climb()
    result = await pipeline(strategy, **config).run(population)
    assert result.epochs_completed == len(result.history) == epochs
    assert result.best_score == max(-abs(c - 42) for c in strategy.evaluated)
    assert result.best_score == max(record.best_score for record in result.history)
    assert -abs(result.best_candidate - 42) == result.best_score
    assert len(strategy.evaluated) == sum(record.evaluated_count for record in result.history)
    assert len(strategy.evaluated) == len(population) + len(strategy.mutated)
    assert len(result.population) == (population_size if epochs > 1 else len(population))
    if config["elite_count"]:
        scores = [record.best_score for record in result.history]
        assert scores == sorted(scores)
    assert await pipeline(**config).run(population) == result


async def test_selection_keeps_the_share_of_the_best():
    strategy = Climb()
    strategy.selection_ratio = 0.5
    assert await strategy.select(["a", "b", "c", "d", "e"], [1.0, 3.0, 2.0, 3.0, 0.0]) == ["b", "d"]
    strategy.selection_ratio = 0.01
    assert await strategy.select(["a", "b"], [1.0, 2.0]) == ["b"]


async def test_the_ratio_of_the_config_selects():
    strategy = Climb()
    await pipeline(strategy, epochs=2, selection_ratio=0.25, population_size=8).run([1, 2, 3, 41])
    assert set(strategy.mutated) == {41}


async def test_the_mutation_rate_is_a_probability():
    strategy = Climb()
    await pipeline(strategy, epochs=2, population_size=2000, mutation_rate=0.25, elite_count=0).run(
        [0]
    )
    assert 420 < len(strategy.mutated) < 580


async def test_the_seed_chooses():
    config = {
        "epochs": 10,
        "mutation_rate": 0.5,
        "population_size": 6,
        "elite_count": 0,
        "selection_ratio": 1.0,
    }
    ends = [(await pipeline(**config, seed=seed).run([1, 2, 3])).population for seed in (0, 0, 1)]
    assert ends[0] == ends[1] != ends[2]


async def test_of_equals_the_first_ever_is_the_best():
    class Flat(Climb):
        async def evaluate(self, candidate):
            return 1.0

    result = await pipeline(Flat(), elite_count=0).run([7, 8])
    assert (result.best_candidate, result.best_score) == (7, 1.0)
    assert 7 not in result.population


async def test_every_epoch_draws_anew():
    config = {"epochs": 6, "population_size": 50, "mutation_rate": 0.5, "elite_count": 0}
    config["selection_ratio"] = 0.01  # one parent, so that the draws alone make the difference
    result = await pipeline(**config).run([0])
    assert len({record.evaluated_count for record in result.history[1:]}) > 1


async def test_the_phases_are_walked_and_announced():
    class Recorder:
        def __init__(self):
            self.phases = ["init"]

        @hookimpl
        def orbiter_on_state(self, event):
            assert (event.subject, event.old) == ("EvolutionPipeline", self.phases[-1])
            self.phases.append(event.new)

    recorder, made = Recorder(), pipeline(epochs=2)
    assert made.phase is EvolutionPhase.INIT
    plugin_manager().register(recorder)
    try:
        await made.run([1])
    finally:
        plugin_manager().unregister(recorder)
    assert recorder.phases == [
        "init",
        "evaluating",
        "selecting",
        "mutating",
        "evaluating",
        "complete",
    ]
    assert made.phase is EvolutionPhase.COMPLETE
    assert set(EVOLUTION_TRANSITIONS) == set(EvolutionPhase)


class TestStopping:
    async def test_at_the_target(self):
        result = await pipeline(epochs=100, target_score=-20).run([0])
        assert result.stop_reason == "target"
        assert [record.best_score >= -20 for record in result.history[-2:]] == [False, True]

    async def test_when_patience_is_over(self):
        result = await pipeline(epochs=100, mutation_rate=0.0, patience=3).run([0])
        assert (result.epochs_completed, result.stop_reason) == (4, "patience")

    async def test_patience_counts_from_the_last_gain(self):
        result = await pipeline(epochs=100, patience=2).run([36])
        scores = [record.best_score for record in result.history]
        assert scores[-3:] == [0, 0, 0]
        assert scores[-4] < 0


class TestInvalid:
    async def test_invalid_candidates_are_counted_and_never_selected(self):
        class Picky(Climb):
            async def evaluate(self, candidate):
                match candidate:
                    case 1:
                        raise ZeroDivisionError("one")
                    case 2:
                        return math.nan
                    case 3:
                        return None
                return await super().evaluate(candidate)

            async def select(self, population, scores):
                assert (population, scores) == ([10, 0], [-32, -42])
                return population

        result = await pipeline(Picky(), epochs=2, mutation_rate=0.0).run([1, 10, 2, 0, 3])
        first, second = result.history
        assert (first.valid_count, first.invalid_count, first.mean_score) == (2, 3, -37.0)
        assert first.invalid_reasons == {
            "raised ZeroDivisionError: one": 1,
            "returned NaN": 1,
            "returned None": 1,
        }
        assert (second.invalid_count, result.invalid_count) == (0, 3)
        assert set(result.population) <= {0, 10}

    async def test_a_population_without_a_valid_candidate_is_an_error(self):
        class Broken(Climb):
            async def evaluate(self, candidate):
                raise ZeroDivisionError("no")

        with pytest.raises(UserCodeError) as caught:
            await pipeline(Broken()).run([1, 2])
        assert (
            caught.value.message
            == "every candidate of epoch 1 is invalid: 2 x raised ZeroDivisionError: no"
        )
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


class TestUserCode:
    async def test_pairs_that_cannot_be_sorted_are_explained(self):
        class Sorting(Climb):
            async def evaluate(self, candidate):
                return 1.0

            async def select(self, population, scores):
                return [p for _, p in sorted(zip(scores, population, strict=True), reverse=True)]

        with pytest.raises(UserCodeError) as caught:
            await pipeline(Sorting()).run([{"a": 1}, {"a": 2}])
        assert caught.value.message.startswith("Sorting.select raised TypeError: '<' not supported")
        assert "sort with key=lambda pair: pair[0]" in caught.value.hint

    async def test_candidates_that_cannot_be_compared_are_fine_by_default(self):
        class Flat(Climb):
            async def evaluate(self, candidate):
                return 1.0

            async def mutate(self, candidate):
                return object()

        first = object()
        assert (await pipeline(Flat()).run([first, object()])).best_candidate is first

    @pytest.mark.parametrize("parents", [[], None, 3, "ab"])
    async def test_select_gives_parents(self, parents):
        class Selecting(Climb):
            async def select(self, population, scores):
                return parents

        with pytest.raises(
            UserCodeError,
            match=r"Selecting.select must return a list of parents, at least one, got",
        ):
            await pipeline(Selecting()).run([1])

    async def test_mutate_that_raises_is_named(self):
        class Mutating(Climb):
            async def mutate(self, candidate):
                raise KeyError("x")

        with pytest.raises(UserCodeError, match=r"Mutating.mutate raised KeyError: 'x'"):
            await pipeline(Mutating()).run([1])

    async def test_parents_from_elsewhere_are_evaluated(self):
        class Immigrant(Climb):
            async def select(self, population, scores):
                return [41]

        result = await pipeline(Immigrant(), epochs=2, mutation_rate=0.0).run([1])
        assert (result.best_candidate, result.history[1].evaluated_count) == (41, 3)


@pytest.mark.parametrize("concurrency", [1, 3, 10])
async def test_as_many_are_evaluated_at_once_as_allowed(concurrency):
    class Counting(Climb):
        running = most = 0

        async def evaluate(self, candidate):
            self.running += 1
            self.most = max(self.most, self.running)
            for _ in range(candidate % 3 + 1):
                await asyncio.sleep(0)
            self.running -= 1
            return await super().evaluate(candidate)

    strategy = Counting()
    result = await pipeline(strategy, population_size=8, concurrency=concurrency).run(range(8))
    assert strategy.most == min(concurrency, 8)
    assert result == await pipeline(population_size=8).run(range(8))


async def test_bad_calls():
    with pytest.raises(ConfigError, match="initial_population must hold a candidate, got none"):
        await pipeline().run([])
    with pytest.raises(
        ConfigError, match="initial_population must be a list of candidates, got 'ab'"
    ):
        await pipeline().run("ab")
    with pytest.raises(ConfigError, match="strategy must be an EvolutionStrategy, got"):
        pipeline(strategy=Climb)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be an integer >= 1, got 0"),
        ({"epochs": 1.5}, "epochs must be an integer >= 1, got 1.5"),
        ({"epochs": True}, "epochs must be an integer >= 1, got True"),
        ({"population_size": 0}, "population_size must be an integer >= 1, got 0"),
        ({"selection_ratio": 0}, "selection_ratio must be in (0, 1], got 0"),
        ({"selection_ratio": math.nan}, "selection_ratio must be in (0, 1], got nan"),
        ({"mutation_rate": 1.1}, "mutation_rate must be in [0, 1], got 1.1"),
        ({"mutation_rate": "often"}, "mutation_rate must be in [0, 1], got 'often'"),
        ({"elite_count": 5}, "elite_count must be an integer in [0, 4], got 5"),
        ({"patience": 0}, "patience must be an integer >= 1 or None, got 0"),
        ({"target_score": "x"}, "target_score must be a number or None, got 'x'"),
        ({"concurrency": 0}, "concurrency must be an integer >= 1, got 0"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
    ],
)
def test_the_config_is_checked(options, message):
    with pytest.raises(ConfigError) as caught:
        pipeline(**options)
    assert caught.value.message == message


async def test_the_share_is_not_one_short_by_rounding():
    strategy = Climb()
    strategy.selection_ratio = 0.29
    assert len(await strategy.select(list(range(100)), [0.0] * 100)) == 29
