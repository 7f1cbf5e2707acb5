"""The check of a Verifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from orbiter.records import Message, Outcome, Task, Trajectory, Verdict, content_hash
from orbiter.testing.contract import Contract, shown
from orbiter.verify.answer import answered
from orbiter.verify.audit import LabelledAnswer
from orbiter.verify.audit.claims import claiming
from orbiter.verify.verifier import Verifier, judge


def check_verifier(make: Callable[[], Verifier], labelled: Sequence[LabelledAnswer]) -> None:
    """Check that a verifier keeps its contract.

    The clauses: it has a name and a version; it returns a Verdict; it passes the right answers and does not pass the wrong
    ones; it says the same again, in any order and in a fresh instance; it changes neither task nor trajectory; it ignores
    scores, verdicts and claims of success that the trajectory carries; it never passes a trajectory without an answer, nor
    one that is broken; only an Exception may leave it.

        def test_shouting():
            task = Task("e", "e:0", (Message("user", "shout"),))
            check_verifier(Shouting, [LabelledAnswer(task, "HEY", True), LabelledAnswer(task, "hey", False)])

    Args:
        make: Makes a fresh instance: the class, or a function that passes options to it.
        labelled: Clear cases, at least one right and one wrong; see :func:`orbiter.verify.audit.labelled_answers`.

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
    for item, verdict in zip(labelled, verdicts, strict=True):
        _check_claims(contract, verifier, item, verdict)
    for item in labelled:
        _check_broken(contract, verifier, item)


def _check_labelled(contract: Contract, verifier: Verifier, item: LabelledAnswer) -> Verdict:
    task, trajectory = item.task, item.trajectory
    before = content_hash([task, trajectory])
    with contract.without_error(
        "verdicts", f"verify() of the labelled answer {shown(item.answer)}"
    ):
        verdict = verifier.verify(task, trajectory)
    contract.clause(
        "verdicts",
        isinstance(verdict, Verdict),
        f"verify() must return a Verdict, got {shown(verdict)}",
    )
    contract.clause(
        "nothing is changed",
        content_hash([task, trajectory]) == before,
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


def _check_broken(contract: Contract, verifier: Verifier, item: LabelledAnswer) -> None:
    for what, task, trajectory in _broken(item):
        try:
            verdict = judge(verifier, task, trajectory)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            contract.clause(
                "broken input",
                False,
                f"only an Exception may leave verify(); {what} raised {type(error).__name__}",
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
    if not item.correct:
        yield (
            "a wrong answer under a task without a reference",
            attrs.evolve(task, answer=None),
            answered(task, str(None)),
        )
        yield "a wrong answer of 100,000 characters", task, answered(task, "9(" * 50_000)
