"""The Verifier ABC, and ``judge``, which turns whatever a verifier does into a verdict."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator

import attrs

from orbiter.records import Task, Trajectory, Verdict

OUT_OF_MEMORY = "memory: the verifier ran out of memory"
"""Why a verdict is invalid when the verifier asked for more memory than there was."""


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

    @abstractmethod
    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict on ``trajectory``."""


def judge(verifier: Verifier, task: Task, trajectory: Trajectory) -> Verdict:
    """Return the verdict of ``verifier``, stamped with its name and version; invalid if it raises or returns no verdict.

    A trajectory in which nothing follows the task's prompt fails unasked: in a prompt that ends in an assistant turn, shown or begun,
    a verifier could take that for the answer.
    """
    if trajectory.messages == task.messages[: len(trajectory.messages)]:
        verdict = Verdict.failed("no answer")
    else:
        try:
            verdict = verifier.verify(task, trajectory)
        except MemoryError:
            verdict = Verdict.invalid(OUT_OF_MEMORY)
        except Exception as error:
            verdict = Verdict.invalid(f"error: {type(error).__name__}: {error}"[:300])
    if not isinstance(verdict, Verdict):
        verdict = Verdict.invalid(f"error: returned {type(verdict).__name__}, not a Verdict")
    return attrs.evolve(verdict, verifier=verifier.name, version=verifier.version)


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
