"""The check of a Verifier."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence

import attrs

from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.testing.contract import Contract, shown, through_pickle
from orbiter.verify.answer import answered
from orbiter.verify.audit import LabelledAnswer
from orbiter.verify.audit.claims import claiming
from orbiter.verify.verifier import LEAVING, Verifier, judge

ALONE = 8
"""How many answers are judged each by an instance of its own, if there are as many."""


def check_verifier(make: Callable[[], Verifier], labelled: Sequence[LabelledAnswer]) -> None:
    """Check that a verifier keeps its contract.

    The clauses: it has a name and a version; it returns a Verdict, which is JSON data without NaN and has scores in [0, 1]; it
    passes the right answers, in every writing that it names, and does not pass the wrong ones; it says the same again, in any order, in a
    fresh instance, in one that was pickled as for a worker, and of an answer that it judges alone or in a batch; it changes neither task
    nor trajectory; it ignores scores, verdicts and claims of success that the trajectory carries; it never passes a trajectory without an
    answer, nor one that is broken; only an Exception may leave it.

        def test_shouting():
            task = Task("e", "e:0", (Message("user", "shout"),))
            check_verifier(Shouting, [LabelledAnswer(task, "HEY", True), LabelledAnswer(task, "hey", False)])

    Args:
        make: Makes a fresh instance: the class, or a function that passes options to it.
        labelled: Clear cases, at least one right and one wrong; see :func:`orbiter.verify.audit.probes.probes`.

    Raises:
        AssertionError: A clause is broken; the message names it.
    """
    if {item.correct for item in labelled} != {True, False}:
        raise ValueError("labelled must hold at least one right and one wrong answer")
    verifier = make()
    contract = Contract("verifier", str(getattr(verifier, "name", type(verifier).__name__)))
    for attribute in ("name", "version"):
        value = getattr(verifier, attribute, None)
        contract.clause(
            attribute,
            isinstance(value, str) and value,
            f"{attribute} must be a text, got {value!r}",
        )
    verdicts = [_check_labelled(contract, verifier, item) for item in labelled]
    _check_determinism(contract, verifier, make(), labelled, verdicts)
    _check_alone(contract, make, labelled, verdicts)
    _check_sent(contract, make(), labelled, verdicts)
    _check_batch(contract, make(), labelled, verdicts)
    for item, verdict in zip(labelled, verdicts, strict=True):
        _check_claims(contract, verifier, item, verdict)
        _check_writings(contract, verifier, item)
    for item in labelled:
        _check_broken(contract, verifier, item)
        _check_harder(contract, verifier, item)


def _check_labelled(contract: Contract, verifier: Verifier, item: LabelledAnswer) -> Verdict:
    task, trajectory = item.task, item.trajectory
    before = copy.deepcopy((task, trajectory))
    with contract.without_error(
        "verdicts", f"verify() of the labelled answer {shown(item.answer)}"
    ):
        verdict = verifier.verify(task, trajectory)
    contract.clause(
        "verdicts",
        isinstance(verdict, Verdict),
        f"verify() must return a Verdict, got {shown(verdict)}",
    )
    with contract.without_error("sound verdicts", f"the verdict {shown(verdict)}, read as a row,"):
        row = json.loads(json.dumps(verdict.to_row(), allow_nan=False))
        again = Verdict.from_row(row)
    for score in verdict.step_scores:
        contract.clause(
            "sound verdicts",
            score is None or 0 <= score <= 1,
            f"step_scores must be numbers in [0, 1] or None, got {score!r}",
        )
    contract.clause(
        "sound verdicts",
        again == attrs.evolve(verdict, details=again.details, extra=again.extra),
        f"a verdict must come back from a row as it was, got {shown(again)} for {shown(verdict)}",
    )
    contract.clause(
        "nothing is changed",
        (task, trajectory) == before,
        "verify() must leave the task and the trajectory as they are, got them changed",
    )
    passed = verdict.outcome is Outcome.PASS
    contract.clause(
        "right answers pass" if item.correct else "wrong answers do not pass",
        passed == item.correct,
        f"{shown(item.answer)} for {task.task_id!r} got {verdict.outcome.value}"
        + (f": {verdict.reason}" if verdict.reason else ""),
    )
    return verdict


def _check_determinism(
    contract: Contract,
    verifier: Verifier,
    fresh: Verifier,
    labelled: Sequence[LabelledAnswer],
    verdicts: Sequence[Verdict],
) -> None:
    contract.clause(
        "version",
        (fresh.name, fresh.version) == (verifier.name, verifier.version),
        f"a fresh instance must have the same name and version, got {fresh.name!r} {fresh.version!r}",
    )
    for item, verdict in reversed(list(zip(labelled, verdicts, strict=True))):
        for again, whose in ((verifier, "the same"), (fresh, "a fresh")):
            other = again.verify(item.task, item.trajectory)
            contract.clause(
                "same verdict for ever",
                other == verdict,
                f"{whose} instance must judge {shown(item.answer)} the same again, "
                f"got {shown(other)} after {shown(verdict)}",
            )


def _check_alone(
    contract: Contract,
    make: Callable[[], Verifier],
    labelled: Sequence[LabelledAnswer],
    verdicts: Sequence[Verdict],
) -> None:
    """Judge a few answers with an instance that sees no other."""
    step = max(1, len(labelled) // ALONE)
    for item, verdict in list(zip(labelled, verdicts, strict=True))[::step]:
        other = make().verify(item.task, item.trajectory)
        contract.clause(
            "alone or among others",
            other == verdict,
            f"{shown(item.answer)} must be judged alone as it is among others, "
            f"got {shown(other)} instead of {shown(verdict)}",
        )


def _check_sent(
    contract: Contract,
    verifier: Verifier,
    labelled: Sequence[LabelledAnswer],
    verdicts: Sequence[Verdict],
) -> None:
    """Judge with a copy through pickle, as a worker gets one."""
    with contract.without_error("pickled", "pickling an instance, as for a worker,"):
        sent = through_pickle(verifier)
    for item, verdict in zip(labelled, verdicts, strict=True):
        with contract.without_error("pickled", f"its verify() of {shown(item.answer)}"):
            other = sent.verify(item.task, item.trajectory)
        contract.clause(
            "pickled",
            other == verdict,
            f"an instance that was pickled must judge {shown(item.answer)} as any other does, "
            f"got {shown(other)} instead of {shown(verdict)}",
        )


def _check_batch(
    contract: Contract,
    verifier: Verifier,
    labelled: Sequence[LabelledAnswer],
    verdicts: Sequence[Verdict],
) -> None:
    """Judge all answers at once, in their order and in the reverse."""
    size = verifier.batch_size
    contract.clause(
        "batches",
        type(size) is int and size >= 1,
        f"batch_size must be an integer >= 1, got {size!r}",
    )
    pairs = [(item.task, item.trajectory) for item in labelled]
    for batch, expected in ((pairs, list(verdicts)), (pairs[::-1], list(verdicts)[::-1])):
        with contract.without_error("batches", f"verify_batch() of {len(batch)} answers"):
            found = verifier.verify_batch(batch)
        contract.clause(
            "batches",
            found == expected,
            f"verify_batch() must return what verify() returns of each, in order, got {shown(found)} instead of {shown(expected)}",
        )


def _check_claims(
    contract: Contract, verifier: Verifier, item: LabelledAnswer, verdict: Verdict
) -> None:
    """Let the trajectory say the opposite of the truth about itself, in every place it has."""
    liar = claiming(item.trajectory, success=not item.correct)
    other = judge(verifier, item.task, liar)
    contract.clause(
        "claims are ignored",
        (other.outcome, other.score) == (verdict.outcome, verdict.score),
        f"the verdict on {shown(item.answer)} must not depend on score, verdict, metadata, generator, model or "
        f"unknown keys of the trajectory, got {other.outcome.value} {other.score} "
        f"instead of {verdict.outcome.value} {verdict.score}",
    )


def _check_writings(contract: Contract, verifier: Verifier, item: LabelledAnswer) -> None:
    """Judge the other writings of a right answer that the verifier itself names."""
    if not item.correct or not isinstance(item.answer, str):
        return
    with contract.without_error("writings", f"writings() of {shown(item.answer)}"):
        written = list(verifier.writings(item.answer))
    for text in written:
        verdict = judge(verifier, item.task, answered(item.task, text))
        contract.clause(
            "writings",
            verdict.outcome is Outcome.PASS,
            f"{shown(text)}, which writings() gives for {shown(item.answer)}, must pass, got {verdict.outcome.value}"
            + (f": {verdict.reason}" if verdict.reason else ""),
        )


def _check_broken(contract: Contract, verifier: Verifier, item: LabelledAnswer) -> None:
    for what, task, trajectory in _broken(item):
        verdict = judge(verifier, task, trajectory)
        contract.clause(
            "broken input",
            not verdict.reason.startswith(LEAVING),
            f"only an Exception may leave verify(); {what} raised {verdict.reason.removeprefix(LEAVING)}",
        )
        contract.clause(
            "broken input",
            verdict.outcome is not Outcome.PASS,
            f"{what} must not pass, got pass with score {verdict.score}",
        )


def _broken(item: LabelledAnswer) -> Iterator[tuple[str, Task, Trajectory]]:
    task, trajectory = item.task, item.trajectory
    yield "a trajectory without messages", task, attrs.evolve(trajectory, messages=())
    yield (
        "a trajectory that ends before the answer",
        task,
        attrs.evolve(trajectory, messages=task.messages),
    )
    yield (
        "an answer with neither text nor tool calls",
        task,
        attrs.evolve(trajectory, messages=(*task.messages, Message("assistant"))),
    )
    broken_calls = Message("assistant", tool_calls=("?", {"function": None}, 7))
    yield (
        "an answer with malformed tool calls",
        task,
        attrs.evolve(trajectory, messages=(*task.messages, broken_calls)),
    )
    shown_answer = (*task.messages, *answered(task, "42").messages[-1:])
    yield (
        "a prompt that ends in an answer, without another",
        attrs.evolve(task, messages=shown_answer),
        attrs.evolve(trajectory, messages=shown_answer),
    )


def _check_harder(contract: Contract, verifier: Verifier, item: LabelledAnswer) -> None:
    """Make the task or the answer worse; what did not pass before must not pass then."""
    unknown = attrs.evolve(item.task, answer=None)
    none, signs = answered(item.task, str(None)), answered(item.task, "9(" * 3)
    long = answered(item.task, "9(" * 50_000)
    for what, before, after in (
        ("the text None", (item.task, none), (unknown, none)),
        ("a text of signs", (item.task, signs), (item.task, long)),
    ):
        if judge(verifier, *before).outcome is Outcome.PASS:
            continue
        contract.clause(
            "broken input",
            judge(verifier, *after).outcome is not Outcome.PASS,
            f"{what} must not pass once the task has no reference or the text is long, got pass",
        )
