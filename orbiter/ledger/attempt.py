"""The records of the ledger: an attempt, and the key that names it in every file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field, frozen

from orbiter.checks import is_number
from orbiter.errors import RecordError
from orbiter.records import Trajectory

KEY_FIELDS = ("round", "engine", "env", "task_id", "attempt")
"""The fields that name an attempt, in every file of the ledger."""

_IN_TRAJECTORY = ("engine", "attempt", "finish_reason")
_BESIDE_TRAJECTORY = ("token_count", "error", "cost", "sample_count")


def _count(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if type(value) is not int or value < 0:
        raise RecordError(f"must be an integer >= 0, got {value!r}", field=attribute.name)


def _text(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str):
        raise RecordError(f"must be a string, got {value!r}", field=attribute.name)


def _text_or_none(_: object, attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None:
        _text(_, attribute, value)  # type: ignore[arg-type]


def _cost(_: object, attribute: attrs.Attribute[float | None], value: float | None) -> None:
    if value is not None and not (is_number(value) and value >= 0):
        raise RecordError(f"must be a number >= 0, got {value!r}", field=attribute.name)


def _named(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not isinstance(value, str) or not value:
        raise RecordError(f"must be a non-empty string, got {value!r}", field=attribute.name)


@frozen(order=True, cache_hash=True)
class AttemptKey:
    """The name of an attempt; the ledger counts each one exactly once.

    Args:
        round: Round of the run, counted from 0.
        engine: What generated it: a policy, a teacher, or a stage such as ``evaluate``.
        env: Environment of the task.
        task_id: The task.
        attempt: Which sample of the task this is, counted from 0.
    """

    round: int = field(validator=_count)
    engine: str = field(validator=_named)
    env: str = field(validator=_named)
    task_id: str = field(validator=_named)
    attempt: int = field(validator=_count)

    def __str__(self) -> str:
        return (
            f"round {self.round}, engine {self.engine!r}, env {self.env!r}, "
            f"task {self.task_id!r}, attempt {self.attempt}"
        )

    def to_row(self) -> dict[str, Any]:
        """Return the five fields that begin a line of verdicts.jsonl or decisions.jsonl."""
        return {
            "round": self.round,
            "engine": self.engine,
            "env": self.env,
            "task_id": self.task_id,
            "attempt": self.attempt,
        }

    @classmethod
    def of(cls, row: Mapping[str, Any] | Trajectory) -> AttemptKey:
        """Return the key that a row of data carries.

        Args:
            row: A decoded line of the ledger or of a dataset, or the trajectory of an :class:`Attempt`.

        Raises:
            RecordError: One of the five fields is missing or has the wrong type.
        """
        if isinstance(row, Trajectory):
            row = {**row.extra, "round": row.round, "env": row.env, "task_id": row.task_id}
        for name in KEY_FIELDS:
            if row.get(name) is None:
                raise RecordError("is missing", field=name, hint="the row is no attempt of a run")
        return cls(*(row[name] for name in KEY_FIELDS))


@frozen(kw_only=True)
class Attempt:
    """One answer of an engine to one task, before any verdict: a line of attempts.jsonl.

    Args:
        key: Its name.
        trajectory: The conversation; unscored, without a verdict. What names the attempt and how it ended is added to
            its extra keys (``engine``, ``attempt``, ``finish_reason``) and ``round``, so that every row made from it,
            in whatever dataset, leads back here: take ``attempt.trajectory``, not the one that was passed in.
        finish_reason: ``stop``, ``length`` when the bound on tokens cut the answer off, or ``error``.
        token_count: Number of generated tokens.
        error: Why there is no answer. Such an attempt is invalid, for this reason, until a verdict says something else.
        cost: What it cost, >= 0, in the currency of whoever answers; None if unknown.
        sample_count: How many answers of policies went into it: those that it was revised from too, and none if a program made it.

    Raises:
        RecordError: The trajectory belongs to another task or round, or is scored already.
    """

    key: AttemptKey
    trajectory: Trajectory
    finish_reason: str = field(default="stop", validator=_named)
    token_count: int = field(default=0, validator=_count)
    error: str | None = field(default=None, validator=_text_or_none)
    cost: float | None = field(default=None, validator=_cost)
    sample_count: int = field(default=1, validator=_count)

    def __attrs_post_init__(self) -> None:
        given, key = self.trajectory, self.key
        if given.score is not None or given.verdict is not None:
            raise RecordError(
                f"must be null before the verdict, got {given.score!r}",
                field="trajectory.score",
                hint="record the verdict with add_verdicts",
            )
        if self.error == "":
            raise RecordError("must say why there is no answer, got ''", field="error")
        if self._is_marked():
            return
        own = {"engine": key.engine, "attempt": key.attempt, "finish_reason": self.finish_reason}
        named = {"round": given.round, "env": given.env, "task_id": given.task_id}
        named |= {name: given.extra[name] for name in own if name in given.extra}
        wanted = {**key.to_row(), **own}
        for name, value in named.items():
            if value != wanted[name] and not (name == "round" and value is None):
                raise RecordError(
                    f"must be that of the attempt, {wanted[name]!r}, got {value!r}",
                    field=f"trajectory.{name}",
                )
        for name in _BESIDE_TRAJECTORY:
            if name in given.extra:
                raise RecordError(
                    "must be given to the attempt, not in the extra keys of its trajectory",
                    field=f"trajectory.{name}",
                )
        if given.round is None or any(name not in given.extra for name in own):
            marked = attrs.evolve(given, round=key.round, extra={**given.extra, **own})
            object.__setattr__(self, "trajectory", marked)

    def _is_marked(self) -> bool:
        """Return whether the trajectory names this attempt already, and nothing else; then no check below can fail."""
        row, extra, key = self.trajectory, self.trajectory.extra, self.key
        return (
            (row.round, row.env, row.task_id) == (key.round, key.env, key.task_id)
            and extra.get("engine") == key.engine
            and extra.get("attempt") == key.attempt
            and extra.get("finish_reason") == self.finish_reason
            and not any(name in extra for name in _BESIDE_TRAJECTORY)
        )

    def to_row(self) -> dict[str, Any]:
        """Return the line: the trajectory's own row, and the fields of the attempt."""
        row = self.trajectory.to_row()
        row["token_count"] = self.token_count
        if self.error is not None:
            row["error"] = self.error
        if self.cost is not None:
            row["cost"] = self.cost
        if self.sample_count != 1:
            row["sample_count"] = self.sample_count
        return row

    @classmethod
    def from_row(
        cls, row: Mapping[str, Any], *, source: str | None = None, line: int | None = None
    ) -> Attempt:
        """Make the attempt from a decoded line.

        Raises:
            RecordError: A field is missing or has the wrong type.
        """
        own = {n: row[n] for n in ("finish_reason", *_BESIDE_TRAJECTORY) if n in row}
        # The id is a hash of the rest; left in, it would be computed again only to be compared.
        rest = {n: item for n, item in row.items() if n not in ("id", *_BESIDE_TRAJECTORY)}
        try:
            return cls(key=AttemptKey.of(row), trajectory=Trajectory.from_row(rest), **own)
        except RecordError as error:
            raise (error.at(source, line) if source else error) from None


def as_given(row: Trajectory) -> Trajectory:
    """Return a row that comes from elsewhere as what it is in this run: given, and no attempt, whatever run it was one of."""
    extra = {name: item for name, item in row.extra.items() if name not in ("engine", "attempt")}
    return attrs.evolve(row, extra=extra)
