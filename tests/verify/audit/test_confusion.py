import pytest

from orbiter.errors import ConfigError
from orbiter.records import Message, Task, Verdict
from orbiter.verify.audit import Confusion, LabelledAnswer, tally

TASK = Task("e", "e:0", (Message("user", "?"),), answer="42")


def test_families_are_counted_apart_and_add_up():
    items = [
        LabelledAnswer(TASK, "42", True, "gold"),
        LabelledAnswer(TASK, "", False, "empty"),
        LabelledAnswer(TASK, "42 ", True, "gold"),
        LabelledAnswer(TASK, " ", False, "empty"),
        LabelledAnswer(TASK, "?", False, "odd"),
    ]
    verdicts = [
        *(Verdict.passed(), Verdict.passed(), Verdict.failed()),
        *(Verdict.invalid("tired"), Verdict.failed()),
    ]
    found = tally(items, verdicts, verifier="v", version="1", confidence=0.9)
    assert list(found.families) == ["gold", "empty", "odd"]
    assert found.families["gold"] == Confusion(true_positives=1, false_negatives=1, confidence=0.9)
    assert found.families["empty"] == Confusion(false_positives=1, invalid_wrong=1, confidence=0.9)
    for cell, count in found.counts.items():
        assert count == sum(family.counts[cell] for family in found.families.values())
    assert [d.labelled.answer for d in found.disagreements] == ["", "42 "]
    assert found.reasons == {"tired": 1}
    assert (found.right, found.wrong, found.count) == (2, 2, 5)


def test_reasons_come_with_the_commonest_first():
    items = [LabelledAnswer(TASK, "", False)] * 5
    reasons = ["b", "a", "b", "c", "b"]
    found = tally(items, [Verdict.invalid(r) for r in reasons], verifier="v", version="1")
    assert next(iter(found.reasons.items())) == ("b", 3)
    assert found.fpr.value is None
    assert found.invalid_rate.value == 1


def test_fnr_is_the_rest_of_tpr():
    found = Confusion(true_positives=7, false_negatives=3)
    assert found.fnr.value == pytest.approx(1 - found.tpr.value)
    assert found.fnr.interval.low == pytest.approx(1 - found.tpr.interval.high)
    assert found.fnr.interval.high == pytest.approx(1 - found.tpr.interval.low)


def test_verdicts_must_be_as_many_as_answers():
    with pytest.raises(ConfigError, match="verdicts must be as many as answers, 1, got 0"):
        tally([LabelledAnswer(TASK, "", False)], [], verifier="v", version="1")
