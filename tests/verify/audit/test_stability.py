import itertools
from contextlib import contextmanager

from orbiter.records import Verdict
from orbiter.tasks.sorting import Sorting
from orbiter.verify.answer import answered
from orbiter.verify.audit.stability import check_stability, judging_here
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.verifier import Verifier

TASKS = [Sorting().task(index, seed=0) for index in range(40)]
ANSWERS = [(task, answered(task, task.answer)) for task in TASKS]


def changed(make, answers=ANSWERS, **options):
    found = check_stability(lambda: judging_here(make), answers, seed=0, **options)
    return {part.name: len(part.changes) for part in found}, found


def verifier(rule):
    """Return what makes a verifier that passes by its own count of calls, from 0."""

    class Counting(Verifier):
        name = "counting"

        def __init__(self):
            self.calls = itertools.count()

        def verify(self, task, trajectory):
            return rule(next(self.calls), task)

    return Counting


def test_a_steady_verifier_changes_nothing():
    changes, found = changed(ExactVerifier)
    assert changes == {
        "again": 0,
        "in another order": 0,
        "one by one": 0,
        "in another process": 0,
    }
    assert {part.count for part in found} == {40}


def test_one_that_changes_its_mind_is_seen_again():
    changes, found = changed(
        verifier(lambda n, _: Verdict.passed() if n < 40 else Verdict.failed("tired"))
    )
    assert changes["again"] == 40
    (again, *_) = found
    assert again.changes[0].task_id in {task.task_id for task in TASKS}
    assert (again.changes[0].before.outcome, again.changes[0].after.outcome) == ("pass", "fail")


def test_a_score_that_changes_is_a_change():
    changes, _ = changed(verifier(lambda n, _: Verdict.passed(score=1 / (1 + n // 40))))
    assert changes["again"] == 40


def test_one_that_goes_by_what_it_saw_before_is_seen_in_another_order():
    class ByOrder(Verifier):
        name, seen = "by order", None

        def verify(self, task, trajectory):
            before, self.seen = self.seen, task.task_id
            return Verdict.passed() if (before or "") < task.task_id else Verdict.failed("smaller")

    changes, _ = changed(ByOrder)
    assert changes["in another order"] > 5


def test_one_that_goes_by_its_batch_is_seen_one_by_one():
    @contextmanager
    def relative():
        yield lambda answers: [
            Verdict.passed() if place or len(answers) == 1 else Verdict.failed("first of its batch")
            for place, _ in enumerate(answers)
        ]

    found = {part.name: len(part.changes) for part in check_stability(relative, ANSWERS, seed=0)}
    assert found["one by one"] == 1
    assert found["again"] == 0


def test_one_that_differs_between_instances_is_seen_in_another_process():
    made = itertools.count()

    class PerInstance(Verifier):
        name = "per instance"

        def __init__(self):
            self.number = next(made)

        def verify(self, task, trajectory):
            return Verdict.failed("first") if self.number else Verdict.passed()

    changes, _ = changed(PerInstance)
    assert changes == {
        "again": 0,
        "in another order": 0,
        "one by one": 0,
        "in another process": 40,
    }


def test_a_sample_is_taken_and_invalid_verdicts_are_left_out():
    _, found = changed(ExactVerifier, count=10)
    assert {part.count for part in found} == {10}
    every_second = verifier(lambda n, _: Verdict.invalid("timeout") if n % 2 else Verdict.passed())
    _, found = changed(every_second)
    assert {part.count for part in found} == {20}
    _, found = changed(ExactVerifier, answers=[])
    assert {part.count for part in found} == {0}
