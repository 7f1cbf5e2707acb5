"""The state of an evolution: its population, what is known of it, and the file that it goes on from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from attrs import field, frozen

from orbiter.convert import structure, unstructure
from orbiter.errors import RecordError


@frozen(kw_only=True)
class EpochRecord:
    """What one epoch came to.

    Args:
        epoch: Counted from 1.
        best_score: Highest score of this population.
        mean_score: Mean score of its valid candidates.
        valid_count: Candidates with a score.
        invalid_count: Candidates without one.
        evaluated_count: Candidates that were evaluated anew, the others' scores being known.
        invalid_reasons: How many candidates are invalid, by reason.
    """

    epoch: int
    best_score: float
    mean_score: float
    valid_count: int
    invalid_count: int
    evaluated_count: int
    invalid_reasons: Mapping[str, int] = field(factory=dict)


@frozen(kw_only=True)
class Member:
    """A candidate with what is known of it: a score, or the problem why it has none, or neither yet."""

    candidate: Any
    score: float | None = None
    problem: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether it has yet to be evaluated."""
        return self.score is None and not self.problem


@frozen(kw_only=True)
class Scored:
    """A valid candidate."""

    candidate: Any
    score: float

    def member(self) -> Member:
        """Return it as a member of a population."""
        return Member(candidate=self.candidate, score=self.score)


@frozen(kw_only=True)
class EvolutionState:
    """All that an evolution needs to go on.

    Args:
        asked: What shapes the populations: two runs that differ in it cannot go on from each other.
        members: The present population.
        epoch: Number of the present population, counted from 1.
        history: One record per evaluated population.
        best: The first candidate with the highest score of all epochs.
    """

    asked: Mapping[str, Any]
    members: tuple[Member, ...]
    epoch: int = 1
    history: tuple[EpochRecord, ...] = ()
    best: Scored | None = None

    @property
    def is_evaluated(self) -> bool:
        """Whether the present population has its record."""
        return len(self.history) == self.epoch

    @property
    def valid(self) -> list[Scored]:
        """The valid candidates, in order."""
        return [
            Scored(candidate=member.candidate, score=member.score)
            for member in self.members
            if member.score is not None
        ]

    @property
    def ranked(self) -> list[Scored]:
        """The valid candidates, the best first; of equals, the earlier."""
        return sorted(self.valid, key=lambda scored: -scored.score)


def check_plain(candidates: Sequence[Any]) -> None:
    """Raise RecordError for the first candidate that JSON does not hold unchanged."""
    for number, candidate in enumerate(candidates, start=1):
        try:
            if orjson.loads(orjson.dumps(candidate)) == candidate:
                continue
        except (orjson.JSONEncodeError, RecursionError):
            pass
        raise RecordError(
            f"must be plain JSON to be saved, got {candidate!r:.200}",
            source=f"candidate {number}",
            hint="leave state_path out, or use candidates of text, numbers, lists and objects",
        )


def save_state(state: EvolutionState, path: Path) -> None:
    """Write the state so that the file is at every instant the old one or the new one."""
    from orbiter.jsonl import replace_file  # loads numpy, which evolution itself does without

    check_plain([member.candidate for member in state.members])
    with replace_file(path) as file:
        file.write(orjson.dumps(unstructure(state)))


def load_state(path: Path) -> EvolutionState | None:
    """Return the state in the file, or None if there is no file."""
    if not path.exists():
        return None
    try:
        row = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise RecordError(f"must be JSON: {error}", source=str(path)) from None
    return structure(row, EvolutionState, source=str(path))
