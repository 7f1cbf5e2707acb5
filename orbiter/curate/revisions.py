"""Process-aware pairs: an answer before and after it was criticised, without the critique."""

from __future__ import annotations

from collections.abc import Sequence

from orbiter.curate.pairs import passed, tools_of, unfit
from orbiter.curate.response import response
from orbiter.records import Message, Pair, Trajectory


def revision_pairs(attempts: Sequence[Trajectory], *, gate: bool = True) -> list[Pair]:
    """Return one pair per conversation in which an answer was revised: the last answer is chosen, the first rejected.

    Both follow the prompt directly, so the model learns the better answer and not the critique, which stays out of the pair. The
    margin is the last answer's score minus the first's, of the verdict's ``step_scores``; the last one's may be the verdict's own.

    An invalid verdict, a conversation that was cut off or did not pass, a first answer that scored as much, and equal answers give no
    pair. Nor does a conversation in which tools were called: its first turn is no answer.

    Args:
        attempts: Conversations of prompt, answer, critique, answer, with a verdict of the last answer.
        gate: The first answer's score must be known. Without it, a first answer that nobody scored may be rejected; the margin is
            then None.
    """
    pairs = []
    for row in attempts:
        if unfit(row) is not None or not passed(row):
            continue
        said = response(row)
        answers = [message for message in said if message.role == "assistant"]
        if len(answers) < 2 or any(
            message.tool_calls or message.role == "tool" for message in said
        ):
            continue
        first, last = answers[0], answers[-1]
        if first.text.strip() == last.text.strip():
            continue
        before, after = _scores(row, len(answers))
        if before is None and gate:
            continue
        if before is not None and before >= after:
            continue
        pairs.append(_pair(row, first, last, None if before is None else after - before))
    return pairs


def _scores(row: Trajectory, count: int) -> tuple[float | None, float]:
    """Return the scores of the first and the last answer."""
    assert row.verdict is not None  # noqa: S101  # only rows that passed come here
    assert row.verdict.score is not None  # noqa: S101
    steps = row.verdict.step_scores
    last = steps[count - 1] if len(steps) >= count else None
    return (steps[0] if steps else None), (row.verdict.score if last is None else last)


def _pair(row: Trajectory, first: Message, last: Message, margin: float | None) -> Pair:
    known = {"id": row.id, "revision": True}
    return Pair(
        prompt=row.prompt,
        chosen=(last,),
        rejected=(first,),
        env=row.env,
        task_id=row.task_id,
        margin=margin,
        metadata=known if row.round is None else known | {"round": row.round},
        extra=tools_of(row),
    )
