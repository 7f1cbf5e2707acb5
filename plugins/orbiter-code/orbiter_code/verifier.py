"""The verifier of programs: run what the model wrote where it can do no harm, and judge it where it has no hand."""

from __future__ import annotations

import math
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict

from orbiter.errors import ConfigError, RecordError, SandboxError
from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.tasks.streams import item_stream
from orbiter.verify.answer import final_answer
from orbiter.verify.sandbox import UNSANDBOXED, Limits
from orbiter.verify.verifier import Verifier, version_of
from orbiter_code.extract import program_in
from orbiter_code.inside.frames import Channel
from orbiter_code.sandbox.choice import choose_sandbox
from orbiter_code.sandbox.options import inside_options
from orbiter_code.sandbox.referee import Referee
from orbiter_code.script import StoppedError, run_script, same_text
from orbiter_code.suite import SCRIPT, Suite, suite_of

MAX_LENGTH = 200_000
"""Longest answer that is run, in characters; a longer one fails."""

MAX_OUTPUT = 1 << 20
"""Most bytes that a script may write."""

_REFEREE_LIMITS = Limits(memory_mb=2048)
_READY_S = 10.0


class CodeVerifier(Verifier):
    """Run the Python program of an answer against the tests of its task.

    The tests are in ``task.answer``, see :mod:`orbiter_code.suite`. The program runs in a sandbox and is handed arguments or
    input, never an expected result; what it returns crosses as plain values; the tests run in another process. Which sandbox
    it was stands in every verdict. A program that passes is looked at for signs that it was made for its tests; what is found
    stands as ``flags`` in the details and changes nothing else.

    The outcome is a failure whenever the program is to blame: a wrong result, an exception, no end in time, a killed process, a
    result that is not a plain value. It is invalid when the task is malformed or the sandbox broke.

    Args:
        sandbox: Registered name of a sandbox, or ``auto``: the first that holds when it is attacked.
        timeout_s: Longest time that one program may take for all its tests, or one script for one input, in seconds.
        memory_mb: Most memory of a program, in mebibytes of address space.
        packages: Installed packages that programs may import beside the standard library.
        seed: Chooses the order of the tests.
        interpreter: Path of the Python that runs the programs; default: this one.
        allow_unsandboxed: If no sandbox holds on this machine, run programs with your own rights all the same; every verdict
            then says ``unsandboxed``.

    Raises:
        SandboxError: No sandbox holds, and running without is not allowed.
    """

    name = "code"

    def __init__(
        self,
        *,
        sandbox: str = "auto",
        timeout_s: float = 5.0,
        memory_mb: int = 512,
        packages: Sequence[str] = (),
        seed: int = 0,
        interpreter: str | None = None,
        allow_unsandboxed: bool = False,
    ) -> None:
        if type(timeout_s) not in (int, float) or not 0 < timeout_s < math.inf:
            raise ConfigError(f"timeout_s must be a number of seconds above 0, got {timeout_s!r}")
        if type(memory_mb) is not int or memory_mb < 64:
            raise ConfigError(f"memory_mb must be an integer from 64 on, got {memory_mb!r}")
        self.sandbox, self.timeout_s, self.memory_mb = sandbox, timeout_s, memory_mb
        self.packages, self.seed = tuple(packages), seed
        self.interpreter, self.allow_unsandboxed = interpreter, allow_unsandboxed
        limits = Limits(memory_mb=memory_mb, cpu_s=math.ceil(timeout_s) + 1)
        self._lock = threading.Lock()
        self._sandbox = choose_sandbox(
            sandbox,
            limits=limits,
            packages=packages,
            interpreter=interpreter,
            allow_unsandboxed=allow_unsandboxed,
        )
        confined = self._sandbox.tier != UNSANDBOXED
        options = inside_options(_REFEREE_LIMITS, self.packages, confined=confined)
        self._referee = Referee(options, interpreter=interpreter or sys.executable)
        self.version = version_of(self, "2")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the verdict on the program in the final answer."""
        try:
            suite = suite_of(task)
        except RecordError as error:
            return Verdict.invalid(f"task: {error.message}")
        text = final_answer(trajectory)
        if text is None or not text.strip():
            return Verdict.failed("no answer")
        if len(text) > MAX_LENGTH:
            return Verdict.failed("answer is too long")
        order = list(range(len(suite.tests)))
        item_stream("code tests", task.task_id, self.seed).shuffle(order)
        plan = {
            "program": _program(suite.prefix, program_in(text)),
            "timeout_s": self.timeout_s,
            **asdict(suite, recurse=False),
            "order": order,
        }
        with self._lock:
            try:
                found = (
                    self._judge_script(plan) if suite.kind == SCRIPT else self._judge_calls(plan)
                )
            except SandboxError as error:
                return Verdict.invalid(f"sandbox: {error.message}")
        return self._verdict(suite, found)

    def close(self) -> None:
        """End the processes of this verifier; it may be used again."""
        self._referee.close()
        self._sandbox.close()

    def _judge_calls(self, plan: Mapping[str, Any]) -> Mapping[str, Any]:
        with self._sandbox.start() as channel:
            try:
                _await_ready(channel)  # the time of the program begins here
                return self._referee.judge(plan, channel)
            finally:
                self._sandbox.kill()

    def _judge_script(self, plan: Mapping[str, Any]) -> Mapping[str, Any]:
        deadline = time.monotonic() + self.timeout_s * len(plan["order"])
        for index in plan["order"]:
            reason = self._run_script(plan["program"], plan["tests"][index])
            if reason:
                return {"outcome": "fail", "reason": reason, "test": index, "message": ""}
        flags = self._referee.flags(plan, deadline=deadline)
        return {"outcome": "pass", "reason": "", "test": None, "message": "", "flags": flags}

    def _run_script(self, program: str, case: Mapping[str, str]) -> str:
        """Return why the program fails the case, or nothing."""
        ending = None
        with self._sandbox.start() as channel:
            try:
                _await_ready(channel)
                out = run_script(
                    channel,
                    program,
                    case["stdin"].encode("utf-8", "surrogateescape"),
                    deadline=time.monotonic() + self.timeout_s,
                    max_bytes=MAX_OUTPUT,
                )
            except StoppedError as stopped:
                return stopped.message
            finally:
                ending = self._sandbox.end()
        if ending.status != 0:
            return "exception"
        return "" if same_text(out, case["stdout"]) else "wrong answer"

    def _verdict(self, suite: Suite, found: Mapping[str, Any]) -> Verdict:
        details: dict[str, Any] = {"sandbox": self._sandbox.name, "tier": self._sandbox.tier}
        details |= {"tests": len(suite.tests)}
        if self._sandbox.tier == UNSANDBOXED:
            details["unsandboxed"] = True
        if found.get("flags"):
            details["flags"] = found["flags"]
        test = found["test"]
        if test is not None:
            details["test"] = test
        # What a hidden test compared is left out: verdicts may be shown to the model.
        if found["message"] and (test is None or test < suite.visible):
            details["message"] = found["message"]
        return Verdict(
            outcome=Outcome(found["outcome"]),
            score=_SCORES[found["outcome"]],
            reason=found["reason"],
            details=details,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


# Only at the beginning of a module; an answer is put after a prefix.
_FUTURE = re.compile(r"^from __future__ import .*\n?", re.MULTILINE)

_SCORES = {"pass": 1.0, "fail": 0.0, "invalid": None}


def _program(prefix: str, rest: str) -> str:
    """Return the two one after the other; the rest may be the body of a function that the prefix begins."""
    if not prefix:
        return rest
    futures = "".join(f"{line.strip()}\n" for line in _FUTURE.findall(rest))
    end = "" if prefix.endswith("\n") else "\n"
    return f"{futures}{prefix}{end}{_FUTURE.sub('', rest)}"


def _await_ready(channel: socket.socket) -> None:
    try:
        Channel(channel).receive(deadline=time.monotonic() + _READY_S)
    except OSError as error:
        raise SandboxError(f"the job is not ready: {error}") from None
