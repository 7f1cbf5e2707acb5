"""Rejection sampling: of the attempts at each task, keep distinct answers that pass."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from attrs import frozen

from orbiter.checks import check_number, check_whole_number
from orbiter.curate.response import grouped, is_truncated, response, response_key
from orbiter.ledger.decision import ACCEPTED, Decision, Fate
from orbiter.records import Outcome, Trajectory


@frozen(kw_only=True)
class Survivors:
    """What rejection sampling kept, and what it decided about each attempt.

    Args:
        kept: The accepted attempts, in the order they were given.
        decisions: One decision per attempt, in the order they were given.
    """

    kept: tuple[Trajectory, ...]
    decisions: tuple[Decision, ...]


def survivors(
    attempts: Sequence[Trajectory], *, max_per_task: int | None = None, min_score: float = 0.0
) -> Survivors:
    """Return the attempts that passed, at most ``max_per_task`` distinct answers per task.

    The first rule that applies decides:

    1. no verdict, or an invalid one: ``invalid``, for the verdict's reason;
    2. cut off by the bound on tokens (``extra["finish_reason"] == "length"``): ``truncated``, even if the verifier said pass,
       since a model that imitates it learns not to end its answers;
    3. no assistant message: ``rejected``;
    4. failed: ``rejected``, for the verdict's reason;
    5. score below ``min_score``: ``rejected``;
    6. same answer as a better or earlier attempt at the task: ``duplicate``;
    7. ``max_per_task`` better or earlier answers are kept: ``rejected``.

    Within a task a higher score is better, and of equal scores the earlier attempt. The result depends on the attempts and
    their order alone.

    Args:
        attempts: Judged trajectories of any number of tasks.
        max_per_task: Distinct answers kept of one (env, task_id); None is no bound.
        min_score: Bar for the verdict's score, in [0, 1], beside its pass.

    Raises:
        ConfigError: ``max_per_task`` or ``min_score`` is out of range.
    """
    if max_per_task is not None:
        check_whole_number("max_per_task", max_per_task, low=1)
    check_number("min_score", min_score, "[0, 1]")
    unfit = [_unfit(row, min_score) for row in attempts]
    decisions = [decision or ACCEPTED for decision in unfit]
    for positions in grouped(attempts).values():
        fit = [i for i in positions if unfit[i] is None]
        seen: set[bytes] = set()
        for i in sorted(fit, key=lambda i: _score(attempts[i]), reverse=True):
            answer = response_key(attempts[i])
            if answer in seen:
                decisions[i] = _decision(Fate.DUPLICATE, "same answer to the task")
            elif len(seen) == max_per_task:
                decisions[i] = _decision(Fate.REJECTED, "over max_per_task")
            else:
                seen.add(answer)
    kept = tuple(row for row, decision in zip(attempts, decisions) if decision.accepted)
    return Survivors(kept=kept, decisions=tuple(decisions))


@functools.lru_cache(maxsize=1024)
def _decision(fate: Fate, reason: str) -> Decision:
    """Return a decision; a round has thousands and a handful of kinds."""
    return Decision(fate, reason)


def _score(row: Trajectory) -> float:
    assert row.verdict is not None  # noqa: S101  # only rows with a valid verdict are ranked
    assert row.verdict.score is not None  # noqa: S101
    return row.verdict.score


def _unfit(row: Trajectory, min_score: float) -> Decision | None:
    """Return why the row cannot survive by itself, or None if it can."""
    verdict = row.verdict
    if verdict is None:
        return _decision(Fate.INVALID, str(row.extra.get("error") or "no verdict"))
    if verdict.outcome is Outcome.INVALID:
        return _decision(Fate.INVALID, verdict.reason)
    if is_truncated(row):
        return _decision(Fate.TRUNCATED, "cut off by the bound on tokens")
    if not response(row):
        return _decision(Fate.REJECTED, "no assistant message")
    if verdict.outcome is Outcome.FAIL:
        return _decision(Fate.REJECTED, verdict.reason or "failed")
    return _decision(Fate.REJECTED, "below min_score") if _score(row) < min_score else None
