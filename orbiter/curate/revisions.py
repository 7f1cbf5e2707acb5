"""Process-aware pairs: an answer before and after it was criticised, without the critique."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise, zip_longest
from typing import Any

import attrs
from attrs import frozen

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
    pairs: list[Pair] = []
    for row in attempts:
        said = response(row)
        turns = [message for message in said if message.role == "assistant"]
        if unfit(row) is not None or not passed(row) or len(turns) < 2:
            continue
        if any(message.tool_calls or message.role == "tool" for message in said):
            continue
        answers = _scored(row, turns)
        known = [answer for answer in answers if answer.score is not None]
        pairs += _pairs(row, answers, steps=known if steps else (), gate=gate)
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
    revised = [
        row for row in rows if row.metadata.get("revision") and unfit(row) is None and passed(row)
    ]
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
        given = [*(next(verdicts) for _ in answers[:-1]), row.verdict]
        judged = [_Answer(a, verdict.score, verdict.outcome) for a, verdict in zip(answers, given)]
        pairs += _pairs(row, judged, steps=judged, gate=True)
    return pairs


@frozen
class _Answer:
    """An answer on the way to the last one.

    Args:
        message: What was said.
        score: None where nobody could score it.
        outcome: Whether it passed by itself; None where it has a score alone.
    """

    message: Message
    score: float | None
    outcome: Outcome | None = None

    @property
    def text(self) -> str:
        return self.message.text.strip()


def _answers(row: Trajectory) -> list[Message]:
    """Return the answers of a chain: the first one, and that after each critique."""
    told = row.metadata["revision"]
    texts = [told["initial"], *(step["answer"] for step in told["steps"])]
    return [Message("assistant", text) for text in texts]


def _scored(row: Trajectory, turns: Sequence[Message]) -> list[_Answer]:
    """Return the turns of a conversation that passed, with the scores of its verdict; the last one's may be the verdict's own."""
    assert row.verdict is not None  # noqa: S101  # only rows that passed come here
    given = row.verdict.step_scores[: len(turns)]
    *before, last = (_Answer(turn, score) for turn, score in zip_longest(turns, given))
    return [*before, last if last.score is not None else _Answer(last.message, row.verdict.score)]


def _pairs(
    row: Trajectory, answers: Sequence[_Answer], *, steps: Sequence[_Answer], gate: bool
) -> list[Pair]:
    """Return the pair of the last answer over the first and of every other step up; none if the last is no better."""
    first, last = answers[0], answers[-1]
    is_unknown = first.score is None and not gate
    if first.text == last.text or not (is_unknown or _is_up(first, last)):
        return []
    return [
        _pair(row, first, last),
        *(
            _pair(row, before, better, step=step)
            for step, (before, better) in enumerate(pairwise(steps), start=1)
            if before.text != better.text and (before.text, better.text) != (first.text, last.text)
            if _is_up(before, better)
        ),
    ]


def _is_up(before: _Answer, better: _Answer) -> bool:
    """Return whether one answer is better than another for certain; one that failed is not better than one that passed."""
    if before.score is None or better.score is None or before.score >= better.score:
        return False
    return before.outcome is not Outcome.PASS or better.outcome is not Outcome.FAIL


def _pair(row: Trajectory, before: _Answer, better: _Answer, **more: Any) -> Pair:
    known = {"id": row.id, "revision": True, **more}
    margin = None if before.score is None or better.score is None else better.score - before.score
    return Pair(
        prompt=row.prompt,
        chosen=(better.message,),
        rejected=(before.message,),
        env=row.env,
        task_id=row.task_id,
        margin=margin,
        metadata=known if row.round is None else known | {"round": row.round},
        extra=tools_of(row),
    )
