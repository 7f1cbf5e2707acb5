"""Each name of the plugin keeps its contract, and a planted bad one does not."""

import functools

import pytest
from orbiter_math.gsm8k import Gsm8kVerifier

from orbiter.plugin import registry
from orbiter.records import Message, Task, Verdict
from orbiter.testing import check_verifier
from orbiter.verify.answer import answered
from orbiter.verify.audit import LabelledAnswer
from orbiter.verify.verifier import judge


def labelled(answer, right, wrong):
    task = Task("math", "math:1", (Message("user", "q"),), answer=answer)
    return [LabelledAnswer(task, text, text in right) for text in (*right, *wrong)]


NUMBERS = labelled(
    "6 * 7 = <<6*7=42>>42\n#### 42",
    ["A: 42", "6 * 7 = 42\n#### 42", "so \\boxed{42}", "The answer is 42."],
    ["A: 41", "A: 42 or 41", "#### 42\n#### 41", "\\boxed{}", ""],
)
MATHS = labelled(
    "\\frac{\\sqrt{2}}{2}",
    ["\\boxed{\\frac{1}{\\sqrt2}}", "The answer is $\\sqrt{2}/2$.", "\\sqrt{\\frac12}"],
    ["\\boxed{\\frac{2}{\\sqrt{2}}}", "\\boxed{1} or \\boxed{\\frac{\\sqrt2}{2}}", "none", ""],
)
CHOICES = labelled(
    "B",
    ["\\boxed{B}", "The answer is (B).", "#### B", "B"],
    ["\\boxed{C}", "The answer is B or C.", "A", ""],
)
STEPS = labelled(
    None,
    ["6 * 7 = <<6*7=42>>42", "2 + 2 = 4\n4 / 8 = 0.5"],
    ["6 * 7 = <<6*7=41>>41", "2 + 2 = 4\n4 + 4 = 9", ""],
)
LABELLED = {"gsm8k": NUMBERS, "math": MATHS, "choice": CHOICES, "steps": STEPS}


@pytest.mark.parametrize("name", LABELLED)
def test_a_name_keeps_its_contract(name):
    check_verifier(functools.partial(registry().create, "verifier", name), LABELLED[name])


WORKED = "6 * 200 = <<6*200=1200>>1200\n#### 1200"


@pytest.mark.parametrize(
    ("name", "answer", "among"),
    [
        ("gsm8k", WORKED, "6 * 200 = <<6*200=1200>>1200\n#### 1,200"),
        ("gsm8k", "1/3", "#### 12/36"),
        ("math", "1/3", r"It is $\boxed{12/36}$."),
        ("math", r"so \boxed{\frac{1}{3}}", r"It is $\boxed{\frac{１}{３}}$."),
        ("math", r"\sqrt{2}", r"It is $\boxed{ \sqrt{2}\, }$."),
    ],
)
def test_writings_are_of_many_kinds_and_all_pass(name, answer, among):
    verifier = registry().create("verifier", name)
    task = Task("math", "math:1", (Message("user", "q"),), answer=answer)
    written = verifier.writings(answer)
    assert among in written
    failed = [t for t in written if not judge(verifier, task, answered(task, t)).score]
    assert failed == []
    assert registry().create("verifier", name).writings("none at all, or 3") == []


def test_every_name_is_checked():
    assert {e.name for e in registry().entries() if e.owner == "math"} == set(LABELLED)


class HopefulVerifier(Gsm8kVerifier):
    """Passes an answer that says the right number anywhere."""

    def verify(self, task, trajectory):
        return Verdict.passed() if "42" in trajectory.answer else super().verify(task, trajectory)


def test_a_planted_bad_one_fails():
    with pytest.raises(AssertionError, match=r"breaks 'wrong answers do not pass': 'A: 42 or 41'"):
        check_verifier(HopefulVerifier, NUMBERS)
