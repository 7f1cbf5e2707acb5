import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import ConfigError
from orbiter.intervals import clopper_pearson
from orbiter.records import Message, Outcome, Task, Verdict
from orbiter.tasks.environment import Environment
from orbiter.tasks.sorting import Sorting
from orbiter.verify.audit import (
    Audit,
    LabelledAnswer,
    answered,
    audit,
    corruptions,
    labelled_answers,
    reference_label,
    self_audit,
)
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.verifier import Verifier

quick = settings(deadline=None, max_examples=60)


class Doubling(Environment):
    name = "doubling"

    def task(self, index, *, seed):
        return self.make_task(index, f"double {10 + index}", answer=str(2 * (10 + index)))


class AnySum(Environment):
    """Two numbers that add up to the target: many answers are right."""

    name = "any_sum"
    chars = "0123456789+"

    def task(self, index, *, seed):
        return self.make_task(index, f"a sum of {20 + index}", target=20 + index)

    def demonstrate(self, task):
        return f"1+{task.metadata['target'] - 1}"


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


# --- answers that the environment labels itself ---


def test_self_audit_of_a_right_verifier_finds_no_error():
    result = self_audit(Sorting(), ExactVerifier(), count=200, seed=0)
    assert (result.true_positives, result.false_negatives) == (200, 0)
    assert result.false_positives == 0
    assert result.true_negatives >= 390
    assert result.disagreements == ()
    assert result.g.interval.low > 30


def test_self_audit_finds_a_lenient_verifier():
    result = self_audit(Sorting(), Lenient(), count=200, seed=0)
    assert result.tpr.value == 1
    assert result.fpr.interval.low > 0.4
    assert result.g.interval.high < 2.5
    assert len(result.disagreements) == result.false_positives > 100


def test_labelled_answers_are_the_same_for_the_same_seed_only():
    assert labelled_answers(Doubling(), count=20, seed=1) == labelled_answers(
        Doubling(), count=20, seed=1
    )
    assert labelled_answers(Doubling(), count=20, seed=1) != labelled_answers(
        Doubling(), count=20, seed=2
    )


def test_wrong_labels_are_wrong():
    for item in labelled_answers(Doubling(), count=80, seed=3):
        assert (item.answer == item.task.answer) == item.correct
        if not item.correct and item.answer.strip().isdigit():
            assert int(item.answer) != int(item.task.answer)


def test_where_many_answers_are_right_the_false_positive_rate_stays_unknown():
    result = self_audit(AnySum(), ExactVerifier(), count=20, seed=0)
    assert result.count == 20
    assert result.fpr.value is None
    assert result.g.value is None


def test_a_reference_that_is_not_what_is_demonstrated_labels_nothing_as_wrong():
    class Worded(Doubling):
        def demonstrate(self, task):
            return f"It is {task.answer}."

    assert [a.correct for a in labelled_answers(Worded(), count=5, seed=0)] == [True] * 5


def test_a_labeller_of_ones_own_can_tell():
    def adds_up(task, answer):
        parts = answer.split("+")
        if not all(p.isdigit() for p in parts):
            return False
        return sum(map(int, parts)) == task.metadata["target"]

    found = labelled_answers(AnySum(), count=30, seed=0, is_right=adds_up)
    assert sum(not item.correct for item in found) > 40
    for item in found:
        assert adds_up(item.task, item.answer) == item.correct


def test_a_finite_environment_gives_all_it_has():
    class Few(Doubling):
        size = 3

    assert sum(a.correct for a in labelled_answers(Few(), count=100, seed=0)) == 3


def test_an_environment_without_demonstrations_cannot_be_audited_with():
    class Mute(Doubling):
        def demonstrate(self, task):
            return None

    with pytest.raises(ConfigError, match="environment 'doubling' must demonstrate right answers"):
        self_audit(Mute(), ExactVerifier(), count=5, seed=0)
    with pytest.raises(ConfigError, match="count must be an integer >= 1, got 0"):
        self_audit(Doubling(), ExactVerifier(), count=0, seed=0)


@pytest.mark.parametrize(
    ("reference", "answer", "label"),
    [
        ("42", "42", True),
        ("42", "43", False),
        ("42", " 42\n", None),
        ("42", "042", None),
        ("1,000", "1000.0", None),
        ("Yes", "yes", None),
        ("Yes", "No", False),
        ("so 6 * 7 #### 42", "so 6 * 8 #### 42", None),
        ("42", "1e999999999", False),
    ],
)
def test_the_reference_labels_only_what_it_can(reference, answer, label):
    class One(Environment):
        name = "one"

        def task(self, index, *, seed):
            return self.make_task(index, "?", answer=reference)

    environment = One()
    assert reference_label(environment)(environment.task(0, seed=0), answer) is label


@quick
@given(st.text(max_size=8), st.integers(0, 99), st.none() | st.just("ab"))
def test_corruptions_are_one_edit_away(answer, seed, chars):
    for text in corruptions(answer, random.Random(seed), chars=chars):
        assert text != answer
        assert abs(len(text) - len(answer)) <= 1
        allowed = set(chars or answer or "?") | set(answer)
        if any(c.isdigit() for c in answer):
            allowed |= set("0123456789")
        assert set(text) <= allowed
