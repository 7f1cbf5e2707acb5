import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.records import Message, Outcome, Task, Trajectory
from orbiter.verify.exact import ExactVerifier

PASS, FAIL, INVALID = Outcome.PASS, Outcome.FAIL, Outcome.INVALID


@pytest.mark.parametrize(
    ("options", "reference", "text", "outcome"),
    [
        ({}, "abc", "abc", PASS),
        ({}, "abc", " abc\n", PASS),
        ({}, " abc ", "abc", PASS),
        ({}, "abc", "abcd", FAIL),
        ({}, "abc", "ABC", FAIL),
        ({}, "a b", "a  b", FAIL),
        ({}, "abc", "", FAIL),
        ({}, "abc", "<think>abc</think>abc", PASS),
        ({}, "abc", "<think>abc", FAIL),
        ({"strip": False}, "abc", "abc ", FAIL),
        ({"strip": False}, "abc ", "abc ", PASS),
        ({"case": False}, "STRASSE", "straße", PASS),
        ({"whitespace": False}, "a b", "a \n b", PASS),
        ({"whitespace": False}, "ab", "a b", FAIL),
        ({"whitespace": False, "strip": False}, "a b", " a b", FAIL),
        ({"whitespace": False, "strip": False}, " a b", "\n\na b", PASS),
        ({}, ["yes", "yep"], "yep", PASS),
        ({}, ["yes", "yep"], "no", FAIL),
        ({}, None, "None", INVALID),
        ({}, "", "", INVALID),
        ({}, "  ", "", INVALID),
        ({}, "\u200b", "\u200b", INVALID),
        ({"strip": False}, "\n", "\n", PASS),
        ({}, [], "x", INVALID),
        ({}, ["x", None], "x", INVALID),
        ({}, 42, "42", INVALID),
        ({}, {"a": 1}, "a", INVALID),
    ],
)
def test_outcome(judged, options, reference, text, outcome):
    assert judged(ExactVerifier(**options), reference, text).outcome is outcome


def test_reasons(judged):
    assert judged(ExactVerifier(), "a", "b").reason == "wrong answer"
    assert judged(ExactVerifier(), "a", "<think>").reason == "no answer"
    assert judged(ExactVerifier(), None, "b").reason == "task has no reference text"


@given(st.text(min_size=1), st.booleans(), st.booleans())
def test_normalising_twice_changes_nothing(text, case, whitespace):
    verifier = ExactVerifier(case=case, whitespace=whitespace)
    assert verifier.normalise(verifier.normalise(text)) == verifier.normalise(text)


def test_what_a_trajectory_claims_is_not_read():
    task = Task("e", "e:1", (Message("user", "q"),), answer="a")
    messages = (*task.messages, Message("assistant", "b"))
    claim = {"score": 1.0, "answer": "b", "success": True}
    trajectory = Trajectory(messages, "e", "e:1", 1.0, metadata=claim, extra=claim)
    assert ExactVerifier().verify(task, trajectory).outcome is FAIL


def test_version_tells_options_apart():
    versions = {
        ExactVerifier(strip=a, case=b, whitespace=c).version
        for a in (True, False)
        for b in (True, False)
        for c in (True, False)
    }
    assert len(versions) == 8
    assert ExactVerifier().version == "1"
