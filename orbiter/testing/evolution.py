"""The check of an EvolutionStrategy."""

from __future__ import annotations

import asyncio
import copy
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from orbiter.flywheel.evolution import EvolutionConfig, EvolutionPipeline, EvolutionStrategy
from orbiter.testing.contract import Contract, shown


def check_evolution(
    make: Callable[[], EvolutionStrategy],
    population: Sequence[Any],
    *,
    config: EvolutionConfig | None = None,
    deterministic: bool = True,
) -> None:
    """Check that an evolution strategy keeps its contract.

    The clauses: ``evaluate`` gives every candidate a finite number, the same again if it is deterministic, and leaves it as it is;
    ``select`` returns at least one of the candidates that it is given, copes with equal scores and with a population of one, and
    leaves its lists as they are; ``mutate`` leaves the old candidate as it is and returns a variant that is not
    always the same as the old one; a pipeline keeps the population at its size, ends COMPLETE, and with an elite and deterministic
    scores its best score never falls.

        def test_climb():
            check_evolution(Climb, [0, 7, 50])

    Args:
        make: Makes a fresh strategy.
        population: At least two valid candidates.
        config: How the pipeline evolves them; default: four epochs at the size of the population.
        deterministic: Whether a candidate's score is always the same.

    Raises:
        AssertionError: A clause is broken; the message names it.
    """
    if len(population) < 2:
        raise ValueError("population must hold at least two candidates")
    config = config or EvolutionConfig(
        epochs=4, population_size=len(population), selection_ratio=0.5, mutation_rate=0.9
    )
    asyncio.run(_check(make, list(population), config, deterministic))


async def _check(
    make: Callable[[], EvolutionStrategy],
    population: list[Any],
    config: EvolutionConfig,
    deterministic: bool,
) -> None:
    strategy = make()
    contract = Contract("evolution", type(strategy).__name__)
    scores = [await _evaluate(contract, strategy, candidate) for candidate in population]
    if deterministic:
        fresh = make()
        again = [await _evaluate(contract, fresh, candidate) for candidate in population]
        contract.clause(
            "same score again",
            again == scores,
            f"evaluate() must score the same candidates the same, got {again} after {scores}",
        )
    await _check_select(contract, strategy, population, scores, "select")
    await _check_select(contract, strategy, population, [scores[0]] * len(scores), "ties")
    await _check_select(contract, strategy, population[:1], scores[:1], "select")
    await _check_mutate(contract, strategy, population)
    await _check_pipeline(contract, make(), population, config, deterministic)


async def _evaluate(contract: Contract, strategy: EvolutionStrategy, candidate: Any) -> float:
    before = _Snapshot(candidate)
    with contract.without_error("evaluate", f"evaluate({shown(candidate)})"):
        score = await strategy.evaluate(candidate)
    contract.clause(
        "evaluate",
        isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score),
        f"evaluate({shown(candidate)}) must return a finite number, got {score!r}",
    )
    contract.clause(
        "candidates are left alone",
        before.still_holds,
        f"evaluate() must leave the candidate as it is, got {shown(candidate)}",
    )
    return score


async def _check_select(
    contract: Contract,
    strategy: EvolutionStrategy,
    population: list[Any],
    scores: list[float],
    clause: str,
) -> None:
    given, given_scores = list(population), list(scores)
    with contract.without_error(clause, f"select() of {len(given)} candidates, scores {scores},"):
        parents = await strategy.select(given, given_scores)
    contract.clause(
        clause,
        isinstance(parents, Sequence) and not isinstance(parents, str) and len(parents) >= 1,
        f"select() must return a list of at least one parent, got {shown(parents)}",
    )
    strangers = [p for p in parents if not any(p is c or p == c for c in population)]
    contract.clause(
        clause,
        not strangers,
        f"select() must choose among the candidates that it is given, got {shown(strangers)}",
    )
    contract.clause(
        "candidates are left alone",
        len(given) == len(population)
        and all(a is b for a, b in zip(given, population, strict=True))
        and given_scores == scores,
        "select() must leave the lists that it is given as they are, got them changed",
    )


async def _check_mutate(
    contract: Contract, strategy: EvolutionStrategy, population: list[Any]
) -> None:
    varied = False
    for candidate in population * 5:
        before = _Snapshot(candidate)
        with contract.without_error("mutate", f"mutate({shown(candidate)})"):
            variant = await strategy.mutate(candidate)
        contract.clause(
            "candidates are left alone",
            before.still_holds,
            f"mutate() must leave the old candidate as it is, got {shown(candidate)}",
        )
        varied |= variant is not candidate and bool(variant != candidate)
    contract.clause(
        "mutate",
        varied,
        f"mutate() must vary candidates, got the old one each of {5 * len(population)} times",
    )


async def _check_pipeline(
    contract: Contract,
    strategy: EvolutionStrategy,
    population: list[Any],
    config: EvolutionConfig,
    deterministic: bool,
) -> None:
    pipeline = EvolutionPipeline(config=config, strategy=strategy)
    with contract.without_error("pipeline", "the run of a pipeline"):
        result = await pipeline.run(population)
    contract.clause(
        "pipeline",
        pipeline.phase.value == "complete" and result.epochs_completed == len(result.history) >= 1,
        f"a run must end COMPLETE with a record per epoch, got {pipeline.phase} "
        f"and {len(result.history)} records of {result.epochs_completed} epochs",
    )
    sizes = [record.valid_count + record.invalid_count for record in result.history]
    contract.clause(
        "population size",
        sizes == [len(population)] + [config.population_size] * (len(sizes) - 1),
        f"every population must have {config.population_size} candidates, got {sizes}",
    )
    if deterministic and config.elite_count >= 1:
        best = [record.best_score for record in result.history]
        contract.clause(
            "the best lives on",
            all(later >= earlier for earlier, later in itertools.pairwise(best)),
            f"with an elite the best score must not fall, got {best}",
        )
        score = await strategy.evaluate(result.best_candidate)
        contract.clause(
            "the best lives on",
            score == result.best_score,
            f"best_candidate must have the best_score {result.best_score}, got {score}",
        )


class _Snapshot:
    """What a candidate was like, as far as it can be copied and compared."""

    def __init__(self, candidate: Any) -> None:
        self._candidate = candidate
        self._before = copy.deepcopy(candidate)
        # An object without an equality of its own differs from its copy from the first.
        self._comparable = bool(self._before == candidate)

    @property
    def still_holds(self) -> bool:
        return not self._comparable or bool(self._before == self._candidate)
