"""Calls that tests are bound to make, so that they can be sent to the program ahead and all at once.

Every message that is waited for costs two changes of process. A test such as ``assert f(1) == 2`` begins with a call whose arguments
stand in the text, so the question can be asked before the test is run. What is asked ahead is what would be asked first anyhow, in the
same order; replies are read one by one as the tests need them.
"""

from __future__ import annotations

import ast
import functools
from typing import Any

Call = tuple[str, tuple[Any, ...], dict[str, Any]]
"""Name, arguments and keyword arguments."""


def first_calls(plan: dict[str, Any]) -> list[Call]:
    """Return the calls with which the tests of a plan begin, in their order, up to the first that cannot be told."""
    entry, tests = plan["entry_point"], [plan["tests"][index] for index in plan["order"]]
    if plan["kind"] == "table":
        return [(entry, tuple(case["args"]), case.get("kwargs", {})) for case in tests]
    if plan["kind"] == "check":
        return [(entry, args, kwargs) for _, args, kwargs in _calls_of_check(tests[0])]
    out: list[Call] = []
    for text in tests:
        calls = _calls_of_assert(text)
        if not calls:
            break
        out += calls
    return out


@functools.lru_cache(maxsize=1024)
def _calls_of_assert(text: str) -> tuple[Call, ...]:
    """Return the call of a text that is one assert, or nothing."""
    body = ast.parse(text).body
    call = _call_of(body[0]) if len(body) == 1 else None
    return () if call is None else (call,)


@functools.lru_cache(maxsize=1024)
def _calls_of_check(text: str) -> tuple[Call, ...]:
    """Return the calls of the asserts with which ``check(candidate)`` begins."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == "check" and len(node.args.args) == 1:
            out: list[Call] = []
            for step in node.body:
                call = _call_of(step)
                if call is None or call[0] != node.args.args[0].arg:
                    break
                out.append(call)
            return tuple(out)
    return ()


def _call_of(step: ast.stmt) -> Call | None:
    """Return the call that an assert evaluates before anything else, if all of its arguments are literals."""
    node = step.test if isinstance(step, ast.Assert) else None
    if isinstance(node, ast.Compare):
        node = node.left
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    try:
        args = tuple(ast.literal_eval(arg) for arg in node.args)
        kwargs = {k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg is not None}
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return (node.func.id, args, kwargs) if len(kwargs) == len(node.keywords) else None
