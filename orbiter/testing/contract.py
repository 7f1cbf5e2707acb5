"""How a check says which clause of a contract is broken."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from attrs import frozen

T = TypeVar("T")


@frozen
class Contract:
    """The contract of one thing under test.

    Args:
        kind: What it is: ``environment``, ``verifier``, ...
        subject: Its name or class.
    """

    kind: str
    subject: str

    def clause(self, name: str, holds: object, because: str) -> None:
        """Raise AssertionError that names the clause, unless it holds."""
        # Raised by hand, so that a check still checks under python -O.
        if not holds:
            raise AssertionError(f"{self.kind} {self.subject!r} breaks {name!r}: {because}")

    @contextmanager
    def without_error(self, name: str, doing: str) -> Iterator[None]:
        """Turn any exception inside the block into a broken clause."""
        try:
            yield
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(
                f"{self.kind} {self.subject!r} breaks {name!r}: {doing} raised "
                f"{type(error).__name__}: {error}"
            ) from error

    @contextmanager
    def refusal(
        self, name: str, doing: str, *errors: type[Exception], naming: str | None = None
    ) -> Iterator[None]:
        """Demand one of these errors from the block, with ``naming`` in its text."""
        expected = " or ".join(error.__name__ for error in errors)
        try:
            yield
        except errors as error:
            says = naming is None or naming in str(error)
            self.clause(name, says, f"the error about {doing} must name {naming!r}, got {error}")
        except Exception as error:
            self.clause(
                name, False, f"{doing} must raise {expected}, got {type(error).__name__}: {error}"
            )
        else:
            self.clause(name, False, f"{doing} must raise {expected}, and nothing was raised")


def shown(value: object, *, width: int = 200) -> str:
    """Return the repr of ``value``, cut to ``width`` characters."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def through_pickle(value: T) -> T:
    """Return a copy through pickle, as another process gets one."""
    file, classes = io.BytesIO(), list[type]()
    _Pickler(file, classes).dump(value)
    file.seek(0)
    copied: T = _Unpickler(file, classes).load()
    return copied


class _Pickler(pickle.Pickler):
    """Pickles what an instance holds. Classes go as they are: that of a test may stand where no other process finds it."""

    def __init__(self, file: io.BytesIO, classes: list[type]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._classes = classes

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, type):
            return None
        self._classes.append(value)
        return len(self._classes) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, classes: list[type]) -> None:
        super().__init__(file)
        self._classes = classes

    def persistent_load(self, pid: Any) -> type:
        found: type = self._classes[pid]
        return found
