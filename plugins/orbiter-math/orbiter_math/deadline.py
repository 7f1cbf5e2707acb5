"""A limit on the processor time of a call, on any thread, for pure Python code that nobody can interrupt from outside.

The limit is looked at whenever a Python function is called, through the thread's trace function: no signal (which works on
the main thread alone), no second thread, no process. A single long operation in C is not cut: bound its operands before.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class DeadlineError(BaseException):
    """The time is up. Not an Exception, so that no ``except Exception`` on its way hides it."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what ``call`` returns.

    Args:
        seconds: Processor time of this thread, so that a busy machine does not change a verdict.
        call: What is done.

    Raises:
        DeadlineError: It took longer.
    """
    end = time.thread_time() + seconds

    calls = itertools.count()

    def trace(frame: FrameType, event: str, argument: Any) -> None:  # noqa: ARG001
        # Reading the clock costs more than the calls that it is to watch.
        if next(calls) % 64 == 0 and time.thread_time() > end:
            raise DeadlineError

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return call()
    finally:
        sys.settrace(before)
