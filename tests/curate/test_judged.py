import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import judged_pairs, voted
from orbiter.errors import ConfigError
from orbiter.records import Message, Trajectory, Verdict
from orbiter.verify.judges import Preference

FIRST = Preference(preferred="first", log_odds=1.5, probability=0.8)
SECOND = Preference(preferred="second", log_odds=-2.0, probability=0.1)
PASS, FAIL, INVALID = Verdict.passed(), Verdict.failed("wrong"), Verdict.invalid("timeout")


def test_preferred_answer_is_chosen_with_the_judges_log_odds(attempt):
    good, bad = attempt("2", verdict=PASS, round=3), attempt("3", verdict=FAIL, round=4)
    found = judged_pairs([(good, bad, FIRST), (bad, good, SECOND)])
    assert [(p.chosen[0].text, p.rejected[0].text, p.margin) for p in found.pairs] == [
        ("2", "3", 1.5),
        ("2", "3", 2.0),
    ]
    assert found.pairs[0].metadata == {
        "chosen_id": good.id,
        "rejected_id": bad.id,
        "reason": "wrong",
        "round": 3,
        "unit": "log_odds",
    }
    assert found.left_out == Counter()


def test_abstaining_and_ties_give_no_pair(attempt):
    rows = attempt("2", verdict=PASS), attempt("3", verdict=FAIL)
    torn = Preference(reason="abstain: orders disagree")
    found = judged_pairs([(*rows, torn), (*rows, Preference(preferred="tie"))])
    assert found.pairs == ()
    assert found.left_out == {"abstain: orders disagree": 1, "tie": 1}


def test_decided_without_the_model_is_a_pair_of_unknown_margin(attempt):
    rows = attempt("2", verdict=PASS), attempt("", verdict=FAIL)
    (pair,) = judged_pairs([(*rows, Preference(preferred="first", reason="no answer"))]).pairs
    assert pair.margin is None


verdicts = st.sampled_from([None, PASS, FAIL, INVALID])


@given(verdicts, verdicts, st.booleans(), st.sampled_from([FIRST, SECOND]))
def test_a_judge_never_overrules_the_verifier(one, other, gate, preference):
    def row(answer, verdict):
        messages = (Message("user", "1+1"), Message("assistant", answer))
        return Trajectory(messages, "sums", "sums:0", None, verdict=verdict)

    found = judged_pairs([(row("2", one), row("3", other), preference)], gate=gate)
    chosen, rejected = (one, other) if preference is FIRST else (other, one)
    if gate:
        allowed = chosen == PASS and rejected == FAIL
    else:
        allowed = INVALID not in (chosen, rejected)
        allowed &= not (chosen == FAIL and rejected != FAIL)
        allowed &= not (rejected == PASS and chosen != PASS)
    assert len(found.pairs) == allowed
    assert sum(found.left_out.values()) == 1 - allowed


def test_what_is_left_out_is_counted_by_reason(attempt):
    good = attempt("2", verdict=PASS)
    others = [
        attempt("3"),
        attempt("3", verdict=INVALID),
        attempt("3", verdict=FAIL, finish_reason="length"),
        attempt(verdict=FAIL),
        attempt("3", verdict=PASS),
        attempt(" 2", verdict=FAIL),
    ]
    found = judged_pairs([(good, other, FIRST) for other in others])
    assert found.left_out == {
        "no verdict": 1,
        "invalid: timeout": 1,
        "cut off by the bound on tokens": 1,
        "no answer": 1,
        "gate: chosen must pass and rejected must fail": 1,
        "same answer": 1,
    }


def test_answers_to_different_prompts_are_not_compared(attempt):
    other = attempt("3", verdict=FAIL, prompt="2+2")
    with pytest.raises(ConfigError, match="answers of a comparison must have one prompt"):
        judged_pairs([(attempt("2", verdict=PASS), other, FIRST)])


def test_votes_are_a_preference(attempt):
    found = voted(1, 4)
    assert (found.preferred, found.log_odds) == ("second", pytest.approx(math.log(1.5 / 4.5)))
    assert found.probability == pytest.approx(0.25)
    assert voted(2, 2).preferred == "tie"
    rows = attempt("3", verdict=FAIL), attempt("2", verdict=PASS)
    (pair,) = judged_pairs([(*rows, found)]).pairs
    assert pair.margin == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    ("votes", "message"),
    [((0, 0), "votes must be cast, got none"), ((-1, 2), "first must be an integer >= 0, got -1")],
)
def test_votes_must_be_cast(votes, message):
    with pytest.raises(ConfigError, match=message):
        voted(*votes)
