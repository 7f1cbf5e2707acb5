"""Each name of the plugin keeps its contract, and a planted bad one does not."""

import functools

import pytest
from orbiter_math.gsm8k import Gsm8kVerifier

from orbiter.plugin import registry
from orbiter.records import Message, Task, Verdict
from orbiter.testing import check_verifier
from orbiter.verify.audit import LabelledAnswer

TASK = Task("gsm8k", "gsm8k:1", (Message("user", "q"),), answer="6 * 7 = <<6*7=42>>42\n#### 42")
RIGHT = ["A: 42", "6 * 7 = 42\n#### 42", "so \\boxed{42}", "The answer is 42."]
WRONG = ["A: 41", "A: 42 or 41", "#### 42\n#### 41", "\\boxed{}", ""]
LABELLED = [LabelledAnswer(TASK, answer, True) for answer in RIGHT]
LABELLED += [LabelledAnswer(TASK, answer, False) for answer in WRONG]

CHECKS = {
    ("verifier", "gsm8k"): lambda: check_verifier(
        functools.partial(registry().create, "verifier", "gsm8k"), LABELLED
    ),
}


@pytest.mark.parametrize("name", CHECKS, ids="-".join)
def test_a_name_keeps_its_contract(name):
    CHECKS[name]()


def test_every_name_is_checked():
    assert {(e.kind, e.name) for e in registry().entries() if e.owner == "math"} == set(CHECKS)


class HopefulVerifier(Gsm8kVerifier):
    """Passes an answer that says the right number anywhere."""

    def verify(self, task, trajectory):
        return Verdict.passed() if "42" in trajectory.answer else super().verify(task, trajectory)


def test_a_planted_bad_one_fails():
    with pytest.raises(AssertionError, match=r"breaks 'wrong answers do not pass': 'A: 42 or 41'"):
        check_verifier(HopefulVerifier, LABELLED)
