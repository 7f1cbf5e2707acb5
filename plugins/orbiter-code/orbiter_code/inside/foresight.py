"""Calls that tests are bound to make, so that they can be sent to the program ahead and all at once.

Every message that is waited for costs two changes of process. A test such as ``assert f(1) == 2`` is bound to make one call, whose
arguments stand in the text, so the question can be asked before the test is run. What is asked ahead is what would be asked first anyhow,
in the same order; replies are read one by one as the tests need them.
"""

from __future__ import annotations

import ast
import builtins
import functools
from collections.abc import Iterable
from typing import Any

Call = tuple[str, tuple[Any, ...], dict[str, Any]]
"""Name, arguments and keyword arguments."""

_BUILTINS = frozenset(vars(builtins))
# Of their results nobody can tell how often they were computed.
_PURE = {
    kind.__name__: kind
    for kind in (bool, bytes, dict, float, frozenset, int, list, range, reversed, set, str, tuple)
} | {function.__name__: function for function in (abs, len, max, min, sorted, sum)}
# What stands in these may be evaluated not at all, or often, or later.
_LAZY = (ast.BoolOp, ast.IfExp, ast.Lambda, ast.comprehension, ast.NamedExpr)


def first_calls(plan: dict[str, Any]) -> list[Call]:
    """Return the calls with which the tests of a plan begin, in their order, up to the first that cannot be told."""
    entry, tests = plan["entry_point"], [plan["tests"][index] for index in plan["order"]]
    if plan["kind"] == "table":
        return [(entry, tuple(case["args"]), case.get("kwargs", {})) for case in tests]
    if entry in _BUILTINS:
        return []  # for here these names are taken for what they always are
    if plan["kind"] == "check":
        return [(entry, args, kwargs) for _, args, kwargs in _calls_of_check(tests[0])]
    out: list[Call] = []
    for text in tests:
        calls, all_told = _calls_of_asserts(text)
        out += calls
        if not all_told:
            break
    return out


@functools.lru_cache(maxsize=1024)
def _calls_of_asserts(text: str) -> tuple[tuple[Call, ...], bool]:
    """Return the calls of the asserts with which a text begins, and whether these are all that it makes."""
    return _calls_of(ast.parse(text).body)


@functools.lru_cache(maxsize=1024)
def _calls_of_check(text: str) -> tuple[Call, ...]:
    """Return the calls of the asserts with which ``check(candidate)`` begins."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == "check" and len(node.args.args) == 1:
            calls, _ = _calls_of(node.body)
            others = (i for i, call in enumerate(calls) if call[0] != node.args.args[0].arg)
            return calls[: next(others, len(calls))]
    return ()


def _calls_of(steps: Iterable[ast.stmt]) -> tuple[tuple[Call, ...], bool]:
    """Return the calls up to the first step of which they cannot be told, and whether that is all."""
    out: list[Call] = []
    for step in steps:
        calls = _calls_of_assert(step)
        if calls is None:
            return tuple(out), False
        out += calls
    return tuple(out), True


def _calls_of_assert(step: ast.stmt) -> list[Call] | None:
    """Return the calls that an assert makes before it fails or holds, or None if they cannot be told."""
    if not isinstance(step, ast.Assert):
        return None
    nodes = list(ast.walk(step.test))
    if any(isinstance(n, _LAZY) or (isinstance(n, ast.Compare) and len(n.ops) > 1) for n in nodes):
        return None
    calls = [n for n in nodes if isinstance(n, ast.Call) and _name(n.func) not in {"", *_BUILTINS}]
    if sum(_name(node) not in {"", *_BUILTINS} for node in nodes) > len(calls):
        return None  # something else is named, which may be anything
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    try:
        return [(_name(call.func), *_arguments(call)) for call in calls]
    except Exception:
        return None


def _name(node: ast.expr | ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _arguments(call: ast.Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call in which nothing is named but pure functions.

    Raises:
        Exception: Something else is, or they cannot be computed.
    """
    keys = [None if k.arg is None else ast.Constant(k.arg) for k in call.keywords]
    args = ast.Tuple(list(call.args), ast.Load())
    kwargs = ast.Dict(list(keys), [k.value for k in call.keywords])
    both = ast.Expression(ast.Tuple([args, kwargs], ast.Load()))
    if any(isinstance(node, ast.Attribute | ast.Await) for node in ast.walk(both)):
        raise ValueError("an attribute may be anything")
    code = compile(ast.fix_missing_locations(both), "<arguments>", "eval")
    found: tuple[tuple[Any, ...], dict[str, Any]] = eval(code, {"__builtins__": _PURE})  # noqa: S307  # of the task's own test
    return found
