"""Every exception and warning of the core.

Each error says what is wrong, where, and what to do. The first line of a message reads
``<thing> must be <rule>, got <repr>``; an optional hint is the second line. ``exit_code`` is what the
command line returns: 1 the run failed, 2 the input is wrong, 3 the environment lacks something.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self


class OrbiterError(Exception):
    """Base of every error that orbiter raises on purpose.

    Args:
        message: What is wrong and where; lower case, no final period.
        hint: What to do about it, shown on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    def within(self, place: str) -> Self:
        """Return this error, with the place where it happened before its message."""
        self.message = f"{place}: {self.message}"
        self.args = (self.message,)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(cls: type[OrbiterError], args: tuple[Any, ...], state: dict[str, Any]) -> OrbiterError:
    """Make the error again in another process without running its ``__init__``."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(OrbiterError, ValueError):
    """An argument, option or recipe field has a value that cannot be used."""

    exit_code = 2


class RecordError(OrbiterError, ValueError):
    """A row of data breaks the record format.

    Args:
        problem: What is wrong with it.
        source: File or stream that the row came from.
        line: Line number, counted from 1.
        field: Path of the field, such as ``messages[2].role``.
        hint: What to do about it.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        source: str | None = None,
        line: int | None = None,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem, self.source, self.line, self.field = problem, source, line, field
        where = " ".join(
            part for part in (source, f"line {line}" if line is not None else None) if part
        )
        what = f"field {field!r} {problem}" if field else problem
        super().__init__(f"{where}: {what}" if where else what, hint=hint)

    def at(self, source: str, line: int | None = None) -> RecordError:
        """Return the same error with its place filled in."""
        return type(self)(self.problem, source=source, line=line, field=self.field, hint=self.hint)


class UnknownNameError(OrbiterError, LookupError):
    """No such name is registered."""

    exit_code = 2


class NameClashError(OrbiterError, ValueError):
    """One name has two providers; the message lists both."""

    exit_code = 2


class MissingPluginError(OrbiterError, ImportError):
    """A plugin or library that is needed here is not installed; the hint says how to install it."""

    exit_code = 3


class PluginLoadError(OrbiterError, ImportError):
    """A plugin is installed but failed to load."""

    exit_code = 3


class LifecycleError(OrbiterError, RuntimeError):
    """A state machine was asked for a step that its present state does not allow."""


class CheckFailedError(OrbiterError, RuntimeError):
    """A check of a trainer said no; ``check`` names it."""

    def __init__(self, message: str, *, check: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.check = check


class PolicyError(OrbiterError, RuntimeError):
    """A policy could not answer at all (not: answered wrongly)."""


class BackendError(OrbiterError, RuntimeError):
    """A training backend refused a job or failed in it."""


class LedgerError(OrbiterError, RuntimeError):
    """The files of a run cannot be read or written as they must."""


class DamagedRunError(LedgerError):
    """The files of a run cannot be understood: a line is damaged, a file is lost, or another version wrote them."""

    exit_code = 2


class RunAccessError(LedgerError):
    """The folder of a run cannot be read, made, written or locked by this process."""

    exit_code = 3


class RunLockedError(LedgerError):
    """Another process is working on this run."""

    exit_code = 3


class SandboxError(OrbiterError, RuntimeError):
    """There is no sandbox to run untrusted code in, or the one there was broke."""

    exit_code = 3


class BudgetExceededError(OrbiterError, RuntimeError):
    """A bound was passed: too many invalid verdicts, say."""


class UserCodeError(OrbiterError, RuntimeError):
    """Code that the user supplied raised; the message names it, ``__cause__`` holds the original."""


class UserCodeLoadError(UserCodeError):
    """Code that the user supplied raised before any run: a file on import, or a constructor on its options."""

    exit_code = 2


@contextmanager
def user_code(who: str, call: str = "") -> Iterator[None]:
    """Turn what the user's code raises inside into a UserCodeError that says whose code it was; our own errors pass.

    Args:
        who: Whose code runs: ``environment 'sorting'``.
        call: What was asked of it: ``demonstrate``.
    """
    try:
        yield
    except OrbiterError:
        raise
    except Exception as error:
        where = f" in {call}:" if call else ""
        raise UserCodeError(f"{who} raised{where} {type(error).__name__}: {error}") from error


class OrbiterWarning(UserWarning):
    """Base of every warning that orbiter gives."""


class PluginWarning(OrbiterWarning):
    """A plugin was set aside, or one of its observers was switched off."""


class LedgerWarning(OrbiterWarning):
    """The ledger of a run was repaired on opening; nothing committed was lost."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
