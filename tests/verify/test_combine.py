import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.errors import ConfigError, UnknownNameError
from orbiter.records import Message, Outcome, Task, Trajectory, Verdict
from orbiter.verify.combine import AllOf, AnyOf, Cascade, Gate, Majority, Weighted
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
    for cls in (AllOf, AnyOf, Cascade, Majority):
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


# --- the algebra of pass, fail and invalid

OUTCOMES = (PASS, FAIL, INVALID)
COMBINED = {
    "all_of": AllOf,
    "any_of": AnyOf,
    "majority": Majority,
    "cascade": Cascade,
    "weighted": lambda parts: Weighted(parts, weights=[1] * len(parts), threshold=0.5),
    "gate": lambda parts: Gate(parts[0], AllOf(parts[1:] or parts[:1])),
    "nested": lambda parts: AnyOf([AllOf(parts), Gate(parts[-1], parts[0]), Majority(parts)]),
}


def outcome_of(name, outcomes):
    return judge(COMBINED[name]([Says(one) for one in outcomes]), TASK, TRAJECTORY).outcome


def completions(outcomes):
    """Yield what the outcomes may be once the unknown ones are known."""
    return itertools.product(*((PASS, FAIL) if one is INVALID else (one,) for one in outcomes))


@pytest.mark.parametrize("name", COMBINED)
def test_no_unknown_is_decided_and_nothing_known_is_taken_back(name):
    for count in (1, 2, 3, 4):
        for outcomes in itertools.product(OUTCOMES, repeat=count):
            said = outcome_of(name, outcomes)
            if said is INVALID:
                continue
            known = list(completions(outcomes))
            if name == "cascade":  # sound verifiers never contradict each other
                known = [one for one in known if len({*one}) == 1]
            assert {outcome_of(name, one) for one in known} <= {said}, (outcomes, said)


@pytest.mark.parametrize("name", ["all_of", "any_of"])
def test_what_is_certain_is_said(name):
    for outcomes in itertools.product(OUTCOMES, repeat=3):
        possible = {outcome_of(name, one) for one in completions(outcomes)}
        assert outcome_of(name, outcomes) is (possible.pop() if len(possible) == 1 else INVALID)


@pytest.mark.parametrize("name", COMBINED)
def test_the_unknown_alone_stay_unknown(name):
    assert outcome_of(name, [INVALID] * 3) is INVALID


@pytest.mark.parametrize("name", COMBINED)
def test_those_who_agree_are_believed(name):
    assert outcome_of(name, [PASS] * 3) is PASS
    assert outcome_of(name, [FAIL] * 3) is FAIL


@given(
    st.sampled_from(sorted(COMBINED)),
    st.lists(
        st.sampled_from(OUTCOMES).flatmap(
            lambda outcome: st.builds(
                Says, st.just(outcome), st.none() if outcome is INVALID else st.floats(0, 1)
            )
        ),
        min_size=1,
        max_size=5,
    ),
)
def test_scores_lie_between_those_of_the_parts(name, parts):
    verdict = judge(COMBINED[name](parts), TASK, TRAJECTORY)
    scores = [part.verdict.score for part in parts if part.verdict.score is not None]
    if verdict.outcome is INVALID:
        assert verdict.score is None
        assert INVALID in {part.verdict.outcome for part in parts} or name in ("majority", "nested")
    elif name in ("all_of", "any_of", "cascade", "weighted"):
        assert min(scores) - 1e-9 <= verdict.score <= max(scores) + 1e-9


@given(st.permutations([PASS, PASS, FAIL, INVALID, FAIL]), st.integers(1, 5))
def test_the_order_of_the_parts_does_not_matter(outcomes, count):
    outcomes = outcomes[:count]
    for name in ("all_of", "any_of", "majority", "weighted"):
        assert outcome_of(name, outcomes) is outcome_of(name, sorted(outcomes))


@pytest.mark.parametrize(
    ("gate", "behind", "outcome", "score", "reason", "asked"),
    [
        (Says(PASS, 0.3), Says(PASS, 0.9), PASS, 0.9, "says: said pass", 1),
        (Says(PASS, 0.3), Says(FAIL, 0.2), FAIL, 0.2, "says: said fail", 1),
        (Says(PASS), Says(INVALID), INVALID, None, "says: said invalid", 1),
        (Says(FAIL, 0.8, name="form"), Says(PASS), FAIL, 0.0, "form: said fail", 0),
        (Says(INVALID, name="form"), Says(FAIL), INVALID, None, "form: said invalid", 0),
    ],
)
def test_a_gate(gate, behind, outcome, score, reason, asked):
    verdict = Gate(gate, behind).verify(TASK, TRAJECTORY)
    assert (verdict.outcome, verdict.score, verdict.reason) == (outcome, score, reason)
    assert behind.asked == asked
    assert len(verdict.details["verdicts"]) == 1 + asked


def test_format_gates_correctness():
    gate = Gate("format", {"name": "section", "verifier": "exact"})
    for text, outcome in (
        ("<think>6*7</think><answer>42</answer>", PASS),
        ("<think>6*7</think><answer>41</answer>", FAIL),
        ("42", FAIL),
    ):
        trajectory = Trajectory((*TASK.messages, Message("assistant", text)), "e", "e:1", None)
        assert gate.verify(TASK, trajectory).outcome is outcome
    assert gate.version == "1;gate=format@2;verifier=section@1;verifier=exact@1"


def test_a_cascade_stops_at_the_first_that_can_tell():
    parts = [Says(INVALID), Says(FAIL, 0.4, name="b"), Says(PASS)]
    verdict = Cascade(parts).verify(TASK, TRAJECTORY)
    assert (verdict.outcome, verdict.score, verdict.reason) == (FAIL, 0.4, "b: said fail")
    assert [part.asked for part in parts] == [1, 1, 0]
    verdict = Cascade([Says(INVALID), Says(INVALID, name="b")]).verify(TASK, TRAJECTORY)
    assert (verdict.outcome, verdict.reason) == (INVALID, "b: said invalid")


@pytest.mark.parametrize(
    ("outcomes", "outcome", "score"),
    [
        ([PASS, PASS, FAIL], PASS, 2 / 3),
        ([PASS, FAIL, FAIL], FAIL, 1 / 3),
        ([PASS, FAIL], INVALID, None),
        ([PASS, PASS, FAIL, FAIL], INVALID, None),
        ([PASS, PASS, INVALID], PASS, 1.0),
        ([PASS, INVALID, INVALID], INVALID, None),
        ([PASS, PASS, INVALID, INVALID], INVALID, None),
        ([FAIL, FAIL, PASS, INVALID, FAIL], FAIL, 0.25),
        ([FAIL], FAIL, 0.0),
    ],
)
def test_a_majority(outcomes, outcome, score):
    verdict = combined(Majority, outcomes)
    assert (verdict.outcome, verdict.score) == (outcome, score)


def test_a_tie_is_named():
    assert combined(Majority, [PASS, FAIL]).reason == "no majority: 1 pass, 1 fail of 2"
