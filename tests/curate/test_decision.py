import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.curate import ACCEPTED, Decision, Fate, Funnel
from orbiter.errors import ConfigError, OrbiterError
from orbiter.ledger.attempt import DECISIONS

decisions = st.lists(
    st.builds(Decision, st.sampled_from(Fate), st.sampled_from(["a", "b", "wrong answer"]))
)


def test_fates_are_the_decisions_of_the_ledger():
    assert tuple(str(fate) for fate in Fate) == tuple(
        sorted(DECISIONS, key=list(map(str, Fate)).index)
    )
    assert len(DECISIONS) == len(Fate)


def test_decision_takes_the_name_of_a_fate():
    assert Decision("truncated", "too long").decision is Fate.TRUNCATED


def test_decision_against_an_attempt_must_say_why():
    with pytest.raises(ConfigError, match="reason must be given when an attempt is rejected"):
        Decision(Fate.REJECTED)


def test_only_accepted_is_accepted():
    assert ACCEPTED.accepted
    assert not Decision(Fate.DUPLICATE, "same answer").accepted


@given(decisions)
def test_funnel_counts_every_decision_once(items):
    funnel = Funnel.of(items)
    assert funnel.conserved
    assert funnel.decided == len(items)
    for fate in Fate:
        assert funnel[fate] == sum(item.decision is fate for item in items)
        assert funnel[fate.value] == funnel[fate]


@given(decisions, decisions)
def test_sum_of_funnels_is_the_funnel_of_all(left, right):
    assert Funnel.of(left) + Funnel.of(right) == Funnel.of(left + right)


def test_lost_attempt_is_named_with_all_counts():
    funnel = Funnel.of([ACCEPTED, Decision(Fate.INVALID, "timeout")], generated=3)
    assert not funnel.conserved
    with pytest.raises(OrbiterError) as caught:
        funnel.check()
    assert str(caught.value) == (
        "generated must be the sum of all decisions, got 3 for accepted 1 + rejected 0 + invalid 1 + "
        "duplicate 0 + contaminated 0 + truncated 0 = 2"
    )


def test_conserved_funnel_passes_its_check():
    Funnel.of([ACCEPTED] * 3, generated=3).check()
