"""Pairs from comparisons: what a judge prefers, as far as the verifier lets it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from orbiter.checks import check_whole_number
from orbiter.curate.pairs import failed, make_pair, passed, prompt_key, unfit
from orbiter.curate.response import response_key
from orbiter.errors import ConfigError
from orbiter.records import Pair, Trajectory

if TYPE_CHECKING:
    from orbiter.verify.judges.pairwise import Preference


@frozen(kw_only=True)
class JudgedPairs:
    """The pairs of a judge's comparisons, and why the other comparisons gave none.

    Args:
        pairs: In the order of the comparisons.
        left_out: Comparisons without a pair, by reason.
    """

    pairs: tuple[Pair, ...]
    left_out: Counter[str] = field(factory=Counter)


def judged_pairs(
    comparisons: Iterable[tuple[Trajectory, Trajectory, Preference]], *, gate: bool = True
) -> JudgedPairs:
    """Return one pair per comparison in which a judge preferred one answer; its margin is the judge's log-odds in nats.

    A judge that abstained or tied gives no pair, nor do an invalid verdict, an answer that was cut off, and equal answers. A judge never
    overrules the verifier: an answer that failed is not chosen over another that did not, and one that passed is not rejected for another
    that did not. The margin is None where the judge decided without asking its model.

    Args:
        comparisons: (first, second, preference between them), of :meth:`orbiter.verify.judges.PairwiseJudge.compare`
            or :func:`voted`.
        gate: Chosen must pass and rejected must fail. Without it, the judge decides between two that passed, two that failed and
            answers without a verdict.

    Raises:
        ConfigError: The answers of a comparison are to different prompts.
    """
    pairs: list[Pair] = []
    left_out: Counter[str] = Counter()
    for first, second, preference in comparisons:
        if prompt_key(first) != prompt_key(second):
            raise ConfigError(
                f"answers of a comparison must have one prompt, got {first.task_id!r} and {second.task_id!r}"
            )
        if preference.preferred not in ("first", "second"):
            left_out[preference.reason or "tie"] += 1
            continue
        swap = preference.preferred == "second"
        chosen, rejected = (second, first) if swap else (first, second)
        reason = _objection(chosen, rejected, gate=gate)
        if reason is not None:
            left_out[reason] += 1
            continue
        log_odds = preference.log_odds
        margin = -log_odds if swap and log_odds is not None else log_odds
        pairs.append(make_pair(chosen, rejected, margin=margin, unit="log_odds"))
    return JudgedPairs(pairs=tuple(pairs), left_out=left_out)


def voted(first: int, second: int) -> Preference:
    """Return the preference of votes, people's say: the majority, with log-odds ``ln((first + 1/2) / (second + 1/2))``.

    Args:
        first: Votes for the first answer, >= 0.
        second: Votes for the second.

    Raises:
        ConfigError: A count is no integer >= 0, or nobody voted.
    """
    from orbiter.verify.judges.pairwise import Preference
    from orbiter.verify.judges.votes import Votes

    for name, count in (("first", first), ("second", second)):
        check_whole_number(name, count, low=0)
    if first == second == 0:
        raise ConfigError("votes must be cast, got none")
    votes = Votes(first, second)
    winner: Literal["first", "second", "tie"] = "first" if first > second else "second"
    return Preference(
        preferred="tie" if first == second else winner,
        log_odds=votes.log_odds,
        probability=votes.probability,
    )


def _objection(chosen: Trajectory, rejected: Trajectory, *, gate: bool) -> str | None:
    """Return why the verifier does not let the one be preferred to the other, or None."""
    for row in (chosen, rejected):
        if (reason := unfit(row, judged=gate)) is not None:
            return reason
    if response_key(chosen) == response_key(rejected):
        return "same answer"
    if gate and not (passed(chosen) and not passed(rejected)):
        return "gate: chosen must pass and rejected must fail"
    if failed(chosen) and not failed(rejected):
        return "chosen failed"
    if passed(rejected) and not passed(chosen):
        return "rejected passed"
    return None
