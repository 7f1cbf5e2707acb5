"""The tool-call verifier: the calls of a trace are the expected ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from attrs import frozen

from orbiter.checks import check_bool, check_whole_number
from orbiter.convert import structure
from orbiter.errors import ConfigError, RecordError
from orbiter.records import Outcome, Task, Trajectory, Verdict
from orbiter.tasks.component import Spec
from orbiter.verify.calls import Call, TraceError, after_prompt, read_calls
from orbiter.verify.component import make_verifier
from orbiter.verify.expected import ExpectedCall, arranged, assigned
from orbiter.verify.schema import check_schemas, tool_schemas
from orbiter.verify.verifier import Verifier, judge, version_of

ORDERS = ("strict", "any", "subset")
"""How the calls that were made may stand to the expected ones."""


@frozen(kw_only=True)
class _Reference:
    calls: tuple[ExpectedCall, ...]


class ToolCallVerifier(Verifier):
    """Compare the tool calls of a trace with those in ``task.metadata["calls"]``, a list of :class:`ExpectedCall`.

    A call counts only as a ``tool_calls`` entry of an assistant message after the task's prompt: text that looks like a call or like
    a tool's result is text. Names are compared character for character, arguments as decoded JSON: key order and ``1`` or ``1.0`` do
    not matter, ``1`` and ``true`` or ``"1"`` differ. Every call, expected or not, must name a tool of the task and fit its schema. No
    argument may be given beside the expected ones, unless at the default that the schema names. An empty list says that no tool
    should be called. Without a list the verdict is invalid, as it is with a list that no right call could meet.

    The format of the Berkeley Function-Calling Leaderboard says the same with ``accepted`` and ``optional``. Unlike its checker, this
    one never drops punctuation from texts, which would make 1.5 and 15 equal: list the spellings that are right.

    Args:
        order: ``strict``: these calls in this order (calls of one turn have none among themselves); ``any``: these calls in any order;
            ``subset``: these calls in any order, with others among them.
        max_extra: Most others with ``subset``, so that a right call cannot be hit by trying everything; default: 2.
        answer: The verifier of the final answer, its name, or its name with options beside it; None lets a trace end in calls.
        case: Tell upper from lower case in texts of arguments.
        whitespace: Tell one run of white space from another in texts of arguments; if not, each counts as one space, and none at the ends.
        dialogue: There may be user messages between the turns.
    """

    name = "tool_call"

    def __init__(
        self,
        *,
        order: str = "strict",
        max_extra: int | None = None,
        answer: Verifier | Spec | None = None,
        case: bool = True,
        whitespace: bool = True,
        dialogue: bool = False,
    ) -> None:
        if order not in ORDERS:
            raise ConfigError(f"order must be one of {', '.join(ORDERS)}, got {order!r}")
        if max_extra is not None and order != "subset":
            raise ConfigError("max_extra must go with order 'subset', got order " + repr(order))
        if max_extra is not None:
            check_whole_number("max_extra", max_extra, low=0)
        for name, value in (("case", case), ("whitespace", whitespace), ("dialogue", dialogue)):
            check_bool(name, value)
        self.order, self.max_extra = order, max_extra
        self.answer = None if answer is None else make_verifier(answer)
        self.case, self.whitespace, self.dialogue = case, whitespace, dialogue
        self.version = version_of(self, "1")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if the calls, and the final answer if it is judged, are right; invalid without a usable reference."""
        try:
            expected = structure({"calls": task.metadata.get("calls")}, _Reference).calls
            schemas = tool_schemas(task)
            for one in expected:
                one.check_against(schemas)
        except RecordError as error:
            return Verdict.invalid(f"task has no usable calls: {error.message}")
        try:
            messages = after_prompt(task, trajectory)
            calls = read_calls(messages, open_end=self.answer is None, dialogue=self.dialogue)
            check_schemas(calls, schemas)
        except TraceError as error:
            return Verdict.failed(error.message, details={"turn": error.turn})
        details = {"calls": len(calls), "expected": len(expected)}
        wrong = self._difference(calls, expected, schemas)
        if wrong or self.answer is None:
            verdict = Verdict.failed(wrong) if wrong else Verdict.passed()
        else:
            verdict = judge(self.answer, task, trajectory)
        reason = verdict.reason
        if verdict.verifier and verdict.outcome is not Outcome.PASS:
            reason = f"{verdict.verifier}: {reason}"
        return Verdict(verdict.outcome, verdict.score, reason, details=details)

    def _difference(
        self, calls: Sequence[Call], expected: Sequence[ExpectedCall], schemas: dict[str, Any]
    ) -> str:
        """Return in which way the calls are not the expected ones, or an empty text."""

        def fit(need: int, call: Call) -> bool:
            one = expected[need]
            return one.matches(call, schemas[one.name], exactly=True, normalise=self._normalise)

        extra = len(calls) - len(expected)
        most = 0 if self.order != "subset" else 2 if self.max_extra is None else self.max_extra
        if extra < 0:
            return "too few tool calls"
        if extra > most:
            return "too many tool calls"
        if self.order == "strict":
            made = arranged(calls, len(expected), fit)
            if all(fit(need, call) for need, call in enumerate(made)):
                return ""
        found = assigned(len(expected), len(calls), lambda need, i: fit(need, calls[i]))
        if found is not None:
            return "wrong order of tool calls" if self.order == "strict" else ""
        missing = Counter(one.name for one in expected) - Counter(call.name for call in calls)
        return "wrong tool" if missing else "wrong arguments"

    def _normalise(self, text: str) -> str:
        if not self.whitespace:
            text = " ".join(text.split())
        return text if self.case else text.casefold()
