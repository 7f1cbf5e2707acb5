"""The lines of a run's files: how one is written, and the few typed fields that opening a ledger reads of each."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
import orjson

from orbiter.errors import DamagedRunError, RecordError
from orbiter.ledger.attempt import AttemptKey
from orbiter.records import Outcome

T = TypeVar("T", bound=msgspec.Struct)


class KeyLine(msgspec.Struct):
    """The fields that name an attempt."""

    round: int
    engine: str
    env: str
    task_id: str
    attempt: int

    @property
    def key(self) -> AttemptKey:
        """The name of the attempt."""
        return AttemptKey(self.round, self.engine, self.env, self.task_id, self.attempt)


class AttemptLine(KeyLine):
    """What the account needs of a line of attempts.jsonl."""

    token_count: int = 0
    error: str | None = None
    cost: float | None = None
    sample_count: int = 1


class IndexedLine(AttemptLine, kw_only=True):
    """What the index needs of a line of attempts.jsonl."""

    id: str
    generator: str | None = None
    model: str | None = None
    seed: int | None = None
    finish_reason: str = "stop"


class VerdictLine(KeyLine, kw_only=True):
    """What the account needs of a line of verdicts.jsonl."""

    outcome: Outcome
    score: float | None = None
    reason: str = ""
    verifier: str = ""
    version: str = ""


class DecisionLine(KeyLine, kw_only=True):
    """What the account needs of a line of decisions.jsonl."""

    decision: str
    reason: str = ""
    verifier: str = ""
    version: str = ""


class EventLine(msgspec.Struct):
    """What every line of rounds.jsonl has."""

    event: str


class PlanLine(EventLine, kw_only=True):
    """A part of a plan: each of these tasks has ``samples`` attempts."""

    round: int
    engine: str
    samples: int
    tasks: list[tuple[str, str]]


def encode(row: dict[str, Any], *, what: object) -> bytes:
    """Return the line of a row.

    Raises:
        RecordError: The row holds something that JSON cannot.
    """
    try:
        line = orjson.dumps(row)
    except (TypeError, ValueError) as error:
        raise RecordError(f"row of {what} cannot be written as JSON: {error}") from None
    # orjson writes NaN and infinity as null. Only a line with a null that is not the score can hide one.
    nulls = 1 if "score" in row and row["score"] is None else 0
    if line.count(b"null") > nulls and (path := _non_finite(row)):
        raise RecordError(f"row of {what} must hold finite numbers, got another in {path!r}")
    # A copy, since orjson's own bytes hold on to a block of a kilobyte that is cut to size: to keep thousands of those makes
    # malloc ask the kernel for memory and give it back at every line, which takes ten times as long as encoding.
    return bytes(memoryview(line))


def _non_finite(value: Any, path: str = "") -> str | None:
    """Return the path of the first number in plain data that is NaN or infinite."""
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    return next(
        (p for key, item in items if (p := _non_finite(item, f"{path}.{key}".lstrip(".")))), None
    )


def decode(line: bytes, cls: type[T], *, source: str, number: int) -> T:
    """Return the typed fields of a committed line.

    Raises:
        DamagedRunError: The line was damaged after it was committed.
    """
    try:
        made: T = _decoder(cls).decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise damaged(source, number, error) from None
    return made


def damaged(source: str, number: int, error: Exception) -> DamagedRunError:
    """Return the error for a committed line that can no longer be read."""
    return DamagedRunError(
        f"{source} line {number} is damaged: {error}",
        hint="restore the file from a copy; orbiter never leaves out a committed line in silence",
    )


@functools.cache
def _decoder(cls: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(cls)
