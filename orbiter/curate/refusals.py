"""Refusals: pairs on both sides of the line, and both rates, so that a model learns where it runs and not to refuse everything.

Whether a prompt is unsafe is said by ``metadata["unsafe"]``, true or false; where it is missing, nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import frozen

from orbiter.curate.pairs import by_prompt, distinct, failed, make_pair, passed
from orbiter.intervals import Estimate, estimate_rate
from orbiter.records import Pair, Trajectory
from orbiter.tasks.streams import item_stream
from orbiter.verify.refusals import is_refusal


def says_unsafe(row: Trajectory) -> bool | None:
    """Return ``metadata["unsafe"]`` if it is true or false, else None."""
    flag = row.metadata.get("unsafe")
    return flag if isinstance(flag, bool) else None


@frozen(kw_only=True)
class RefusalRates:
    """How often a policy refuses, on each side of the line.

    Args:
        on_safe: Rate of refusals on safe prompts: too cautious.
        on_unsafe: Rate of refusals on unsafe prompts: 1 minus this is too compliant.
        unknown: Answers to prompts of which nothing says whether they are safe; in neither rate.
        unanswered: Rows without an answer; in neither rate.
    """

    on_safe: Estimate
    on_unsafe: Estimate
    unknown: int
    unanswered: int


def refusal_rates(
    rows: Iterable[Trajectory],
    *,
    refuses: Callable[[str], bool] = is_refusal,
    unsafe: Callable[[Trajectory], bool | None] = says_unsafe,
) -> RefusalRates:
    """Return how often the answers refuse, with exact 95 % intervals; verdicts play no part.

    Args:
        rows: Answers to safe and unsafe prompts.
        refuses: Whether a text refuses.
        unsafe: Whether a row's prompt is unsafe; None if unknown.
    """
    counts = {False: [0, 0], True: [0, 0]}
    unknown = unanswered = 0
    for row in rows:
        side = unsafe(row)
        if side is None:
            unknown += 1
        elif not row.answer.strip():
            unanswered += 1
        else:
            counts[side][0] += refuses(row.answer)
            counts[side][1] += 1
    return RefusalRates(
        on_safe=estimate_rate(*counts[False]),
        on_unsafe=estimate_rate(*counts[True]),
        unknown=unknown,
        unanswered=unanswered,
    )


def refusal_pairs(
    attempts: Sequence[Trajectory],
    *,
    gate: bool = True,
    refuses: Callable[[str], bool] = is_refusal,
    unsafe: Callable[[Trajectory], bool | None] = says_unsafe,
) -> list[Pair]:
    """Return pairs that teach when to refuse: on a safe prompt the refusal is rejected, on an unsafe one it is chosen.

    The best answer of the wanted kind meets every distinct one of the other. ``metadata["refusal"]`` says ``rejected`` or
    ``chosen``. An invalid verdict, a cut-off answer, an answer judged both ways, a verdict at odds with its score, and a prompt whose
    rows do not agree on its kind or do not know it, give no pair.

    Args:
        attempts: Answers to any prompts.
        gate: The chosen answer must have passed and the rejected one must not have. Without it, answers need no verdict; one that
            failed is still never chosen, and one that passed never rejected.
        refuses: Whether a text refuses.
        unsafe: Whether a row's prompt is unsafe; None if unknown.
    """
    pairs: list[Pair] = []
    for group in by_prompt(attempts):
        sides = {unsafe(row) for row in group} - {None}
        if len(sides) != 1:
            continue
        side = sides.pop()
        rows = distinct(group, judged=gate)
        wanted = [row for row in rows if refuses(row.answer) == side and not failed(row)]
        unwanted = [row for row in rows if refuses(row.answer) != side and not passed(row)]
        if not wanted:
            continue
        best = max(wanted, key=_score)
        for row in unwanted:
            margin = _margin(best, row)
            if margin is None or margin >= 0:
                role = "chosen" if side else "rejected"
                pairs.append(make_pair(best, row, margin=margin, refusal=role))
    return pairs


def balanced_refusals(pairs: Sequence[Pair], *, seed: int = 0) -> list[Pair]:
    """Return as many pairs in which a refusal is chosen as in which one is rejected; pairs about neither all stay.

    Of the side with more, a random part is left out; the order stays.
    """
    sides: dict[str, list[int]] = {"chosen": [], "rejected": []}
    for index, pair in enumerate(pairs):
        if pair.metadata.get("refusal") in sides:
            sides[pair.metadata["refusal"]].append(index)
    size = min(len(places) for places in sides.values())
    dropped: set[int] = set()
    for side, places in sides.items():
        surplus = item_stream("balanced_refusals", seed, side).sample(places, len(places) - size)
        dropped.update(surplus)
    return [pair for index, pair in enumerate(pairs) if index not in dropped]


def _score(row: Trajectory) -> float:
    """Return the verdict's score; an answer without a verdict comes after all others."""
    return row.verdict.score if row.verdict is not None and row.verdict.score is not None else -1.0


def _margin(chosen: Trajectory, rejected: Trajectory) -> float | None:
    if chosen.verdict is None or rejected.verdict is None:
        return None
    return _score(chosen) - _score(rejected)
