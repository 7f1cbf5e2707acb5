"""The referee runs the tests of a task, in a process of its own, and calls the program in its job through a channel.

Tests belong to the task, not to the model, and so they may run as code; but they handle values that the model's program made
up, and they were downloaded from somewhere. So the referee is confined like a job, its deadline is enforced from outside, and
the process that asks for a verdict never sees more than the verdict.

Whose fault is a test that breaks? Until the program has answered once it cannot have had a hand in it: the task is malformed, and
the verdict invalid. From then on the values are the program's, and a test that chokes on them is failed.
"""

from __future__ import annotations

import builtins
import functools
import itertools
import json
import math
import os
import random
import signal
import socket
import time
import types
from collections.abc import Callable
from typing import Any

from .confine import job_filter, limit, shut_in
from .foresight import first_calls
from .frames import Channel, frame
from .hacks import flags_of
from .job import MAX_PROGRAM
from .options import Options, warm_up
from .program import OverError, Program

JUDGE, LOOK = b"j", b"l"
"""Orders to the referee: judge, with the channel of a job beside it; look for signs of a hack."""

ANSWERED = b"."
"""Sent ahead of the verdict once the program has answered for the first time."""


def judge(plan: dict[str, Any], program: Program) -> dict[str, Any]:
    """Return the verdict on a program.

    Returns:
        ``outcome``, ``reason``, ``test`` (index of the one that decided) and ``message``.
    """
    place: list[int | None] = [None]
    try:
        tests = _tests(plan, program)
    except Exception as error:
        return _result("invalid", "task: its tests cannot be read", None, _shown(error))
    random.seed(0)
    decided: OverError | None = None
    try:
        foreseen = itertools.takewhile(lambda call: call[0] in program.names, first_calls(plan))
        program.load(plan["program"], list(foreseen))
        for index in plan["order"]:
            place[0] = index
            _run(tests[index], program)
    except OverError as over:
        decided = over
    decided = decided or program.over  # a test may have swallowed it
    if decided is not None:
        return _result(decided.outcome, decided.reason, place[0], decided.message)
    if not program.answered:
        return _result("invalid", "task: its tests do not call the program", None, "")
    return _result("pass", "", None, "")


def flags(plan: dict[str, Any]) -> list[str]:
    """Return the signs that the program of a plan was made for its tests."""
    return flags_of(plan["program"], plan["kind"], plan["tests"], plan["visible"])


def _run(test: Callable[[], None], program: Program) -> None:
    try:
        test()
    except OverError:
        raise
    except AssertionError as error:
        if not program.answered:
            raise OverError("invalid", "task: a test fails by itself", _shown(error)) from None
        raise OverError("fail", "wrong answer", _shown(error)) from None
    except BaseException as error:
        if not program.answered:
            raise OverError("invalid", "task: a test breaks by itself", _shown(error)) from None
        raise OverError("fail", "exception", _shown(error)) from None


def _tests(plan: dict[str, Any], program: Program) -> list[Callable[[], None]]:
    """Return the body of each test."""
    entry, kind, texts = plan["entry_point"], plan["kind"], plan["tests"]
    if kind == "table":
        function = program.function(entry)
        return [_case(function, case, plan["tolerance"]) for case in texts]
    namespace: dict[str, Any] = {"__name__": "tests"}
    for text in (_completed(plan["prefix"]), plan["setup"]):
        exec(_compiled(text), namespace)  # noqa: S102  # the task's own, and confined
    if entry:
        namespace[entry] = program.function(entry)
    codes = list(map(_compiled, texts))
    if kind == "check":
        return [_check(code, namespace, namespace[entry]) for code in codes]
    wanted = {name for code in codes for name in names_in(code)}
    for name in wanted - namespace.keys() - vars(builtins).keys():
        namespace[name] = program.function(name)
    return [lambda code=code: exec(code, namespace) for code in codes]  # type: ignore[misc]  # noqa: S102


@functools.lru_cache(maxsize=1024)
def _completed(prefix: str) -> str:
    """Return the prefix, with a body if it ends in a signature for which the answer was to be one."""
    try:
        compile(prefix, "<prefix>", "exec")
    except SyntaxError:
        return f"{prefix.rstrip()}\n    pass\n"
    return prefix


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> types.CodeType:
    """Return the code of a test: a task is seldom answered only once."""
    return compile(text, "<test>", "exec")


def names_in(code: types.CodeType) -> set[str]:
    """Return every name that a test looks up, its nested functions included. What nobody else defines is the program's."""
    inner = (names_in(part) for part in code.co_consts if isinstance(part, types.CodeType))
    return set(code.co_names).union(*inner)


def _check(
    code: types.CodeType, namespace: dict[str, Any], candidate: Callable[..., Any]
) -> Callable[[], None]:
    exec(code, namespace)  # noqa: S102
    check = namespace["check"]
    return lambda: check(candidate)


def _case(
    function: Callable[..., Any], case: dict[str, Any], tolerance: float
) -> Callable[[], None]:
    def run() -> None:
        got = function(*case["args"], **case.get("kwargs", {}))
        if not same(got, case["output"], tolerance):
            raise AssertionError(f"got {_written(got)}")

    return run


def _written(value: Any) -> str:
    try:
        return f"{value!r:.200}"
    except ValueError:  # an int has more digits than Python is ready to write
        return "a very long number"


def same(got: Any, expected: Any, tolerance: float) -> bool:
    """Return whether a result is the expected JSON value: a tuple counts as a list, an integer as a float, a bool as neither.

    Args:
        got: The result.
        expected: The value to compare with.
        tolerance: Allowed difference of floats, absolute or relative to the larger, from 0 on.
    """
    if isinstance(got, bool) or isinstance(expected, bool):
        return got is expected
    if isinstance(got, int | float) and isinstance(expected, int | float):
        return got == expected or (tolerance > 0 and _near(got, expected, tolerance))
    if isinstance(got, list | tuple) and isinstance(expected, list | tuple):
        pairs = zip(got, expected)
        return len(got) == len(expected) and all(same(a, b, tolerance) for a, b in pairs)
    if isinstance(got, dict) and isinstance(expected, dict):
        return got.keys() == expected.keys() and all(
            same(got[key], expected[key], tolerance) for key in got
        )
    return type(got) is type(expected) and bool(got == expected)


def _near(got: float, expected: float, tolerance: float) -> bool:
    try:
        return math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an int that no float can hold
        return False


def _shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _result(outcome: str, reason: str, test: int | None, message: str) -> dict[str, Any]:
    text = message.encode("utf-8", "replace").decode()  # half a character is no text for a ledger
    return {"outcome": outcome, "reason": reason, "test": test, "message": text}


def main(control_fd: int, options_text: str) -> None:
    """Confine this process and referee one program after the other, until the other end closes."""
    sock = socket.socket(fileno=control_fd)
    try:
        _confine(Options(**json.loads(options_text)))
    except Exception as error:
        report = {"error": f"{type(error).__name__}: {error}"}
        sock.sendall(frame(json.dumps(report).encode()))
        return
    sock.sendall(frame(json.dumps({"uid": os.geteuid()}).encode()))
    control = Channel(sock, max_bytes=MAX_PROGRAM)
    while True:
        letter, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
        if letter == LOOK:
            plan = _plan(control)
            control.send(json.dumps(flags(plan)).encode())
        elif letter == JUDGE and descriptors:
            with socket.socket(fileno=descriptors[0]) as job:
                _judge(_plan(control), job, control)
        else:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)


def _plan(control: Channel) -> dict[str, Any]:
    """Return the plan that comes next, and set a last bound: if whoever asked is gone, nobody else ends what runs for ever."""
    plan: dict[str, Any] = json.loads(control.receive())
    signal.setitimer(signal.ITIMER_REAL, plan["timeout_s"] + 2)
    return plan


def _judge(plan: dict[str, Any], job: socket.socket, control: Channel) -> None:
    deadline = time.monotonic() + plan["timeout_s"]
    verdict = judge(plan, Program(Channel(job), deadline, lambda: control.send(ANSWERED)))
    control.send(json.dumps(verdict).encode())
    if verdict["outcome"] == "pass":  # which holds, whatever becomes of reading the program
        control.send(json.dumps(flags(plan)).encode())


def _confine(options: Options) -> None:
    warm_up(options)
    limit(memory=options.memory)
    if not options.confined:
        return
    shut_in(options.read, user=options.user)
    job_filter(receives=True).attach()
