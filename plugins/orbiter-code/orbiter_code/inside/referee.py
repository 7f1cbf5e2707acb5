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
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .confine import job_filter, limit, shut_in
from .foresight import Call, first_calls
from .frames import (
    Channel,
    ChannelBrokenError,
    ChannelClosedError,
    DeadlineError,
    frame,
)
from .hacks import flags_of
from .job import MAX_PROGRAM, RAISED, REFUSED, VALUE
from .options import Options, warm_up
from .values import ValueRefusedError, dump, load, pack, unpack

JUDGE, LOOK = b"j", b"l"
"""Orders to the referee: judge, with the channel of a job beside it; look for signs of a hack."""

ANSWERED = b"."
"""Sent ahead of the verdict once the program has answered for the first time."""

_EXCEPTIONS = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception)
}


class OverError(BaseException):
    """There is a verdict. Not an Exception: tests may catch those."""

    def __init__(self, outcome: str, reason: str, message: str = "") -> None:
        super().__init__(outcome, reason, message)
        self.outcome, self.reason, self.message = outcome, reason, message


class Program:
    """The program in its job, as something to call.

    Args:
        channel: To the job.
        deadline: Of all calls together, on the monotonic clock.
        on_answer: Called when the program has answered for the first time.
    """

    def __init__(self, channel: Channel, deadline: float, on_answer: Callable[[], None]) -> None:
        self.channel, self.deadline, self._on_answer = channel, deadline, on_answer
        self.answered = False
        self.over: OverError | None = None
        self._asked: deque[tuple[bytes, str]] = deque()
        self.names: set[str] = set()

    def load(self, text: str, calls: Sequence[Call] = ()) -> None:
        """Run the text of the program.

        Args:
            text: The program.
            calls: What it will be called with first, in this order.

        Raises:
            OverError: It raised, or did not end in time, or took its process with it.
        """
        nonce = _nonce()
        order = {"mode": "calls", "nonce": nonce, "program": text}
        self._send(json.dumps(order).encode())
        self._ask(calls)
        kind, *rest = self._reply(nonce)
        if kind == RAISED:
            raise self._stop("fail", "program raises when it is loaded", ": ".join(map(str, rest)))

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the function of this name returns.

        Raises:
            Exception: Of the builtin class that the program's exception was of.
            OverError: There was no plain value to be had.
        """
        if self.over is not None:
            raise self.over  # a test caught it and went on
        try:
            question = [name, pack(args), pack(kwargs)]
            text = dump(question)
        except ValueRefusedError as error:
            raise self._stop("invalid", f"task: an argument is not plain: {error}") from None
        if self._asked and self._asked[0][0] == text:
            nonce = self._asked.popleft()[1]
        else:
            while self._asked:  # not what was foreseen: those replies come first
                self._reply(self._asked.popleft()[1])
            nonce = _nonce()
            self._send(dump([[nonce, *question]]))
        kind, *rest = self._reply(nonce)
        if not self.answered:
            self.answered = True
            self._on_answer()
        if kind == VALUE:
            try:
                return unpack(*rest)
            except ValueRefusedError as error:
                raise self._stop("fail", "result is not a plain value", str(error)) from None
        if kind == REFUSED:
            raise self._stop("fail", "result is not a plain value", str(rest[0]))
        raise _exception(*map(str, rest))

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function that calls the program's; its name is the program's from now on."""
        self.names.add(name)

        def candidate(*args: Any, **kwargs: Any) -> Any:
            return self.call(name, args, kwargs)

        candidate.__name__ = candidate.__qualname__ = name
        return candidate

    def _ask(self, calls: Sequence[Call]) -> None:
        """Send questions ahead, whose replies are waited for later."""
        try:
            questions = [[name, pack(args), pack(kwargs)] for name, args, kwargs in calls]
            texts = list(map(dump, questions))
        except ValueRefusedError:
            return  # the test that asks this one will say so
        nonces = [_nonce() for _ in questions]
        if questions:
            self._send(dump([[nonce, *q] for nonce, q in zip(nonces, questions)]))
        self._asked.extend(zip(texts, nonces))

    def _send(self, payload: bytes) -> None:
        try:
            self.channel.send(payload, deadline=self.deadline)
        except DeadlineError:
            raise self._stop("fail", "timeout") from None
        except ChannelClosedError:
            raise self._stop("fail", "program ends its process") from None

    def _receive(self) -> bytes:
        try:
            return self.channel.receive(deadline=self.deadline)
        except DeadlineError:
            raise self._stop("fail", "timeout") from None
        except ChannelClosedError:
            raise self._stop("fail", "program ends its process") from None
        except ChannelBrokenError as error:
            raise self._stop("fail", "result is too long", str(error)) from None

    def _reply(self, nonce: str) -> list[Any]:
        """Return the kind and content of the reply to the message with this nonce.

        Whoever answers must have read the question: what was written before it came is no answer.
        """
        try:
            reply = load(self._receive())
        except ValueRefusedError as error:
            raise self._stop("fail", "result is not a plain value", str(error)) from None
        sizes = {VALUE: 3, RAISED: 4, REFUSED: 3}
        if type(reply) is not list or len(reply) < 2 or reply[0] != nonce:
            raise self._stop("fail", "program writes to the channel")
        if type(reply[1]) is not int or len(reply) != sizes.get(reply[1]):
            raise self._stop("fail", "program writes to the channel")
        return reply[1:]

    def _stop(self, outcome: str, reason: str, message: str = "") -> OverError:
        self.over = OverError(outcome, reason, message)
        return self.over


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


def _exception(name: str, message: str) -> Exception:
    kind = _EXCEPTIONS.get(name, RuntimeError)
    try:
        return kind(message)
    except TypeError:  # some demand more than a message
        return ValueError(message) if issubclass(kind, ValueError) else RuntimeError(message)


def _nonce() -> str:
    return os.urandom(8).hex()


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
