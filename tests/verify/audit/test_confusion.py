import random

import attrs
import pytest

from orbiter.errors import ConfigError
from orbiter.intervals import clopper_pearson, effective_size
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


def answers(*, tasks, each, correct):
    return [
        LabelledAnswer(attrs.evolve(TASK, task_id=f"e:{n}"), "42", correct)
        for n in range(tasks)
        for _ in range(each)
    ]


def test_several_answers_to_a_task_are_worth_what_the_tasks_say():
    items = answers(tasks=30, each=4, correct=False)
    alike = [Verdict.passed() if n < 6 else Verdict.failed() for n in range(30) for _ in range(4)]
    plain, by_task = (
        tally(items, alike, verifier="v", version="1", by_task=by_task) for by_task in (False, True)
    )
    assert plain.fpr.value == by_task.fpr.value == 0.2
    assert plain.effective_wrong is None
    assert by_task.effective_wrong == effective_size([(4, 4)] * 6 + [(0, 4)] * 24) < 31
    expected = clopper_pearson(24, 120, effective=by_task.effective_wrong)
    assert by_task.fpr.interval == expected
    assert by_task.fpr.interval.width > 1.8 * plain.fpr.interval.width
    assert by_task.families["labelled"] == Confusion(
        **by_task.counts, effective_wrong=by_task.effective_wrong
    )
    assert by_task.effective_right is None


def test_one_answer_to_a_task_is_worth_itself_and_invalid_ones_nothing():
    items = answers(tasks=10, each=1, correct=True) * 2
    verdicts = [Verdict.passed()] * 10 + [Verdict.invalid("tired")] * 10
    assert tally(items, verdicts, verifier="v", version="1", by_task=True).effective_right is None


def test_rates_of_clustered_answers_are_recovered_at_nominal_coverage():
    """A quarter of the tasks is hard to judge: there the verifier passes half of the wrong answers, elsewhere none."""
    items = answers(tasks=60, each=4, correct=False)
    covered = naive = 0
    for seed in range(300):
        stream = random.Random(seed)
        rates = [0.5 if stream.random() < 0.25 else 0.0 for _ in range(60)]
        verdicts = [
            Verdict.passed() if stream.random() < rate else Verdict.failed()
            for rate in rates
            for _ in range(4)
        ]
        found, plain = (
            tally(items, verdicts, verifier="v", version="1", by_task=by_task)
            for by_task in (True, False)
        )
        covered += 0.125 in found.fpr.interval
        naive += 0.125 in plain.fpr.interval
    assert covered / 300 >= 0.93
    assert naive / 300 < 0.92


def test_verdicts_must_be_as_many_as_answers():
    with pytest.raises(ConfigError, match="verdicts must be as many as answers, 1, got 0"):
        tally([LabelledAnswer(TASK, "", False)], [], verifier="v", version="1")
