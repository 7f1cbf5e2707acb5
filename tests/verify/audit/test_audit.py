"""What an audit counts, and the rates that follow."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.intervals import clopper_pearson
from orbiter.records import Message, Outcome, Task, Verdict
from orbiter.verify.audit import Audit, LabelledAnswer, answered, audit
from orbiter.verify.verifier import Verifier

quick = settings(deadline=None, max_examples=60)


class Lenient(Verifier):
    """Compares the first character only."""

    name, version = "lenient", "3"

    def verify(self, task, trajectory):
        if trajectory.answer == "":
            return Verdict.invalid("empty")
        same = trajectory.answer[0] == task.answer[0]
        return Verdict.passed() if same else Verdict.failed("first character")


def labelled(answer, correct, reference="42"):
    task = Task("e", "e:0", (Message("user", "?"),), answer=reference)
    return LabelledAnswer(task, answer, correct)


def test_audit_counts_every_cell():
    result = audit(
        Lenient(),
        [
            labelled("42", True),
            labelled("42", True),
            labelled(" 42", True),
            labelled("41", False),
            labelled("17", False),
            labelled("18", False),
            labelled("19", False),
            labelled("", False),
            labelled("", True),
        ],
        confidence=0.9,
    )
    assert (result.verifier, result.version, result.count) == ("lenient", "3", 9)
    assert (result.true_positives, result.false_negatives, result.invalid_right) == (2, 1, 1)
    assert (result.false_positives, result.true_negatives, result.invalid_wrong) == (1, 3, 1)
    assert result.tpr.value == pytest.approx(2 / 3)
    assert result.tpr.interval == clopper_pearson(2, 3, confidence=0.9)
    assert result.fpr.value == 0.25
    assert result.fpr.interval == clopper_pearson(1, 4, confidence=0.9)
    assert result.invalid_rate.value == pytest.approx(2 / 9)
    assert result.g.value == pytest.approx(8 / 3)
    assert [(d.labelled.answer, d.verdict.outcome) for d in result.disagreements] == [
        (" 42", Outcome.FAIL),
        ("41", Outcome.PASS),
    ]
    assert result.disagreements[0].verdict.verifier == "lenient"


def test_a_verifier_that_raises_is_invalid_and_the_audit_goes_on():
    result = audit(Lenient(), [labelled("4", True, reference=None), labelled("42", True)])
    assert (result.invalid_right, result.true_positives) == (1, 1)
    assert result.tpr.value == 1


def test_whole_trajectories_are_judged_as_they_are():
    task = labelled("42", True).task
    trajectory = answered(task, "42")
    assert audit(Lenient(), [LabelledAnswer(task, trajectory, True)]).true_positives == 1
    assert trajectory.score is None
    assert [m.role for m in trajectory.messages] == ["user", "assistant"]


def test_an_audit_of_nothing_knows_nothing():
    empty = audit(Lenient(), [])
    assert empty.tpr.value is empty.fpr.value is empty.invalid_rate.value is empty.g.value is None
    assert (empty.g.interval.low, empty.g.interval.high) == (0, math.inf)


def test_g_of_a_flawless_verifier_is_infinite_but_only_its_lower_bound_is_known():
    flawless = Audit(verifier="v", version="1", true_positives=100, true_negatives=100)
    half_error = (1 + 0.95) / 2
    expected = (
        clopper_pearson(100, 100, confidence=half_error).low
        / clopper_pearson(0, 100, confidence=half_error).high
    )
    assert flawless.g.value == math.inf
    assert flawless.g.interval.low == pytest.approx(expected)
    assert 20 < expected < 25
    assert flawless.g.interval.high == math.inf


counts = st.integers(0, 80)


@quick
@given(counts, counts, counts, counts)
def test_the_interval_of_g_holds_g(tp, fn, fp, tn):
    result = Audit(
        verifier="v",
        version="1",
        true_positives=tp,
        false_negatives=fn,
        false_positives=fp,
        true_negatives=tn,
    )
    if result.g.value is not None:
        assert result.g.value in result.g.interval
    assert result.g.interval.low < result.g.interval.high


def test_the_interval_of_g_covers_as_often_as_it_says():
    stream = random.Random(7)
    tpr, fpr, covered, trials = 0.9, 0.15, 0, 300
    for _ in range(trials):
        tp = sum(stream.random() < tpr for _ in range(40))
        fp = sum(stream.random() < fpr for _ in range(40))
        result = Audit(
            verifier="v",
            version="1",
            true_positives=tp,
            false_negatives=40 - tp,
            false_positives=fp,
            true_negatives=40 - fp,
            confidence=0.8,
        )
        covered += tpr / fpr in result.g.interval
    assert covered / trials >= 0.8


def test_summary_is_json_data_without_infinities():
    summary = Audit(verifier="v", version="1", true_positives=9, true_negatives=9).summary()
    assert summary["verifier"] == "v"
    assert (summary["true_positives"], summary["false_positives"]) == (9, 0)
    assert (summary["tpr"], summary["fpr"]) == (1, 0)
    assert summary["g"] is summary["g_high"] is None
    assert summary["g_low"] > 0
    assert all(v is None or isinstance(v, str) or math.isfinite(v) for v in summary.values())
