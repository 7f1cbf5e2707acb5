"""The tests of a task, as its row gives them.

``task.answer`` holds them, since that is what the policy is never shown. Five shapes, of which the first four are what the usual
data sets hold as they stand:

- a text: code that defines ``check(candidate)`` (HumanEval),
- a list of texts: asserts (MBPP),
- a list of ``{"args": [...], "output": ...}``, with ``"kwargs"`` if need be: calls of the entry point and their results,
- a list of ``{"stdin": "...", "stdout": "..."}``: runs of the whole program,
- an object with any of these as ``tests`` and, where some are shown in the prompt, ``visible``, beside the settings below.

The settings ``entry_point``, ``prefix``, ``setup`` and ``tolerance`` stand in that object or in the metadata; there, HumanEval's
``prompt`` and MBPP's ``test_setup_code`` are read as ``prefix`` and ``setup``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from orbiter.errors import RecordError
from orbiter.records import Task

CHECK, ASSERTS, TABLE, SCRIPT = "check", "asserts", "table", "script"
"""The kinds of tests."""

_SETTINGS = ("entry_point", "prefix", "setup", "tolerance")
_KNOWN_AS = {"prompt": "prefix", "test_setup_code": "setup"}
_ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", re.ASCII)


@frozen(kw_only=True)
class Suite:
    """The tests of a task.

    Args:
        kind: ``check``, ``asserts``, ``table`` or ``script``.
        tests: The tests, those that the prompt shows first.
        visible: How many the prompt shows.
        entry_point: Name of the function that is tested: ``f``, or ``C.f`` for a method of a fresh ``C()``.
        prefix: Code that goes before the answer's: a signature with imports and helpers, for which the answer may be the body.
        setup: Code that the tests need.
        tolerance: Allowed difference of floats in a table, absolute or relative, from 0 on.
    """

    kind: str
    tests: tuple[Any, ...]
    visible: int = 0
    entry_point: str = ""
    prefix: str = ""
    setup: str = ""
    tolerance: float = 0.0


def suite_of(task: Task) -> Suite:
    """Return the tests of a task.

    Raises:
        RecordError: The task has none, or they have no known shape.
    """
    answer = task.answer if isinstance(task.answer, Mapping) else {"tests": task.answer}
    settings = {_KNOWN_AS.get(key, key): value for key, value in task.metadata.items()}
    settings |= answer
    visible, tests = _as_list(answer.get("visible")), _as_list(answer.get("tests"))
    if not visible and not tests:
        raise RecordError("must hold tests, got none", field="answer")
    found = [*visible, *tests]
    chosen = {key: settings[key] for key in _SETTINGS if settings.get(key) is not None}
    suite = Suite(kind=_kind_of(found), tests=tuple(found), visible=len(visible), **chosen)
    _check(suite)
    return suite


def _as_list(tests: object) -> list[Any]:
    if tests is None or tests == "":
        return []
    if isinstance(tests, str):
        return [tests]
    if not isinstance(tests, list | tuple):
        raise RecordError(f"must be a text or a list, got {type(tests).__name__}", field="tests")
    return list(tests)


def _kind_of(tests: list[Any]) -> str:
    kinds = {_kind(test) for test in tests}
    if len(kinds) != 1 or None in kinds:
        raise RecordError(
            "must all be texts, or all have args and output, or all have stdin and stdout",
            field="tests",
        )
    (kind,) = kinds
    assert kind is not None  # noqa: S101  # refused above
    return kind


def _kind(test: object) -> str | None:
    if isinstance(test, str):
        return CHECK if re.search(r"^def check\(", test, re.MULTILINE) else ASSERTS
    if not isinstance(test, Mapping):
        return None
    if test.keys() == {"stdin", "stdout"}:
        return SCRIPT if all(isinstance(value, str) for value in test.values()) else None
    kwargs = test.get("kwargs", {})
    if test.keys() - {"kwargs"} != {"args", "output"} or not isinstance(kwargs, Mapping):
        return None
    return TABLE if isinstance(test["args"], list | tuple) else None


def _check(suite: Suite) -> None:
    for name in ("entry_point", "prefix", "setup"):
        value = getattr(suite, name)
        if not isinstance(value, str):
            raise RecordError(f"must be a text, got {value!r}", field=name)
    needed = suite.kind in (CHECK, TABLE)
    if (needed or suite.entry_point) and not _ENTRY_POINT.fullmatch(suite.entry_point):
        raise RecordError(f"must name a function, got {suite.entry_point!r}", field="entry_point")
    tolerance = suite.tolerance
    if type(tolerance) not in (int, float) or not 0 <= tolerance < math.inf:
        raise RecordError(f"must be a number from 0 on, got {tolerance!r}", field="tolerance")
