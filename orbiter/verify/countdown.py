"""The answer is an expression over the given numbers whose exact value is the target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from orbiter.records import Task, Trajectory, Verdict
from orbiter.verify.answer import final_answer
from orbiter.verify.arithmetic import ExpressionError, evaluate, numbers, parse
from orbiter.verify.verifier import Verifier


class CountdownVerifier(Verifier):
    """Check an expression against ``task.answer``, which is ``{"target": ..., "numbers": [...]}``.

    Each number may be used at most once, as often as it is given. A closing ``= target`` is allowed if it says the target.
    """

    name, version = "countdown", "1"

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Pass if the expression is well-formed, uses only what is given, and has the target's value."""
        given = task.answer if isinstance(task.answer, Mapping) else {}
        target, allowed = given.get("target"), given.get("numbers")
        if type(target) is not int or not isinstance(allowed, list | tuple):
            return Verdict.invalid("task has no target and numbers")
        text = final_answer(trajectory)
        if text is None or not text.strip():
            return Verdict.failed("no answer")
        left, equals, right = text.partition("=")
        if equals and right.strip() != str(target):
            return Verdict.failed("wrong answer")
        try:
            expression = parse(left)
            if Counter(numbers(expression)) - Counter(allowed):
                return Verdict.failed("uses a number that is not given")
            value = evaluate(expression)
        except ExpressionError as error:
            return Verdict.failed(error.message)
        return Verdict.passed() if value == target else Verdict.failed("wrong answer")
