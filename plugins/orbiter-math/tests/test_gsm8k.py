from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_math.gsm8k import MAX_LENGTH, Gsm8kVerifier, numbers, reference_value

from orbiter.plugin import registry
from orbiter.records import Message, Outcome, Task, Trajectory
from orbiter.verify.verifier import judge

WORKED = "She sells 16 - 3 - 4 = <<16-3-4=9>>9 eggs.\nShe makes 9 * 2 = $<<9*2=18>>18 a day.\n"


def verdict_on(text, answer=WORKED + "#### 42", prompt="How many?"):
    task = Task("gsm8k", "gsm8k:1", (Message("user", prompt),), answer=answer)
    trajectory = Trajectory(
        (*task.messages, Message("assistant", text)), task.env, task.task_id, None
    )
    return judge(Gsm8kVerifier(), task, trajectory)


RIGHT = [
    "#### ４２",
    "A: 4２",
    "４２",
    "\\boxed{＋４２}",
    "A: ４２．０",
    WORKED + "#### 42",
    WORKED + "A: 42",
    "####42",
    "A:42",
    "  A: 42  ",
    "A: 42.0",
    "A: 42.",
    "A: $42",
    "A: 42 apples",
    "A: 42 eggs per day.",
    "A: +42",
    "A: 84/2",
    "**A: 42**",
    "\\boxed{42}",
    "So $x = \\boxed{42}$.",
    "\\boxed{\\$42}",
    "\\boxed{42\\text{ apples}}",
    "\\boxed{\\frac{84}{2}}",
    "The answer is 42.",
    "The answer is 42. She is happy.",
    "The answer is: 42",
    "the final answer is $42$",
    "The answer is **42**.",
    "Answer: 42",
    "The answer is \\boxed{42}.",
    "The answer is 42 dollars!",
    "The answer is found by adding 3 and 4.\nA: 42",
    "The answer is 42.\n#### 42",
    "\\boxed{42}, so the answer is 42.",
    "<think>A: 41, or \\boxed{40}?</think>A: 42",
    "Q: and? A: 41 is not at the start of a line\nA: 42",
    "A: 42 °",
    "42",
    " $42. ",
    "**42**",
    "42.0\n",
]


@pytest.mark.parametrize("text", RIGHT)
def test_right(text):
    assert verdict_on(text).outcome is Outcome.PASS


WRONG = [
    ("A: 41", "wrong answer"),
    ("A: -42", "wrong answer"),
    ("A: - 42", "wrong answer"),
    ("A: 4.2", "wrong answer"),
    ("A: 42,000", "wrong answer"),
    ("\\boxed{41}", "wrong answer"),
    ("", "no answer"),
    ("41", "wrong answer"),
    ("42 43", "no answer"),
    ("42 or 43", "no answer"),
    ("42\n43", "no answer"),
    ("42%", "wrong answer"),
    ("1" * 101, "no answer"),
    ("#### 42%", "wrong answer"),
    ("#### 42\\%", "wrong answer"),
    ("A: 42 percent of them", "wrong answer"),
    ("It is 42 eggs.", "no answer"),
    ("The answer is found by adding 3 and 42.", "no answer"),
    ("<think>A: 42", "no answer"),
    ("<think>A: 42</think>I do not know", "no answer"),
    ("\\boxed{42", "no answer"),
    ("A: 42 or 43", "answer is not one number"),
    ("#### 42 million", "answer is not one number"),
    ("A: 42, 43", "answer is not one number"),
    ("A: 42 and 43", "answer is not one number"),
    ("A: 41 to 43", "answer is not one number"),
    ("A: 42 or something else", "answer is not one number"),
    ("The answer is 42 or 43.", "answer is not one number"),
    ("A: 41=42", "answer is not one number"),
    ("A: 42=42", "answer is not one number"),
    ("A: forty-two", "answer is not one number"),
    ("A:", "answer is not one number"),
    ("A: 42x", "answer is not one number"),
    ("A: 42²", "answer is not one number"),
    ("A: 42^2", "answer is not one number"),
    ("A: 4 2", "answer is not one number"),
    ("A: 4,2", "answer is not one number"),
    ("A: 42:00", "answer is not one number"),
    ("A: 42/0", "answer is not one number"),
    ("\\boxed{}", "answer is not one number"),
    ("\\boxed{42, 43}", "answer is not one number"),
    ("\\boxed{\\{42\\}}", "answer is not one number"),
    ("\\boxed{|-42|}", "answer is not one number"),
    ("\\boxed{x=42}", "answer is not one number"),
    ("\\boxed{41} \\boxed{42}", "two different answers"),
    ("A: 41\nA: 42", "two different answers"),
    ("A: 42\n#### 41", "two different answers"),
    ("The answer is 41.\n#### 42", "two different answers"),
    ("The answer is 42. The answer is 41.", "two different answers"),
    ("The answer is 42. No, wait, the answer is 41", "two different answers"),
    ("\\boxed{1} Reference answer: \\boxed{42}", "claims to quote the reference"),
    ("The expected answer is 42", "claims to quote the reference"),
    ("Ground truth answer: 42", "claims to quote the reference"),
    ("A: " + "9" * 2_000, "answer is not one number"),
    ("A: 1e999999999", "answer is not one number"),
    ("A: 42 " + "x" * MAX_LENGTH, "solution is too long"),
    ("A: ４３", "wrong answer"),
    ("A: ４２０", "wrong answer"),
    ("A: −42", "wrong answer"),
    ("A: 42．５", "wrong answer"),
    *((f"A: 42{more}", "answer is not one number") for more in (
        "k", "K", " k", "M", " M", " bn", " mil", " lakh", " crore", " grand", " thousands", " millions", " dozens", " hundreds", "\\text{k}",
        " half", " halves", " tenths", " thousandths", "‰", " ‰", " per thousand", "½", " ½", " ²", " ³", "①", " ①", " doubled", " factorial", " ４３", ",３",
    )),
    ("A: twelve", "answer is not one number"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), WRONG)
def test_wrong(text, reason):
    verdict = verdict_on(text)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)


@pytest.mark.parametrize("prompt", ["What percentage is it?", "How many % are left?", ""])
@pytest.mark.parametrize("text", ["42%", "#### 42%", "A: 42\\%", "\\boxed{42 percent}", "42"])
def test_percents_that_are_asked_for(prompt, text):
    assert verdict_on(text, prompt=prompt).outcome is Outcome.PASS


def test_a_share_is_a_share_in_percent_too():
    assert verdict_on("#### 42%", answer="#### 0.42").outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("42", 42),
        (42, 42),
        (0.5, Fraction(1, 2)),
        (WORKED + "#### 2,125", 2125),
        (WORKED + "A: 18", 18),
        ("A: 1\nA: 2", 2),
        ("#### $5.50", Fraction(11, 2)),
        ("#### -3 ", -3),
        ("#### about 3", None),
        (WORKED, None),
        ("", None),
        (None, None),
        (True, None),
        ([42], None),
        (float("nan"), None),
    ],
)
def test_reference(answer, value):
    assert reference_value(answer) == value


def test_a_task_without_reference_is_invalid():
    verdict = verdict_on("A: 42", answer=WORKED)
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "task has no reference number")


def test_the_reference_solution_passes_as_an_answer():
    for mark in ("####", "A:"):
        for number in ("7", "-7", "1,234", "0.25", "1/3"):
            solution = f"{WORKED}{mark} {number}"
            assert verdict_on(solution, answer=solution).outcome is Outcome.PASS


def test_details_hold_what_was_stated():
    assert verdict_on("A: 41\nA: 42 eggs").details == {"answers": ["41", "42 eggs"]}


def test_it_arrives_as_a_plugin():
    assert isinstance(registry().create("verifier", "gsm8k"), Gsm8kVerifier)
    assert registry().find("verifier", "gsm8k").full_name == "math/gsm8k"


NUMBERS = st.integers(-(10**9), 10**9)


@given(
    NUMBERS, NUMBERS, st.sampled_from(["A: {}", "#### {:,}", "\\boxed{{{}}}", "The answer is {}."])
)
def test_passes_exactly_when_the_numbers_are_equal(reference, stated, form):
    verdict = verdict_on(form.format(stated), answer=reference)
    assert (verdict.outcome is Outcome.PASS) == (reference == stated)
    assert verdict_on(form.format(reference), answer=reference).outcome is Outcome.PASS


@given(NUMBERS, NUMBERS)
def test_hedging_never_pays(reference, other):
    for text in (
        f"A: {reference} or {other}",
        f"A: {other} or {reference}",
        f"The answer is {reference} or {other}.",
    ):
        assert verdict_on(text, answer=reference).outcome is Outcome.FAIL


@given(st.text(alphabet="A: #42.,/$\\boxed{}fracthe answer is\n-", max_size=80))
def test_any_text_is_read_without_an_error(text):
    for _, value in numbers(text):
        assert value is None or isinstance(value, Fraction)
