"""EvolutionPipeline: evaluate a population, select parents, mutate children, again."""

from __future__ import annotations

import asyncio
import enum
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
from attrs import frozen

from orbiter.errors import ConfigError, OrbiterError, UserCodeError
from orbiter.flywheel.evolution_state import (
    EpochRecord,
    EvolutionState,
    Member,
    check_plain,
    load_state,
    save_state,
)
from orbiter.records import content_hash
from orbiter.tasks.streams import item_stream
from orbiter.train.config import check_fields, whole
from orbiter.train.lifecycle import Lifecycle
from orbiter.train.rewards import finite_number

T = TypeVar("T")


class EvolutionPhase(enum.StrEnum):
    """Where an evolution stands."""

    INIT = "init"
    EVALUATING = "evaluating"
    SELECTING = "selecting"
    MUTATING = "mutating"
    COMPLETE = "complete"


EVOLUTION_TRANSITIONS: Mapping[EvolutionPhase, tuple[EvolutionPhase, ...]] = {
    EvolutionPhase.INIT: (EvolutionPhase.EVALUATING,),
    EvolutionPhase.EVALUATING: (EvolutionPhase.SELECTING, EvolutionPhase.COMPLETE),
    EvolutionPhase.SELECTING: (EvolutionPhase.MUTATING,),
    EvolutionPhase.MUTATING: (EvolutionPhase.EVALUATING,),
    EvolutionPhase.COMPLETE: (),
}
"""Every phase, and the phases that may follow it."""


@frozen(kw_only=True)
class EvolutionConfig:
    """How a population evolves.

    Args:
        epochs: Populations that are evaluated, the initial one included, >= 1.
        population_size: Candidates of every population but the initial one, >= 1.
        selection_ratio: Share of the valid candidates that become parents, in (0, 1]; at least one does.
        mutation_rate: Probability in [0, 1] that a child is a mutation of its parent; otherwise it is its parent.
        elite_count: The best so many candidates live on unchanged, in [0, population_size].
        patience: Stop after so many epochs without a better best score; None for never.
        target_score: Stop when the best score reaches it; None for never.
        concurrency: How many candidates are evaluated at once, >= 1.
        seed: Seed of the choice of parents and of who mutates.
    """

    epochs: int
    population_size: int
    selection_ratio: float = 0.5
    mutation_rate: float = 0.1
    elite_count: int = 1
    patience: int | None = None
    target_score: float | None = None
    concurrency: int = 1
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        size = self.population_size
        check_fields(
            self,
            ("epochs", whole(1), "an integer >= 1"),
            ("population_size", whole(1), "an integer >= 1"),
            ("selection_ratio", lambda value: 0 < value <= 1, "in (0, 1]"),
            ("mutation_rate", lambda value: 0 <= value <= 1, "in [0, 1]"),
            (
                "elite_count",
                lambda value: whole(0)(value) and value <= size,
                f"an integer in [0, {size}]",
            ),
            ("patience", lambda value: value is None or whole(1)(value), "an integer >= 1 or None"),
            ("target_score", _number_or_none, "a number or None"),
            ("concurrency", whole(1), "an integer >= 1"),
            ("seed", whole(0), "an integer >= 0"),
        )


class EvolutionStrategy(ABC):
    """What a candidate is worth, who has children, and how children differ.

    A small complete subclass, for candidates that are numbers:

        class Climb(EvolutionStrategy):
            async def evaluate(self, candidate) -> float:
                return -abs(candidate - 42)

            async def mutate(self, candidate):
                return candidate + random.choice([-1, 1])

    Contract: ``evaluate`` returns a finite number, the higher the better. A candidate for which it raises or returns anything
    else is invalid: counted, never selected, and never worth 0. A score is asked for once and then kept. ``mutate`` returns a
    new candidate and leaves the old one alone.
    """

    selection_ratio: float = 0.5
    """Share that the default ``select`` keeps; the pipeline sets it from its config."""

    @abstractmethod
    async def evaluate(self, candidate: Any) -> float:
        """Return the score of a candidate."""

    async def select(self, population: list[Any], scores: list[float]) -> list[Any]:
        """Return the parents, at least one. The default keeps the best ``selection_ratio``; of equals, the earlier.

        Args:
            population: The valid candidates.
            scores: Their scores.
        """
        best = sorted(range(len(population)), key=lambda i: -scores[i])
        # 100 * 0.29 is a little below 29 in floating point.
        kept = max(1, int(len(population) * self.selection_ratio + 1e-9))
        return [population[i] for i in best[:kept]]

    @abstractmethod
    async def mutate(self, candidate: Any) -> Any:
        """Return a variant of a candidate."""


@frozen(kw_only=True)
class EvolutionResult:
    """How an evolution ended.

    Args:
        best_score: Highest score of all epochs.
        best_candidate: The first candidate that had it.
        epochs_completed: Populations that were evaluated.
        history: One record per epoch.
        population: The last population.
        stop_reason: ``epochs``, ``patience`` or ``target``.
    """

    best_score: float
    best_candidate: Any
    epochs_completed: int
    history: tuple[EpochRecord, ...]
    population: tuple[Any, ...]
    stop_reason: str

    @property
    def invalid_count(self) -> int:
        """Evaluations that gave no score, over all epochs."""
        return sum(record.invalid_count for record in self.history)


class EvolutionPipeline:
    """Improves a population over epochs.

        config = EvolutionConfig(epochs=20, population_size=10, mutation_rate=0.9)
        result = await EvolutionPipeline(config=config, strategy=Climb()).run([0, 7])
        print(result.best_candidate, result.best_score)

    An epoch evaluates the population. Unless it was the last, the strategy then selects parents among the valid candidates;
    the best ``elite_count`` live on, and the rest of the next population are children, each of a parent drawn at random, mutated
    with probability ``mutation_rate``.

    Args:
        config: How the population evolves.
        strategy: What a candidate is worth, who has children, and how children differ.
    """

    def __init__(self, *, config: EvolutionConfig, strategy: EvolutionStrategy) -> None:
        if not isinstance(strategy, EvolutionStrategy):
            raise ConfigError(f"strategy must be an EvolutionStrategy, got {strategy!r}")
        self.config = config
        self.strategy = strategy
        self._lifecycle = self._new_lifecycle()

    @property
    def phase(self) -> EvolutionPhase:
        """Where the newest run stands."""
        return self._lifecycle.state

    async def run(
        self, initial_population: Sequence[Any], *, state_path: str | Path | None = None
    ) -> EvolutionResult:
        """Evolve, and return the best candidate of all epochs.

        Args:
            initial_population: The candidates of the first epoch, at least one.
            state_path: File in which to save the state as JSON, after each evaluation and each mutation. If it is there
                already, the run goes on from it and ends as it would have ended without a break, given a strategy that
                depends on the candidate alone. Candidates must be plain JSON.

        Raises:
            ConfigError: The population is empty, or the file belongs to another run.
            RecordError: The file or a candidate is not such JSON.
            UserCodeError: The strategy raised in ``select`` or ``mutate``, or every candidate is invalid.
        """
        if isinstance(initial_population, str):
            raise ConfigError(
                f"initial_population must be a list of candidates, got {initial_population!r:.200}"
            )
        path = None if state_path is None else Path(state_path)
        self._lifecycle = self._new_lifecycle()
        state = self._begin(list(initial_population), path)
        while True:
            self._lifecycle.move(EvolutionPhase.EVALUATING)
            if not state.is_evaluated:
                state = await self._evaluate(state)
                self._save(state, path)
            if reason := self._stop_reason(state):
                self._lifecycle.move(EvolutionPhase.COMPLETE)
                return _result(state, reason)
            self._lifecycle.move(EvolutionPhase.SELECTING)
            parents = await self._select(state)
            self._lifecycle.move(EvolutionPhase.MUTATING)
            state = await self._breed(state, parents)
            self._save(state, path)

    def _new_lifecycle(self) -> Lifecycle[EvolutionPhase]:
        return Lifecycle(
            type(self).__name__,
            initial=EvolutionPhase.INIT,
            transitions=EVOLUTION_TRANSITIONS,
        )

    def _save(self, state: EvolutionState, path: Path | None) -> None:
        if path is not None:
            save_state(state, path)

    def _begin(self, population: list[Any], path: Path | None) -> EvolutionState:
        if not population:
            raise ConfigError("initial_population must hold a candidate, got none")
        members = tuple(Member(candidate=candidate) for candidate in population)
        if path is None:
            return EvolutionState(asked={}, members=members)
        check_plain(population)
        # A longer or more patient run may go on from a shorter one; what shapes the populations must be the same.
        free = ("epochs", "patience", "target_score", "concurrency")
        asked = {k: v for k, v in attrs.asdict(self.config).items() if k not in free}
        asked["initial_population"] = content_hash(population)
        state = load_state(path)
        if state is None:
            return EvolutionState(asked=asked, members=members)
        if state.asked != asked:
            differs = sorted(k for k in asked if state.asked.get(k) != asked[k])
            raise ConfigError(
                f"state_path must be new or hold the same run, got {str(path)!r}, whose run differs in "
                + ", ".join(differs),
                hint="choose another state_path, or delete this one to evolve anew",
            )
        return state

    async def _evaluate(self, state: EvolutionState) -> EvolutionState:
        """Score the members that have no score yet, and note down what the epoch came to."""
        errors: list[Exception] = []
        turn = asyncio.Semaphore(self.config.concurrency)

        async def judged(member: Member) -> Member:
            if not member.is_pending:
                return member
            async with turn:
                try:
                    score, problem = finite_number(await self.strategy.evaluate(member.candidate))
                except Exception as error:
                    errors.append(error)
                    score, problem = None, f"raised {type(error).__name__}: {error}"
            return attrs.evolve(member, score=score, problem=problem)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(judged(member)) for member in state.members]
        members = tuple(task.result() for task in tasks)
        problems = Counter(member.problem for member in members if member.problem)
        pending_count = sum(member.is_pending for member in state.members)
        state = attrs.evolve(state, members=members)
        ranked = state.ranked
        if not ranked:
            shown = "; ".join(f"{count} x {problem}" for problem, count in problems.most_common(3))
            raise UserCodeError(
                f"every candidate of epoch {state.epoch} is invalid: {shown}"
            ) from next(iter(errors), None)
        record = EpochRecord(
            epoch=state.epoch,
            best_score=ranked[0].score,
            mean_score=math.fsum(scored.score for scored in ranked) / len(ranked),
            valid_count=len(ranked),
            invalid_count=problems.total(),
            evaluated_count=pending_count,
            invalid_reasons=dict(problems),
        )
        is_better = state.best is None or ranked[0].score > state.best.score
        return attrs.evolve(
            state,
            history=(*state.history, record),
            best=ranked[0] if is_better else state.best,
        )

    def _stop_reason(self, state: EvolutionState) -> str:
        scores = [record.best_score for record in state.history]
        target, patience = self.config.target_score, self.config.patience
        if target is not None and max(scores) >= target:
            return "target"
        if len(scores) >= self.config.epochs:
            return "epochs"
        if patience is not None and len(scores) - 1 - scores.index(max(scores)) >= patience:
            return "patience"
        return ""

    async def _select(self, state: EvolutionState) -> list[Any]:
        self.strategy.selection_ratio = self.config.selection_ratio
        population = [scored.candidate for scored in state.valid]
        scores = [scored.score for scored in state.valid]
        parents = await self._ask("select", self.strategy.select(population, scores))
        if not isinstance(parents, Sequence) or isinstance(parents, str) or not parents:
            raise UserCodeError(
                f"{type(self.strategy).__name__}.select must return a list of parents, at least one, "
                f"got {parents!r:.200}"
            )
        return list(parents)

    async def _breed(self, state: EvolutionState, parents: list[Any]) -> EvolutionState:
        """Return the next population: the elite, then children."""
        known = {id(scored.candidate): scored.member() for scored in state.valid}
        members = [scored.member() for scored in state.ranked[: self.config.elite_count]]
        for child in range(len(members), self.config.population_size):
            stream = item_stream(self.config.seed, "evolution", state.epoch, child)
            parent = parents[stream.randrange(len(parents))]
            if stream.random() < self.config.mutation_rate:
                candidate = await self._ask("mutate", self.strategy.mutate(parent))
                members.append(Member(candidate=candidate))
            else:
                members.append(known.get(id(parent), Member(candidate=parent)))
        return attrs.evolve(state, members=tuple(members), epoch=state.epoch + 1)

    async def _ask(self, method: str, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except OrbiterError:
            raise
        except Exception as error:
            tied = "'<' not supported" in str(error)
            raise UserCodeError(
                f"{type(self.strategy).__name__}.{method} raised {type(error).__name__}: {error}",
                hint="sorting (score, candidate) pairs compares the candidates when scores are equal; "
                "sort with key=lambda pair: pair[0]"
                if method == "select" and tied
                else None,
            ) from error


def _result(state: EvolutionState, stop_reason: str) -> EvolutionResult:
    best = state.best or state.ranked[0]
    return EvolutionResult(
        best_score=best.score,
        best_candidate=best.candidate,
        epochs_completed=len(state.history),
        history=state.history,
        population=tuple(member.candidate for member in state.members),
        stop_reason=stop_reason,
    )


def _number_or_none(value: Any) -> bool:
    return value is None or isinstance(value, int | float)
