"""The Verifier ABC, and ``judge``, which turns whatever a verifier does into a verdict."""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from orbiter.errors import RecordError
from orbiter.records import Task, Trajectory, Verdict

OUT_OF_MEMORY = "memory: the verifier ran out of memory"
"""Why a verdict is invalid when the verifier asked for more memory than there was."""

LEAVING = "crash: verifier raised "
"""How the reason of a verdict begins when the verifier raised what is no Exception: SystemExit, by calling ``sys.exit``, say."""


class Verifier(ABC):
    """Judges one trajectory against its task.

    A small complete subclass:

        class Shouting(Verifier):
            name, version = "shouting", "1"

            def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
                return Verdict.passed() if trajectory.answer.isupper() else Verdict.failed("not upper case")

    Contract: ``verify`` depends on the task and on the trajectory's messages and tools alone; it never reads a score, verdict
    or claim of success that the trajectory itself carries. It returns pass or fail when it can tell and ``Verdict.invalid(reason)``
    when it cannot. It may raise: the caller records an invalid verdict with the error as its reason.

    An instance is pickled to be sent to the processes of a :class:`orbiter.verify.pool.VerifierPool`, where ``verify`` runs on
    the main thread: what cannot be pickled, such as an open connection, is made when ``verify`` is first called.
    """

    name: str
    """Name of the verifier, written into every verdict."""

    version: str = "1"
    """Changes whenever a verdict could change, so that stored verdicts can be told apart."""

    needs_env: tuple[str, ...] = ()
    """Environment variables that it reads, such as that of a key; what could be a secret is kept from workers otherwise."""

    batch_size: int = 1
    """How many answers ``verify_batch`` is best given at once: more than 1 where verdicts wait for something outside, such as a model."""

    opinion: bool = False
    """Whether its verdict is a model's opinion: combinators never let one outvote a verifier that can tell."""

    @abstractmethod
    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict on ``trajectory``."""

    def verify_batch(self, pairs: Sequence[tuple[Task, Trajectory]]) -> list[Verdict]:
        """Return one verdict per pair, in their order, each the one that ``verify`` would return.

        It is called instead of ``verify`` where ``batch_size`` is above 1. If it raises, all its pairs are invalid.
        """
        return [self.verify(task, trajectory) for task, trajectory in pairs]

    def writings(self, answer: str) -> Iterable[str]:  # noqa: ARG002
        """Return a right answer in other writings that this verifier must pass as well: ``12/36`` for ``1/3``, say.

        An audit and the conformance kit see whether it does. The default knows none.
        """
        return ()


def judge(verifier: Verifier, task: Task, trajectory: Trajectory) -> Verdict:
    """Return the verdict of ``verifier``, stamped with its name and version; invalid if it raises or returns no verdict.

    Whatever it raises is a verdict, also SystemExit, GeneratorExit and the CancelledError of an event loop of its own: a verifier
    is called from a loop over answers, which none of these may end. KeyboardInterrupt alone goes on, where a user can cause it: on
    the main thread.

    A trajectory in which nothing follows the task's prompt fails unasked: in a prompt that ends in an assistant turn, shown or begun,
    a verifier could take that for the answer.
    """
    if _has_no_answer(task, trajectory):
        return _stamped(verifier, Verdict.failed("no answer"))
    try:
        verdict = verifier.verify(task, trajectory)
    except BaseException as error:
        if _is_interrupt(error):
            raise
        verdict = verdict_of_error(error)
    return _stamped(verifier, verdict)


def judge_batch(verifier: Verifier, pairs: Sequence[tuple[Task, Trajectory]]) -> list[Verdict]:
    """Return the verdicts that :func:`judge` would return, in the order of the pairs; those of one batch are made together."""
    if verifier.batch_size == 1:
        return [judge(verifier, task, trajectory) for task, trajectory in pairs]
    asked = [pair for pair in pairs if not _has_no_answer(*pair)]
    try:
        verdicts = verifier.verify_batch(asked) if asked else []
        if not isinstance(verdicts, list) or len(verdicts) != len(asked):
            got = len(verdicts) if isinstance(verdicts, list) else type(verdicts).__name__
            raise TypeError(f"verify_batch must return a list of {len(asked)} verdicts, got {got}")
    except BaseException as error:
        if _is_interrupt(error):
            raise
        verdicts = [verdict_of_error(error)] * len(asked)
    found = iter(verdicts)
    return [
        _stamped(verifier, Verdict.failed("no answer") if _has_no_answer(*pair) else next(found))
        for pair in pairs
    ]


def _has_no_answer(task: Task, trajectory: Trajectory) -> bool:
    return trajectory.messages == task.messages[: len(trajectory.messages)]


def _is_interrupt(error: BaseException) -> bool:
    on_main_thread = threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and on_main_thread


def verdict_of_error(error: BaseException) -> Verdict:
    """Return the invalid verdict of a verifier that raised; a TimeoutError says that it ran out of time."""
    if isinstance(error, MemoryError):
        return Verdict.invalid(OUT_OF_MEMORY)
    try:
        message = str(error)
    except Exception:
        message = "its message cannot be shown"
    kind = f"{'error: ' if isinstance(error, Exception) else LEAVING}{type(error).__name__}"
    if isinstance(error, TimeoutError):
        kind = "timeout"
    # Half a character, which no JSON holds, may come from the answer.
    return Verdict.invalid(f"{kind}: {message}"[:300].encode(errors="replace").decode())


def _stamped(verifier: Verifier, verdict: object) -> Verdict:
    if not isinstance(verdict, Verdict):
        verdict = Verdict.invalid(f"error: returned {type(verdict).__name__}, not a Verdict")
    stamp: dict[str, Any] = {"verifier": verifier.name, "version": verifier.version}
    try:
        return attrs.evolve(verdict, **stamp)
    except RecordError as error:  # it was changed after it was made
        return Verdict.invalid(f"error: returned a malformed verdict: {error.message}", **stamp)


def parts_of(verifier: Verifier) -> Iterator[Verifier]:
    """Yield the verifier and, at every depth, those that it is made of: the values of its attributes, and of lists and tuples there."""
    yield verifier
    for value in getattr(verifier, "__dict__", {}).values():
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, Verifier):
                yield from parts_of(item)


def version_of(verifier: Verifier, version: str) -> str:
    """Return ``version`` followed by the options that differ from their defaults: ``1;case=False``.

    Two verifiers that may judge differently must not share a version. Options are the parameters of the constructor,
    read back from attributes of the same name.
    """
    parts = [version]
    for name, parameter in inspect.signature(type(verifier)).parameters.items():
        value = getattr(verifier, name, parameter.default)
        if value != parameter.default:
            parts.append(f"{name}={_shown(value)}")
    return ";".join(parts)


def _shown(value: object) -> str:
    if isinstance(value, Verifier):
        return f"{value.name}@{value.version}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(value)
