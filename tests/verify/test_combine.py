import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import ConfigError, UnknownNameError
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.verify.combine import AllOf, AnyOf, Weighted
from orbiter.verify.exact import ExactVerifier
from orbiter.verify.verifier import Verifier, judge

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID
TASK = Task("e", "e:1", (Message("user", "q"),), answer="42")
TRAJECTORY = Trajectory((*TASK.messages, Message("assistant", "42")), "e", "e:1", None)


class Says(Verifier):
    """Says what it was told to, and counts how often it was asked."""

    def __init__(self, outcome, score=None, name="says"):
        self.name, self.asked = name, 0
        score = score if score is not None else {PASS: 1.0, FAIL: 0.0, INVALID: None}[outcome]
        self.verdict = Verdict(outcome, score, f"said {outcome.value}")

    def verify(self, task, trajectory):
        self.asked += 1
        return self.verdict


def combined(cls, outcomes, **options):
    return judge(cls([Says(outcome) for outcome in outcomes], **options), TASK, TRAJECTORY)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_truth_tables_of_every_combination(count):
    for outcomes in itertools.product((PASS, FAIL, INVALID), repeat=count):
        seen = set(outcomes)
        all_of = FAIL if FAIL in seen else INVALID if INVALID in seen else PASS
        any_of = PASS if PASS in seen else INVALID if INVALID in seen else FAIL
        weighted = INVALID if INVALID in seen else FAIL if FAIL in seen else PASS
        assert combined(AllOf, outcomes).outcome is all_of
        assert combined(AnyOf, outcomes).outcome is any_of
        assert combined(Weighted, outcomes, weights=[1] * count).outcome is weighted


def test_all_of_stops_at_the_first_failure():
    parts = [Says(PASS), Says(INVALID), Says(FAIL), Says(PASS)]
    AllOf(parts).verify(TASK, TRAJECTORY)
    assert [part.asked for part in parts] == [1, 1, 1, 0]


def test_any_of_stops_at_the_first_pass():
    parts = [Says(FAIL), Says(INVALID), Says(PASS), Says(PASS)]
    AnyOf(parts).verify(TASK, TRAJECTORY)
    assert [part.asked for part in parts] == [1, 1, 1, 0]


def test_reason_is_that_of_the_deciding_part():
    verdict = AllOf([Says(INVALID, name="a"), Says(FAIL, name="b")]).verify(TASK, TRAJECTORY)
    assert verdict.reason == "b: said fail"
    verdict = AnyOf([Says(FAIL, name="a"), Says(INVALID, name="b")]).verify(TASK, TRAJECTORY)
    assert verdict.reason == "b: said invalid"
    verdict = Weighted([Says(PASS), Says(FAIL, name="b")], weights=[1, 1]).verify(TASK, TRAJECTORY)
    assert verdict.reason == "b: said fail"


def test_scores_of_graded_verdicts():
    parts = [Says(PASS, 0.9), Says(PASS, 0.6)]
    assert AllOf(parts).verify(TASK, TRAJECTORY).score == 0.6
    assert AnyOf([Says(FAIL, 0.2), Says(FAIL, 0.4)]).verify(TASK, TRAJECTORY).score == 0.4
    verdict = Weighted(parts, weights=[1, 2], threshold=0.7).verify(TASK, TRAJECTORY)
    assert (verdict.outcome, verdict.score) == (PASS, pytest.approx(0.7))


def test_an_invalid_part_has_no_score():
    for cls, options in ((AllOf, {}), (AnyOf, {}), (Weighted, {"weights": [1, 1]})):
        verdict = cls([Says(INVALID), Says(INVALID)], **options).verify(TASK, TRAJECTORY)
        assert verdict.score is None


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 100)), min_size=1, max_size=6),
    st.floats(0.01, 1),
)
def test_weighted_is_the_mean(parts, threshold):
    scores, weights = zip(*parts)
    verifier = Weighted([Says(PASS, s) for s in scores], weights=weights, threshold=threshold)
    verdict = verifier.verify(TASK, TRAJECTORY)
    mean = sum(s * w for s, w in parts) / sum(weights)
    assert verdict.score == pytest.approx(mean)
    assert min(scores) - 1e-9 <= verdict.score <= max(scores) + 1e-9


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=8))
def test_all_that_pass_fully_reach_the_full_score(weights):
    verifier = Weighted([Says(PASS)] * len(weights), weights=weights)
    assert verifier.verify(TASK, TRAJECTORY).outcome is PASS


@given(st.floats(0.01, 1), st.lists(st.floats(0.001, 1000), min_size=1, max_size=8))
def test_a_mean_of_equal_scores_reaches_them(score, weights):
    verifier = Weighted([Says(PASS, score)] * len(weights), weights=weights, threshold=score)
    assert verifier.verify(TASK, TRAJECTORY).outcome is PASS


def test_a_part_that_raises_is_invalid():
    class Broken(Verifier):
        name = "broken"

        def verify(self, task, trajectory):
            raise ZeroDivisionError("oops")

    verdict = AllOf([Broken()]).verify(TASK, TRAJECTORY)
    assert verdict.outcome is INVALID
    assert verdict.reason == "broken: error: ZeroDivisionError: oops"


def test_details_hold_the_parts():
    verdict = AllOf([ExactVerifier(), Says(PASS)]).verify(TASK, TRAJECTORY)
    assert [part["verifier"] for part in verdict.details["verdicts"]] == ["exact", "says"]


def test_parts_may_be_named_as_in_a_recipe():
    verifier = AllOf(["exact", {"name": "regex", "pattern": r"\d+"}])
    assert verifier.verify(TASK, TRAJECTORY).outcome is PASS
    assert verifier.version == r"1;verifiers=[exact@1, regex@1;pattern='\\d+']"


def test_version_tells_weights_and_parts_apart():
    one = Weighted(["exact"], weights=[1]).version
    assert one != Weighted(["exact"], weights=[2]).version
    assert one != Weighted([{"name": "exact", "case": False}], weights=[1]).version


@pytest.mark.parametrize("given_parts", [[], (), "exact", None, 3])
def test_there_must_be_a_part(given_parts):
    for cls in (AllOf, AnyOf):
        with pytest.raises(ConfigError, match="verifiers must be a list of at least one verifier"):
            cls(given_parts)


def test_an_unknown_part_is_named():
    with pytest.raises(UnknownNameError, match="unknown verifier 'exakt'; did you mean 'exact'"):
        AllOf(["exakt"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": [1]}, "weights must be one per verifier, got 1 for 2 verifiers"),
        ({"weights": [1, 0]}, "weights must be finite numbers above 0, got [1, 0]"),
        ({"weights": [1, -1]}, "weights must be finite numbers above 0, got [1, -1]"),
        ({"weights": [1, float("inf")]}, "weights must be finite numbers above 0, got [1, inf]"),
        ({"weights": [1, "1"]}, "weights must be finite numbers above 0, got [1, '1']"),
        ({"weights": [1, 1], "threshold": 0}, "threshold must be a number in (0, 1], got 0"),
        ({"weights": [1, 1], "threshold": 1.1}, "threshold must be a number in (0, 1], got 1.1"),
        ({"weights": [1, 1], "threshold": True}, "threshold must be a number in (0, 1], got True"),
    ],
)
def test_options_of_weighted(options, message):
    with pytest.raises(ConfigError) as caught:
        Weighted(["exact", "exact"], **options)
    assert caught.value.message == message
