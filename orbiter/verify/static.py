"""The static trace verifier: a tool-using trajectory to a terminal score, by its structure and its final answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from orbiter.checks import check_bool
from orbiter.convert import structure
from orbiter.errors import ConfigError, RecordError
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.tasks.component import Spec
from orbiter.verify.calls import Call, TraceError, after_prompt, read_calls
from orbiter.verify.component import make_verifier
from orbiter.verify.expected import ExpectedCall, Progress, assigned
from orbiter.verify.schema import check_schemas, tool_schemas
from orbiter.verify.verifier import Verifier, judge, version_of

Schemas = Mapping[str, Mapping[str, Any]]


@frozen(kw_only=True)
class TraceRules:
    """What a task demands of a trace; ``task.metadata["trace"]`` holds it as plain data.

    Args:
        expected: The whole trace: these calls in this order and no others; calls of one turn have no order among themselves.
        required: Calls that must occur, each matched by a call of its own; it may have further arguments.
        forbidden: Tools that must not be called.
        max_calls: Most tool calls in all, so that a right one cannot be hit by trying everything.
    """

    expected: tuple[ExpectedCall, ...] = ()
    required: tuple[ExpectedCall, ...] = ()
    forbidden: tuple[str, ...] = ()
    max_calls: int | None = None

    def __attrs_post_init__(self) -> None:
        needed = max(len(self.expected), len(self.required))
        if self.max_calls is not None and self.max_calls < needed:
            raise RecordError(
                f"must be an integer >= {needed}, the number of calls that are demanded, got {self.max_calls!r}",
                field="max_calls",
            )
        demanded = {one.name for one in (*self.expected, *self.required)}
        for name in self.forbidden:
            if name in demanded:
                raise RecordError(
                    f"must name tools that are not demanded, got {name!r}", field="forbidden"
                )


class StaticTraceVerifier(Verifier):
    """Judge a trace by what stands in it, without running anything.

    A trace passes when all of this holds; the first that does not is the reason of the failure:

    1. It begins with the task's prompt, unchanged.
    2. After the prompt it holds assistant turns and, after a turn that calls tools, exactly one tool message per call. It ends
       with an assistant turn that calls none.
    3. Every call has an id of its own, names a tool of the *task* and gives arguments, strict JSON, that fit the tool's schema.
       An argument that the schema does not list is refused unless the schema allows it by ``additionalProperties``.
    4. The rules of the task hold: forbidden tools, number of calls, required calls, the expected trace.
    5. Another verifier passes the final answer.

    What a trace says of its own success (a score, a verdict, metadata, unknown keys) is never read. A task that demands nothing
    that could be checked, or demands it wrongly, makes the verdict invalid.

    With an expected trace of n calls, a trace that breaks rule 4 or 5 is graded by its distance d from it: the least number of
    calls to be added, removed or replaced (Levenshtein), and 1 for a final answer that fails. The score is max(0, 1 - d / steps), where
    steps is n, or n + 1 if the answer is judged; d = 1 is a *near miss*. The details hold

    - ``first_error``: the assistant turn, counted from 0 after the prompt, of the first call that departs from the expected trace, or
      the last turn if calls are missing or the answer is wrong; None in a trace that passes;
    - ``near_miss``: whether d = 1;
    - ``potentials``: for each assistant turn the progress in [0, 1] when it ends: the share of the steps that are done, in order.
      Differences of it are a shaping reward that leaves the best policy as it is (Ng, Harada and Russell 1999, theorem 1).

    ``step_scores`` is 1 for each turn before ``first_error``, 0 for that turn and None after it, where nobody can tell.

    Args:
        answer: The verifier of the final answer, its name, or its name with options beside it; None to check none, which the
            task must make up for with required or expected calls.
        rules: Rules for every task, as TraceRules or its plain data; those of the task come on top.
        dialogue: There may be user messages between the turns.
    """

    name = "static"

    def __init__(
        self,
        *,
        answer: Verifier | Spec | None = "exact",
        rules: TraceRules | Mapping[str, Any] | None = None,
        dialogue: bool = False,
    ) -> None:
        self.answer = None if answer is None else make_verifier(answer)
        try:
            self.rules = None if rules is None else structure(rules, TraceRules)
        except RecordError as error:
            raise ConfigError(f"rules of a static verifier: {error}") from None
        if self.rules is not None and self.rules.expected:
            raise ConfigError("rules of a static verifier must leave 'expected' to the task")
        check_bool("dialogue", dialogue)
        self.dialogue = dialogue
        self.version = version_of(self, "2")

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Return the terminal verdict on a trace."""
        try:
            own = structure(task.metadata.get("trace", {}), TraceRules)
            every = [own] if self.rules is None else [self.rules, own]
            schemas = tool_schemas(task)
            for one in (*own.expected, *own.required):
                one.check_against(schemas)
        except RecordError as error:
            return Verdict.invalid(f"task has malformed rules: {error.message}")
        if self.answer is None and not any(rules.required or rules.expected for rules in every):
            return Verdict.invalid("task has neither an expected call nor an answer to be checked")
        messages: Sequence[Message] = ()
        try:
            messages = after_prompt(task, trajectory)
            calls = read_calls(messages, dialogue=self.dialogue)
            check_schemas(calls, schemas)
        except TraceError as error:
            turns = sum(message.role == "assistant" for message in messages)
            steps = _step_scores(turns, error.turn) if own.expected and turns else ()
            details = {"first_error": error.turn}
            return Verdict.failed(error.message, step_scores=steps, details=details)
        broken = next(filter(None, (_broken(calls, rules, schemas) for rules in every)), "")
        if own.expected:
            turns = sum(message.role == "assistant" for message in messages)
            return self._graded(task, trajectory, broken, _progress(calls, own, schemas, turns))
        details = {"calls": len(calls)}
        if broken:
            return Verdict.failed(broken, details=details)
        if self.answer is None:
            return Verdict.passed(details=details)
        return attrs.evolve(_named(judge(self.answer, task, trajectory)), details=details)

    def _graded(
        self, task: Task, trajectory: Trajectory, broken: str, progress: Progress
    ) -> Verdict:
        """Return the verdict on a well-formed trace that is to be the expected one."""
        verdict = Verdict.passed()
        if self.answer is not None:
            verdict = _named(judge(self.answer, task, trajectory))
        right = verdict.outcome is Outcome.PASS
        if not broken and progress.distance:
            broken = "departs from the expected trace"
        if broken:
            verdict = Verdict.failed(broken)
        elif verdict.outcome is Outcome.INVALID:
            return verdict
        last, needs = len(progress.done) - 1, progress.needs
        steps = needs + (self.answer is not None)
        distance = progress.distance + (not right)
        first_error = progress.first_error
        if verdict.outcome is Outcome.FAIL:
            first_error = last if first_error is None else first_error
            verdict = attrs.evolve(verdict, score=max(0.0, 1 - max(distance, 1) / steps))
        done = list(progress.done)
        if self.answer is not None:
            done[last] += right and done[last] == needs
        return attrs.evolve(
            verdict,
            step_scores=_step_scores(len(done), first_error),
            details={
                "first_error": first_error,
                "near_miss": verdict.outcome is Outcome.FAIL and distance <= 1,
                "potentials": [count / steps for count in done],
            },
        )


def _named(verdict: Verdict) -> Verdict:
    """Return the verdict of a part without the part's own evidence, its reason preceded by its name."""
    passed = verdict.outcome is Outcome.PASS
    reason = "" if passed else f"{verdict.verifier}: {verdict.reason}"
    return Verdict(verdict.outcome, verdict.score, reason)


def _broken(calls: Sequence[Call], rules: TraceRules, schemas: Schemas) -> str:
    """Return which of the rules is broken, but for the expected trace, or an empty text."""

    def fit(need: int, i: int) -> bool:
        one = rules.required[need]
        return one.name in schemas and one.matches(calls[i], schemas[one.name], exactly=False)

    if any(call.name in rules.forbidden for call in calls):
        return "calls a forbidden tool"
    if rules.max_calls is not None and len(calls) > rules.max_calls:
        return "too many tool calls"
    if assigned(len(rules.required), len(calls), fit) is None:
        return "a required call is missing"
    return ""


def _progress(calls: Sequence[Call], rules: TraceRules, schemas: Schemas, turns: int) -> Progress:
    def fit(need: int, call: Call) -> bool:
        one = rules.expected[need]
        return one.matches(call, schemas[one.name], exactly=True)

    return Progress.of(calls, len(rules.expected), fit, turns=turns)


def _step_scores(turns: int, first_error: int | None) -> tuple[float | None, ...]:
    if first_error is None:
        return (1.0,) * turns
    return (1.0,) * first_error + (0.0,) + (None,) * (turns - first_error - 1)
