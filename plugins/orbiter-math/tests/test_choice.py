"""The verifier of multiple choice."""

import pytest
from orbiter_math.choice import ChoiceVerifier, letter

from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered
from orbiter.verify.verifier import judge


def verdict_on(text, reference="B", choices=None):
    metadata = {} if choices is None else {"choices": choices}
    task = Task("quiz", "quiz:1", (Message("user", "q"),), answer=reference, metadata=metadata)
    return judge(ChoiceVerifier(), task, answered(task, text))


RIGHT = [
    "B",
    "(B)",
    "B.",
    "b)",
    "B is correct.",
    "(B) is the correct answer",
    "Option B is right!",
    "A is too small and C too large.\nSo B is correct.",
    "**B is the best choice.**",
    "\\boxed{B}",
    "\\boxed{\\text{B}}",
    "\\boxed{\\textbf{(B)}}",
    "$\\boxed{(B)\\ 42}$",
    "\\boxed{B) red}",
    "#### B",
    "The answer is B.",
    "The answer is (B).",
    "The answer is (b)",
    "The answer is **B**.",
    "Answer: B",
    "**Answer:** (B) Paris",
    "The correct option is B.",
    "The best choice is (B), since A is too small.",
    "The answer is B because C is larger.",
    "The answer is option B.",
    "The answer is B: a dog and a cat",
    "A is wrong and C is wrong.\nThe answer is B.",
    "A: 1\nB: 2\nC: 3\nThe answer is B.",
    "<think>A or C. The answer is A.</think>The answer is B.",
    "\\boxed{B}, so the answer is B.",
    "Final Answer: the correct option is B",
    "The answer is hard to see.\nThe answer is B.",
    "<answer>B</answer>",
    "#### Step 1\nA is too small.\n### Final Answer\n(B)",
    "The answer is B. Actually, A is too small.",
    "Perhaps C. Wait, C is too large. The answer is B.",
    "The answer is B. Wait, let me check: it is B.",
    "#### B\nIt is not A) or C).",
]
WRONG = [
    ("C", "wrong answer"),
    ("C is correct.", "wrong answer"),
    ("The answer is B. Actually, it's C.", "takes its answer back"),
    ("\\boxed{B} Wait, no, the answer may be (C)!", "takes its answer back"),
    ("Answer: B\nSorry, C.", "takes its answer back"),
    ("The answer is B. Or perhaps option A", "takes its answer back"),
    ("B is incorrect.", "answer is not one choice"),
    ("B is not correct.", "answer is not one choice"),
    ("A or B is correct.", "answer is not one choice"),
    ("Neither A nor B is correct.", "answer is not one choice"),
    ("B is correct only if x > 0.", "answer is not one choice"),
    ("B is correct?", "answer is not one choice"),
    ("b is correct.", "answer is not one choice"),
    ("It is red.\nB is correct, and so is C.", "no answer"),
    ("C is correct.\nB is correct.", "two different answers"),
    ("B is correct.\n\\boxed{C}", "wrong answer"),
    ("\\boxed{A}", "wrong answer"),
    ("The answer is (D).", "wrong answer"),
    ("The answer is A, not B.", "wrong answer"),
    ("\\boxed{B or C}", "answer is not one choice"),
    ("\\boxed{B, C}", "answer is not one choice"),
    ("The answer is B, possibly C.", "answer is not one choice"),
    ("\\boxed{A/B}", "answer is not one choice"),
    ("\\boxed{(B) or (C)}", "answer is not one choice"),
    ("\\boxed{B and D}", "answer is not one choice"),
    ("The answer is B (red) or (C).", "answer is not one choice"),
    ("\\boxed{42}", "answer is not one choice"),
    ("\\boxed{}", "answer is not one choice"),
    ("\\boxed{ABCD}", "answer is not one choice"),
    ("The answer is a good one.", "answer is not one choice"),
    ("A good idea", "answer is not one choice"),
    ("\\boxed{b}", "answer is not one choice"),
    ("The answer is b.", "answer is not one choice"),
    ("\\boxed{A} \\boxed{B}", "two different answers"),
    ("The answer is A. No, the answer is B.\n#### B", "two different answers"),
    ("", "no answer"),
    ("I do not\nknow", "no answer"),
    ("<think>The answer is B.", "no answer"),
    ("The reference answer is B.", "claims to quote the reference"),
]


@pytest.mark.parametrize("text", RIGHT)
def test_right(text):
    verdict = verdict_on(text)
    assert (verdict.outcome, verdict.reason) == (Outcome.PASS, "")


@pytest.mark.parametrize(("text", "reason"), WRONG, ids=range(len(WRONG)))
def test_wrong(text, reason):
    verdict = verdict_on(text)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)


@pytest.mark.parametrize("reference", ["B", "b", "(B)", "B.", "B) Paris", "\\text{(B)}"])
def test_references(reference):
    assert verdict_on("\\boxed{B}", reference).outcome is Outcome.PASS
    assert verdict_on("\\boxed{C}", reference).outcome is Outcome.FAIL


@pytest.mark.parametrize("reference", [None, "", 1, "Paris", "A or B", ["B"]])
def test_a_task_without_reference_letter_is_invalid(reference):
    verdict = verdict_on("\\boxed{B}", reference)
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "task has no reference letter")


def test_the_text_of_an_option_chooses_it():
    cities = ["Rome", "Paris", "Oslo"]
    assert verdict_on("\\boxed{\\text{Paris}}", "B", cities).outcome is Outcome.PASS
    assert verdict_on("The answer is Paris.", "Paris", cities).outcome is Outcome.PASS
    assert verdict_on("The answer is Oslo.", "B", cities).outcome is Outcome.FAIL
    assert verdict_on("\\boxed{\\text{Paris}}", "B").outcome is Outcome.FAIL
    assert verdict_on("\\boxed{A}", "B", ["A", "A"]).outcome is Outcome.FAIL


@pytest.mark.parametrize("choice", "ABCDEJZ")
def test_every_letter_is_told_from_every_other(choice):
    for form in ("{}", "({})", "{}.", "({}) 42", "\\text{{{}}}"):
        assert letter(form.format(choice)) == choice


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("C", "pass"),
        ("(C)", "pass"),
        ("\\boxed{C}", "pass"),
        ("The answer is (C) D.", "pass"),
        ("B", "fail"),
        ("The answer is (B).", "fail"),
        ("#### D", "fail"),
        ("K", "fail"),
    ],
)
def test_a_letter_is_a_letter_where_the_options_are_letters_too(text, outcome):
    assert verdict_on(text, "C", ["A", "C", "D", "K"]).outcome == outcome


def test_a_letter_that_is_no_option_may_be_the_text_of_one():
    assert verdict_on("\\boxed{Y}", "B", ["X", "Y"]).outcome == "pass"
    assert verdict_on("\\boxed{X}", "B", ["X", "Y"]).reason == "wrong answer"
