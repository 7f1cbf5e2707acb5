"""Whether a verifier says the same again: a second time, in another order, one by one, and in another process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from attrs import frozen

from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.tasks.streams import item_stream
from orbiter.verify.pool import VerifierPool
from orbiter.verify.verifier import Verifier, judge_batch

Answers = Sequence[tuple[Task, Trajectory]]
"""Tasks, each with an answer to it."""

Judging = Callable[[Answers], Sequence[Verdict]]
"""Gives the verdicts on answers, in their order."""


@contextmanager
def judging_here(make: Callable[[], Verifier]) -> Iterator[Judging]:
    """Judge in this process, with a fresh verifier: for verifiers that are trusted not to hang."""
    verifier = make()
    yield lambda answers: judge_batch(verifier, answers)


@contextmanager
def judging_in_workers(
    make: Callable[[], Verifier],
    *,
    workers: int | None = None,
    timeout_s: float = 10.0,
    memory_mb: int | None = 2048,
) -> Iterator[Judging]:
    """Judge in fresh processes, which are killed when a verdict takes too long or too much.

    Args:
        make: Makes the verifier.
        workers: How many processes; default: half of the cores.
        timeout_s: Seconds that one verdict may take; what takes longer is invalid.
        memory_mb: Bound on the memory of a process, in MiB; None for none.
    """
    with VerifierPool(make(), workers=workers, timeout_s=timeout_s, memory_mb=memory_mb) as pool:
        yield pool.judge_all


@frozen
class Change:
    """An answer on which the verifier changed its mind.

    Args:
        task_id: The task.
        before: The first verdict.
        after: The second one.
    """

    task_id: str
    before: Verdict
    after: Verdict


@frozen(kw_only=True)
class Stability:
    """How one repetition went.

    Args:
        name: What was done: ``again``, ``in another order``, ``one by one``, ``in another process``.
        count: Answers that were judged twice.
        changes: Those with another outcome or score.
    """

    name: str
    count: int
    changes: tuple[Change, ...] = ()


def check_stability(
    open_judging: Callable[[], AbstractContextManager[Judging]],
    answers: Answers,
    *,
    seed: int,
    count: int = 200,
) -> tuple[Stability, ...]:
    """Return whether verdicts stay the same, on a sample of answers.

    Args:
        open_judging: Starts the verifier anew, in another process where it can, and gives what judges with it.
        answers: What is to be judged; those with an invalid verdict are left out, since a time limit may pass or not.
        seed: Selects the sample and the other order.
        count: Most answers in the sample.
    """
    stream = item_stream("stability", seed)
    sample = stream.sample(list(answers), min(count, len(answers)))
    with open_judging() as judge_all:
        first = [
            (pair, verdict)
            for pair, verdict in zip(sample, judge_all(sample))
            if verdict.outcome is not Outcome.INVALID
        ]
        pairs, verdicts = [pair for pair, _ in first], [verdict for _, verdict in first]
        order = stream.sample(range(len(pairs)), len(pairs))
        shuffled = dict(zip(order, judge_all([pairs[i] for i in order])))
        rounds = {
            "again": judge_all(pairs),
            "in another order": [shuffled[i] for i in range(len(pairs))],
            "one by one": [judge_all([pair])[0] for pair in pairs],
        }
    with open_judging() as judge_all:
        rounds["in another process"] = judge_all(pairs)
    return tuple(_compared(name, pairs, verdicts, others) for name, others in rounds.items())


def _compared(
    name: str, pairs: Answers, before: Sequence[Verdict], after: Sequence[Verdict]
) -> Stability:
    changes = [
        Change(task.task_id, one, other)
        for (task, _), one, other in zip(pairs, before, after, strict=True)
        if (one.outcome, one.score) != (other.outcome, other.score)
    ]
    return Stability(name=name, count=len(pairs), changes=tuple(changes))
