"""Preferences from verified attempts: best-of-N pairs, pairs of a ranking, and single answers with a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from attrs import field, frozen

from orbiter.checks import check_number, check_whole_number
from orbiter.convert import unstructure
from orbiter.curate.response import group_key, is_truncated, response, response_key
from orbiter.records import Message, Outcome, Pair, Trajectory, _Row, content_hash


@frozen
class UnpairedPreference(_Row):
    """One answer to a prompt and whether it is desirable: what KTO trains on.

    Args:
        prompt: The messages that the answer follows.
        completion: The answer.
        label: Whether it is desirable.
        env: Name of the environment.
        task_id: Name of the task.
        metadata: Anything else.
    """

    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]
    label: bool
    env: str = ""
    task_id: str = ""
    metadata: Mapping[str, Any] = field(factory=dict)
    extra: Mapping[str, Any] = field(factory=dict, kw_only=True)


def best_of_n_pairs(
    attempts: Sequence[Trajectory],
    *,
    max_pairs_per_task: int | None = None,
    min_margin: float = 0.0,
) -> list[Pair]:
    """Return pairs of the best passing answer to a prompt against each other distinct failing one.

    Chosen must pass and rejected must fail; an invalid verdict, a missing one and an answer that the bound on tokens cut off
    enter no pair. Of equal scores the earlier attempt is the best. N attempts give at most N - 1 pairs. An answer that the
    verifier once passed and once failed proves nothing and is left out.

    The rejected answers come in rounds over the verdicts' reasons, so that a bound keeps different kinds of mistakes; within
    a reason the highest score, the nearest miss, comes first.

    Args:
        attempts: Judged trajectories of any number of tasks. Rows of one (env, task_id) whose prompts or tools differ are
            compared among their own kind only.
        max_pairs_per_task: Bound on the pairs of one prompt; None is no bound.
        min_margin: Least score of the chosen minus score of the rejected, in [0, 1].

    Raises:
        ConfigError: ``max_pairs_per_task`` or ``min_margin`` is out of range.
    """
    if max_pairs_per_task is not None:
        check_whole_number("max_pairs_per_task", max_pairs_per_task, low=1)
    check_number("min_margin", min_margin, "[0, 1]")
    pairs: list[Pair] = []
    for group in by_prompt(attempts):
        rows = distinct(group)
        best = max(filter(passed, rows), key=_score, default=None)
        if best is None:
            continue
        worse = [
            row for row in rows if not passed(row) and _score(best) - _score(row) >= min_margin
        ]
        pairs += [
            make_pair(best, row, margin=_score(best) - _score(row))
            for row in _by_turns(worse)[:max_pairs_per_task]
        ]
    return pairs


def ranked_pairs(attempts: Sequence[Trajectory], *, min_margin: float = 0.0) -> list[Pair]:
    """Return a pair of every two distinct answers to a prompt whose scores differ: at most K (K - 1) / 2 of K, for a reward model.

    The scores rank the answers, so both of a pair may have passed, or failed; an answer that passed is never rejected for one that
    failed. The weights are such that every prompt counts the same, as in InstructGPT (Ouyang et al. 2022, section 3.5), and their mean
    is 1. What cannot enter a preference is left out as in :func:`best_of_n_pairs`.

    Args:
        attempts: Scored trajectories of any number of tasks.
        min_margin: Least difference of the scores, in [0, 1]; equal scores give no pair.

    Raises:
        ConfigError: ``min_margin`` is out of range.
    """
    check_number("min_margin", min_margin, "[0, 1]")
    groups: list[list[Pair]] = []
    for group in by_prompt(attempts):
        rows = sorted(distinct(group), key=_score, reverse=True)
        pairs = [
            make_pair(better, worse, margin=_score(better) - _score(worse))
            for n, better in enumerate(rows)
            for worse in rows[n + 1 :]
            if _score(better) > _score(worse)
            and _score(better) - _score(worse) >= min_margin
            and (passed(better) or not passed(worse))
        ]
        if pairs:
            groups.append(pairs)
    mean = sum(map(len, groups)) / len(groups) if groups else 0.0
    return [attrs.evolve(pair, weight=mean / len(pairs)) for pairs in groups for pair in pairs]


def unpaired_preferences(attempts: Sequence[Trajectory]) -> list[UnpairedPreference]:
    """Return each distinct answer with its label: true if it passed, false if it failed.

    What cannot enter a pair (invalid, unjudged, cut off, contradictory) is left out here too. The order is that of the
    attempts within each prompt, prompts in order of arrival.
    """
    return [_unpaired(row) for group in by_prompt(attempts) for row in distinct(group)]


def by_prompt(attempts: Iterable[Trajectory]) -> list[list[Trajectory]]:
    """Return the attempts at each prompt: rows of one (env, task_id) with the same prompt and tools."""
    groups: dict[tuple[str, str, str], list[Trajectory]] = {}
    for row in attempts:
        groups.setdefault(prompt_key(row), []).append(row)
    return list(groups.values())


def prompt_key(row: Trajectory) -> tuple[str, str, str]:
    """Return what two attempts share if and only if their answers can be compared."""
    return (*group_key(row), content_hash([row.prompt, row.tools]))


def unfit(row: Trajectory, *, judged: bool = True) -> str | None:
    """Return why an attempt can enter no preference, or None.

    Args:
        row: The attempt.
        judged: Whether it must have a verdict; an invalid one is never good enough.
    """
    if row.verdict is None:
        if judged:
            return "no verdict"
    elif row.verdict.outcome is Outcome.INVALID:
        return f"invalid: {row.verdict.reason}"
    if is_truncated(row):
        return "cut off by the bound on tokens"
    return None if response(row) else "no answer"


def distinct(rows: Iterable[Trajectory], *, judged: bool = True) -> list[Trajectory]:
    """Return the first row of each answer that may enter a preference, without the answers that both passed and failed.

    Args:
        rows: Attempts at one prompt.
        judged: Whether an attempt must have a verdict; if not, a row that has one still stands for those that do not.
    """
    first: dict[bytes, Trajectory] = {}
    doubtful: set[bytes] = set()
    for row in rows:
        if unfit(row, judged=judged) is not None:
            continue
        key = response_key(row)
        known = first.setdefault(key, row)
        if known.verdict is None:
            first[key] = row
        elif row.verdict is not None and passed(known) != passed(row):
            doubtful.add(key)
    return [row for key, row in first.items() if key not in doubtful]


def _by_turns(rows: Iterable[Trajectory]) -> list[Trajectory]:
    """Return the rows in rounds over their reasons, the highest score of each reason first."""
    turns: dict[str, int] = {}
    order: list[tuple[int, Trajectory]] = []
    for row in sorted(rows, key=_score, reverse=True):
        turn = turns.get(_reason(row), 0)
        turns[_reason(row)] = turn + 1
        order.append((turn, row))
    return [row for _, row in sorted(order, key=lambda item: item[0])]


def make_pair(
    chosen: Trajectory, rejected: Trajectory, *, margin: float | None, **metadata: Any
) -> Pair:
    """Return the pair of two attempts at one prompt, with what is known of them in its metadata.

    ``round`` is that of the older attempt, if both have one; ``negative`` the kind of the rejected one, if it was made to be of one.
    """
    known: dict[str, Any] = {
        "chosen_id": chosen.id,
        "rejected_id": rejected.id,
        "reason": _reason(rejected),
    }
    if "negative" in rejected.metadata:
        known["negative"] = rejected.metadata["negative"]
    if chosen.round is not None and rejected.round is not None:
        known["round"] = min(chosen.round, rejected.round)
    return Pair(
        prompt=chosen.prompt,
        chosen=response(chosen),
        rejected=response(rejected),
        env=chosen.env,
        task_id=chosen.task_id,
        margin=margin,
        metadata=known | metadata,
        extra=tools_of(chosen),
    )


def _unpaired(row: Trajectory) -> UnpairedPreference:
    return UnpairedPreference(
        prompt=row.prompt,
        completion=response(row),
        label=passed(row),
        env=row.env,
        task_id=row.task_id,
        metadata={"id": row.id, "score": _score(row), "reason": _reason(row)},
        extra=tools_of(row),
    )


def tools_of(row: Trajectory) -> dict[str, Any]:
    """Return the tools of an attempt as extra keys of a preference."""
    return {"tools": unstructure(row.tools)} if row.tools else {}


def passed(row: Trajectory) -> bool:
    """Return whether the verifier said pass."""
    return row.verdict is not None and row.verdict.outcome is Outcome.PASS


def failed(row: Trajectory) -> bool:
    """Return whether the verifier said fail."""
    return row.verdict is not None and row.verdict.outcome is Outcome.FAIL


def _score(row: Trajectory) -> float:
    assert row.verdict is not None  # noqa: S101  # unjudged rows are sorted out first
    assert row.verdict.score is not None  # noqa: S101
    return row.verdict.score


def _reason(row: Trajectory) -> str:
    return row.verdict.reason if row.verdict else ""
