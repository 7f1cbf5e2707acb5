"""Verdicts on rows of data that somebody else made: where the task of a row is, and what the rows come to."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from itertools import islice
from pathlib import Path

import attrs
from attrs import field, frozen

from orbiter import jsonl
from orbiter.errors import RecordError, user_code
from orbiter.intervals import Estimate, Interval, clustered_size, wilson
from orbiter.records import Outcome, Task, Trajectory, Verdict, content_hash
from orbiter.tasks.environment import Environment
from orbiter.verify.pool import VerifierPool

TaskOf = Callable[[Trajectory], Task]
"""Finds the task of a row; raises RecordError, with the field, when there is none."""

GROUP = 32
"""Rows whose verdicts are told of together."""

AHEAD = 8
"""Groups that are judged ahead for each batch that a pool should have waiting."""

REACH = 100_000
"""How many tasks of an environment without end are looked through for the ids of a file."""


def own_task(row: Trajectory) -> Task:
    """Return the task that a row holds itself: its prompt, and its key ``answer`` as the reference."""
    return Task(
        row.env,
        row.task_id,
        row.prompt,
        answer=row.extra.get("answer"),
        tools=row.tools,
        metadata=row.metadata,
    )


def task_among(tasks: Iterable[Task], *, of: str, path: str | Path | None = None) -> TaskOf:
    """Return a function that finds a row's task by ``env`` and ``task_id``.

    Args:
        tasks: The tasks.
        of: Where they come from, for the error text.
        path: The file that holds them, a line each, if one does.

    Raises:
        RecordError: Two that differ have the same ``env`` and ``task_id``.
    """
    known: dict[tuple[str, str], Task] = {}
    for number, task in enumerate(tasks, start=1):
        if known.setdefault((task.env, task.task_id), task) != task:
            raise RecordError(
                f"must name one task of {of}, but two that differ have {task.task_id!r} of env {task.env!r}",
                source=None if path is None else str(path),
                line=None if path is None else number,
                field="task_id",
                hint="a file of tasks holds each once, with its prompt alone as messages",
            )

    def find(row: Trajectory) -> Task:
        task = known.get((row.env, row.task_id))
        if task is None:
            raise RecordError(
                f"must name a task of {of}, got {row.task_id!r} of env {row.env!r}",
                field="task_id",
                hint="take the tasks from where the rows come from, or leave the rows out",
            )
        return task

    return find


def tasks_of(environment: Environment, rows: Iterable[Trajectory], *, seed: int) -> Iterator[Task]:
    """Yield the tasks of an environment that rows name, as far as it has them among its first :data:`REACH`.

    Raises:
        UserCodeError: The environment raised.
    """
    missing = {row.task_id for row in rows}
    for index in range(REACH if environment.size is None else environment.size):
        if not missing:
            return
        with user_code(f"environment {environment.name!r}", f"task({index}, seed={seed})"):
            task = environment.task(index, seed=seed)
        if task.task_id in missing:
            missing.discard(task.task_id)
            yield task


def check_rows(path: str | Path, task_of: TaskOf) -> int:
    """Return how many rows a file holds, all of them sound and with a task.

    Raises:
        RecordError: One is not, or there is none; names file, line and field.
    """
    count = 0
    for count, row in enumerate(jsonl.read(path), start=1):
        try:
            task_of(row)
        except RecordError as error:
            raise error.at(str(path), count) from None
    if count == 0:
        raise RecordError("must hold at least one row, got none", source=str(path))
    return count


def judge_rows(
    rows: Iterable[Trajectory], pool: VerifierPool, *, task_of: TaskOf
) -> Iterator[tuple[Trajectory, Verdict]]:
    """Yield rows, in their order, with the verdicts of a pool on them; some groups of rows are judged ahead."""
    waiting: deque[tuple[list[Trajectory], Future[list[Verdict]]]] = deque()
    groups = iter(rows)
    while group := list(islice(groups, GROUP)):
        waiting.append((group, pool.submit([(task_of(row), row) for row in group])))
        if len(waiting) > AHEAD * pool.depth:
            done, future = waiting.popleft()
            yield from zip(done, future.result())
    for done, future in waiting:
        yield from zip(done, future.result())


def scored(row: Trajectory, verdict: Verdict) -> Trajectory:
    """Return the row with this verdict in place of any other."""
    return attrs.evolve(row, score=verdict.score, verdict=verdict)


@frozen(kw_only=True)
class Count:
    """What became of some rows.

    Args:
        passed: Rows that pass.
        failed: Rows that fail.
        invalid: Rows that could not be judged.
        effective: Independent rows that the validly judged ones are worth, where several answer one prompt; None: all.
    """

    passed: int = 0
    failed: int = 0
    invalid: int = 0
    effective: float | None = None

    @property
    def total(self) -> int:
        """All rows."""
        return self.passed + self.failed + self.invalid

    @property
    def pass_rate(self) -> Estimate:
        """Share of the validly judged rows that pass, with its 95 % Wilson interval."""
        valid = self.passed + self.failed
        if valid == 0:
            return Estimate(None, Interval(0.0, 1.0))
        return Estimate(self.passed / valid, wilson(self.passed, valid, effective=self.effective))


@frozen
class Summary:
    """What the verdicts on a file come to.

    Args:
        counts: By env and model; the empty text where a row names no model.
        reasons: Why rows are invalid, the commonest reason first.
        total: The counts of all rows.
    """

    counts: Mapping[tuple[str, str], Count] = field(factory=dict)
    reasons: Mapping[str, int] = field(factory=dict)
    total: Count = field(factory=Count)


class Tally:
    """Adds verdicts up to a :class:`Summary`."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], dict[str, Counter[Outcome]]] = {}
        self._reasons: Counter[str] = Counter()

    def add(self, row: Trajectory, verdict: Verdict) -> None:
        """Count one row."""
        tasks = self._counts.setdefault((row.env, row.model or ""), {})
        # By the prompt: whoever wrote the rows may have named their tasks as they liked, or not at all.
        tasks.setdefault(content_hash(row.prompt), Counter())[verdict.outcome] += 1
        if verdict.outcome is Outcome.INVALID:
            self._reasons[verdict.reason] += 1

    @property
    def summary(self) -> Summary:
        """What was added so far."""
        together: dict[tuple[str, str], Counter[Outcome]] = {}
        for (env, _), tasks in self._counts.items():
            for prompt, outcomes in tasks.items():
                together.setdefault((env, prompt), Counter()).update(outcomes)
        counts = {key: _count(tasks.values()) for key, tasks in sorted(self._counts.items())}
        reasons = dict(self._reasons.most_common())
        return Summary(counts, reasons, _count(together.values()))


def _count(tasks: Collection[Counter[Outcome]]) -> Count:
    """Return what became of the rows of some tasks, from the outcomes of each."""
    summed = sum(tasks, Counter[Outcome]())
    return Count(
        passed=summed[Outcome.PASS],
        failed=summed[Outcome.FAIL],
        invalid=summed[Outcome.INVALID],
        effective=clustered_size(
            (t[Outcome.PASS], t[Outcome.PASS] + t[Outcome.FAIL]) for t in tasks
        ),
    )
