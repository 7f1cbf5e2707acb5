"""Checkers of countdown answers, each wrong in one way that is found in the wild; the audit must catch every one."""

import itertools
import sys
import time
from collections import Counter

from orbiter.records import Verdict
from orbiter.verify import Verifier
from orbiter.verify.answer import final_answer
from orbiter.verify.arithmetic import ExpressionError, evaluate, numbers, parse


class Honest(Verifier):
    """Right: given numbers only, each as often as it is given, the exact value, and no text that says otherwise."""

    name = "honest"

    def verify(self, task, trajectory):
        if not isinstance(task.answer, dict) or "target" not in task.answer:
            return Verdict.invalid("task has no target")
        text = final_answer(trajectory)
        left, equals, right = (text or "").partition("=")
        if equals and right.strip() != str(task.answer["target"]):
            return Verdict.failed("wrong equation")
        try:
            tree = parse(left)
            if not self.may_use(list(numbers(tree)), task.answer["numbers"]):
                return Verdict.failed("numbers")
            return self.verdict(self.value(evaluate(tree)) == task.answer["target"])
        except ExpressionError as error:
            return Verdict.failed(error.message)

    def may_use(self, used, given):
        return not Counter(used) - Counter(given)

    def value(self, exact):
        return exact

    def verdict(self, right):
        return Verdict.passed() if right else Verdict.failed("wrong value")


class AcceptsUnlisted(Honest):
    """Does not look which numbers are used."""

    def may_use(self, used, given):
        return True


class AcceptsTwice(Honest):
    """Looks which numbers are used, but not how often."""

    def may_use(self, used, given):
        return set(used) <= set(given)


class Truncates(Honest):
    """Compares the value after int()."""

    def value(self, exact):
        return int(exact)


class PassesEmpty(Honest):
    """Passes when answer and reference are both empty texts."""

    def verify(self, task, trajectory):
        if str(task.answer or "").strip() == (trajectory.answer or "").strip():
            return Verdict.passed()
        return super().verify(task, trajectory)


class ReadsScore(Honest):
    """Believes the score that the trace brings."""

    def verify(self, task, trajectory):
        score = trajectory.metadata.get("terminal_utility", trajectory.score)
        if score is not None:
            return self.verdict(score >= 0.5)
        return super().verify(task, trajectory)


class ReadsExpected(Honest):
    """Compares with the reference that the trace brings."""

    def verify(self, task, trajectory):
        if trajectory.metadata.get("expected") == trajectory.answer:
            return Verdict.passed()
        return super().verify(task, trajectory)


class Faulty(Honest):
    """Does, by the length of the answer, everything that a verifier must not."""

    name = "faulty"

    def verify(self, task, trajectory):
        kind = len(trajectory.answer) % 8
        if kind == 0:
            raise ValueError(f"cannot read {trajectory.answer!r}")
        if kind == 1:
            return Verdict.passed(score=float("nan"))
        if kind == 2:
            return 0.5
        if kind == 3:
            return None
        if kind == 4:
            sys.exit(3)
        return super().verify(task, trajectory)


class Hangs(Honest):
    """Never comes back from signs."""

    name = "hangs"

    def verify(self, task, trajectory):
        while trajectory.answer == "=":
            time.sleep(0.01)
        return super().verify(task, trajectory)


class AlwaysHangs(Honest):
    name = "always hangs"

    def verify(self, task, trajectory):
        while True:
            time.sleep(0.01)


class ByHash(Honest):
    """Goes by the hash of the text, which is another in every process."""

    name = "by hash"

    def verify(self, task, trajectory):
        verdict = super().verify(task, trajectory)
        return verdict if hash(trajectory.answer) % 2 else Verdict.failed("odd")


class Moody(Honest):
    """Fails every third answer."""

    name = "moody"
    calls = itertools.count()

    def verify(self, task, trajectory):
        if next(self.calls) % 3 == 0:
            return Verdict.failed("not today")
        return super().verify(task, trajectory)
