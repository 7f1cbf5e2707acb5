"""Verifiers that take several answers at once say the same as one by one."""

import itertools

import pytest

from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.verify.answer import answered
from orbiter.verify.combine import AllOf, AnyOf, Cascade, Gate, Majority, Weighted
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.pool import VerifierPool
from orbiter.verify.verifier import Verifier, judge, judge_batch

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID
TASK = Task("e", "e:1", (Message("user", "q"),), answer="42")
WORDS = ("pass", "fail", "invalid")
PAIRS = [(TASK, answered(TASK, " ".join(words))) for words in itertools.product(WORDS, repeat=3)]


class Nth(Verifier):
    """Says what the n-th word of an answer says, of several answers at once; notes how many."""

    batch_size = 8

    def __init__(self, place=0):
        self.place, self.name, self.sizes = place, f"nth-{place}", []

    def verify(self, task, trajectory):
        return self.verify_batch([(task, trajectory)])[0]

    def verify_batch(self, pairs):
        self.sizes.append(len(pairs))
        said = [Outcome(t.answer.split()[self.place]) for _, t in pairs]
        scores = {PASS: 1.0, FAIL: 0.0, INVALID: None}
        return [Verdict(outcome, scores[outcome], outcome.value) for outcome in said]


class SizeTeller(Nth):
    """Says how many answers it was given at once."""

    def verify_batch(self, pairs):
        return [Verdict.passed(details={"size": len(pairs)}) for _ in pairs]


def all_three():
    return [Nth(place) for place in range(3)]


COMBINED = {
    "all_of": lambda: AllOf(all_three()),
    "any_of": lambda: AnyOf(all_three()),
    "weighted": lambda: Weighted(all_three(), weights=[1, 2, 3], threshold=0.5),
    "majority": lambda: Majority(all_three()),
    "cascade": lambda: Cascade(all_three()),
    "gate": lambda: Gate(Nth(0), Nth(1)),
    "nested": lambda: AllOf([AnyOf([Nth(0), Nth(1)]), Gate(Nth(2), Nth(0))]),
}


@pytest.mark.parametrize("make", COMBINED.values(), ids=COMBINED)
def test_a_combinator_says_of_many_what_it_says_of_one(make):
    verifier = make()
    assert verifier.batch_size == 8
    assert judge_batch(verifier, PAIRS) == [judge(verifier, *pair) for pair in PAIRS]
    assert judge_batch(verifier, []) == []


def test_each_part_is_asked_about_all_that_need_it_together():
    parts = all_three()
    judge_batch(AllOf(parts), PAIRS)
    assert [part.sizes for part in parts] == [[27], [18], [12]]


def test_a_part_that_takes_one_at_a_time_is_given_one_at_a_time():
    verifier = AllOf([ExactVerifier(), Nth(0)])
    assert [v.outcome for v in judge_batch(verifier, PAIRS[:3])] == [FAIL] * 3


def test_where_nothing_was_answered_nobody_is_asked():
    verifier, silent = Nth(), Trajectory(TASK.messages, "e", "e:1", None)
    found = judge_batch(verifier, [PAIRS[0], (TASK, silent), PAIRS[9]])
    assert [(v.outcome, v.reason) for v in found] == [(PASS, "pass"), (FAIL, "no answer"), (FAIL, "fail")]  # fmt: skip
    assert verifier.sizes == [2]
    assert {(v.verifier, v.version) for v in found} == {("nth-0", "1")}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (ValueError("x"), "error: ValueError: x"),
        (MemoryError(), "memory: the verifier ran out of memory"),
        ([], "error: TypeError: verify_batch must return a list of 2 verdicts, got 0"),
        ([Verdict.passed()] * 3, "error: TypeError: verify_batch must return a list of 2 verdicts, got 3"),
        (None, "error: TypeError: verify_batch must return a list of 2 verdicts, got NoneType"),
        ([1.0, True], None),
    ],
)  # fmt: skip
def test_a_batch_that_goes_wrong_is_invalid(value, reason):
    class Wrong(Nth):
        def verify_batch(self, pairs):
            if isinstance(value, Exception):
                raise value
            return value

    found = judge_batch(Wrong(), PAIRS[:2])
    reasons = [f"error: returned {one}, not a Verdict" for one in ("float", "bool")]
    assert [v.reason for v in found] == ([reason] * 2 if reason else reasons)
    assert {v.outcome for v in found} == {INVALID}


def test_a_worker_gives_a_verifier_its_batches():
    with VerifierPool(SizeTeller(), workers=1) as pool:
        found = pool.judge_all(PAIRS)
    assert [v.details["size"] for v in found] == [8] * 24 + [3] * 3


def test_a_worker_says_of_many_what_is_said_here():
    verifier = COMBINED["nested"]()
    with VerifierPool(verifier, workers=1) as pool:
        assert pool.judge_all(PAIRS) == [judge(verifier, *pair) for pair in PAIRS]
