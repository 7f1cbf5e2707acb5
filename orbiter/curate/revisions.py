"""Process-aware pairs: an answer before and after it was criticised, without the critique."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import attrs

from orbiter.curate.pairs import passed, tools_of, unfit
from orbiter.curate.response import response
from orbiter.records import Message, Outcome, Pair, Trajectory, Verdict


def revision_pairs(
    attempts: Sequence[Trajectory], *, gate: bool = True, steps: bool = False
) -> list[Pair]:
    """Return one pair per conversation in which an answer was revised: the last answer is chosen, the first rejected.

    Both follow the prompt directly, so the model learns the better answer and not the critique, which stays out of the pair. The
    margin is the last answer's score minus the first's, of the verdict's ``step_scores``; the last one's may be the verdict's own.

    With ``steps``, a conversation of several revisions also gives a pair of each step that the verifier says was one up: the answer after a
    critique is chosen, the one before it rejected, and ``metadata["step"]`` counts the revisions from 1. What a turn scored stands in the
    verdict's ``step_scores``; a turn without a score, such as a critique that the assistant wrote itself, is no answer.

    An invalid verdict, a conversation that was cut off or did not pass, a first answer that scored as much, and equal answers give no
    pair. Nor does a conversation in which tools were called: its first turn is no answer.

    Args:
        attempts: Conversations of prompt, answer, critique, answer, with a verdict of the last answer.
        gate: The first answer's score must be known. Without it, a first answer that nobody scored may be rejected; the margin is
            then None.
        steps: Pairs of the steps too.
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
        if steps:
            pairs += _step_pairs(row, answers, after)
    return pairs


def chain_pairs(
    rows: Iterable[Trajectory], judge: Callable[[Sequence[Trajectory]], Sequence[Verdict]]
) -> list[Pair]:
    """Return the pairs of answers that a policy has revised: the last over the first, and after over before each critique.

    The rows are of a :class:`~orbiter.generate.revising.RevisingPolicy`. They hold the last revision of each chain, and the chain in
    ``metadata["revision"]``. Of those that passed, the answers before it are judged now. The pairs go by the id of the row.

    Args:
        rows: Judged rows; those that nobody revised give no pair.
        judge: Returns the verdict on each of some answers.
    """
    revised = [row for row in rows if passed(row) and row.metadata.get("revision")]
    chains = [_answers(row) for row in revised]
    on_the_way = [
        attrs.evolve(row, messages=(*row.prompt, answer), score=None, verdict=None, metadata={})
        for row, answers in zip(revised, chains)
        for answer in answers[:-1]
    ]
    verdicts = iter(judge(on_the_way))
    pairs: list[Pair] = []
    for row, answers in zip(revised, chains):
        assert row.verdict is not None  # noqa: S101  # only rows that passed come here
        judged = [
            *((answer, next(verdicts)) for answer in answers[:-1]),
            (answers[-1], row.verdict),
        ]
        scores = (judged[0][1].score, row.score)
        whole = attrs.evolve(
            row,
            messages=(*row.prompt, answers[0], answers[-1]),
            prompt_size=len(row.prompt),
            verdict=attrs.evolve(row.verdict, step_scores=scores),
        )
        for pair in revision_pairs([whole]):
            pairs += [attrs.evolve(pair, metadata={**pair.metadata, "id": row.id})]
            pairs += _chain_steps(row, judged)
    return pairs


def _chain_steps(row: Trajectory, judged: Sequence[tuple[Message, Verdict]]) -> list[Pair]:
    """Return the pairs of a chain's single revisions; an answer that passed is rejected for none that failed."""
    steps = enumerate(pairwise(judged), start=1)
    return [
        _pair(row, before, better, high.score - low.score, step=step)
        for step, ((before, low), (better, high)) in steps
        if low.score is not None and high.score is not None and high.score > low.score
        if high.outcome is Outcome.PASS or low.outcome is Outcome.FAIL
        if _is_step(before, better, of=(judged[0][0], judged[-1][0]))
    ]


def _is_step(before: Message, better: Message, *, of: tuple[Message, Message]) -> bool:
    """Return whether two answers say different things, and are not the first and the last, which are a pair of their own."""
    said = (before.text.strip(), better.text.strip())
    return said[0] != said[1] and said != (of[0].text.strip(), of[1].text.strip())


def _answers(row: Trajectory) -> list[Message]:
    """Return the answers of a chain: the first one, and that after each critique."""
    told = row.metadata["revision"]
    texts = [told["initial"], *(step["answer"] for step in told["steps"])]
    return [Message("assistant", text) for text in texts]


def _step_pairs(row: Trajectory, turns: Sequence[Message], after: float) -> list[Pair]:
    """Return the pairs of a conversation's single revisions; of one revision there is none beside the whole."""
    assert row.verdict is not None  # noqa: S101  # only rows that passed come here
    given = row.verdict.step_scores[: len(turns) - 1]
    scored = [(turn, score) for turn, score in zip(turns, given) if score is not None]
    scored.append((turns[-1], after))
    steps = enumerate(pairwise(scored), start=1)
    return [
        _pair(row, before, better, high - low, step=step)
        for step, ((before, low), (better, high)) in steps
        if high > low and _is_step(before, better, of=(turns[0], turns[-1]))
    ]


def _scores(row: Trajectory, count: int) -> tuple[float | None, float]:
    """Return the scores of the first and the last answer."""
    assert row.verdict is not None  # noqa: S101  # only rows that passed come here
    assert row.verdict.score is not None  # noqa: S101
    steps = row.verdict.step_scores
    last = steps[count - 1] if len(steps) >= count else None
    return (steps[0] if steps else None), (row.verdict.score if last is None else last)


def _pair(
    row: Trajectory, first: Message, last: Message, margin: float | None, **more: Any
) -> Pair:
    known = {"id": row.id, "revision": True, **more}
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
