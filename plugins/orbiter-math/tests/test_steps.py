"""The step verifier: which lines are steps, whether they hold, and what their scores become."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_math.step_verifier import StepVerifier
from orbiter_math.steps import steps

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task, Trajectory
from orbiter.verify.answer import answered
from orbiter.verify.process import Process
from orbiter.verify.verifier import judge

TASK = Task("sums", "sums:1", (Message("user", "q"),))


def verdict_on(text, **options):
    return judge(StepVerifier(**options), TASK, answered(TASK, text))


def scores(text):
    return [step.score for step in steps(text)]


HOLDS = [
    "<<16-3-4=9>>",
    "She has 16 - 3 - 4 = <<16-3-4=9>>9 eggs.",
    "5 x 3 = 15",
    "5 × 3 = 15 apples",
    "She makes 9 * 2 = $18 a day",
    "$9 * 2 = $18",
    "1,000 * 2 = 2,000",
    "y = 2*3 = 6",
    "2 + 2 = 4, and 4 / 8 = 0.5",
    "10 / 3 = 3.33",
    "20 / 3 = 6.67",
    "20 / 3 = 6.66",
    "<<11/18*162=99.00000000000001>>",
    "<<80/26.666666666666668=3>>",
    "5 * 20% = 1",
    "18 / 450 * 100 = 4%",
    "1 1/2 + 1/2 = 2",
    "2^3 = 8",
    "2 * (3 + 4) = 14",
    "-3 + 5 = 2",
    "7 = 3 + 4",
    "4 + 4 = 8 = 2 * 4",
    "$\\frac{1}{2} + \\frac13 = \\frac{5}{6}$",
    "\\[ 3 \\times 4 = 12 \\]",
    "so \\(2 \\cdot 21 = 42\\).",
    "5\u22123=2",
]
FAILS = [
    "<<16-3-4=8>>",
    "She has 16 - 3 - 4 = <<16-3-4=9>>8 eggs.",
    "5 x 3 = 16",
    "10 / 3 = 3",
    "10 / 3 = 3.34",
    "2 + 2 = 5 = 4 + 1",
    "2 + 2 = 4 = 5",
    "<<1/0=3>>",
    "$\\frac{1}{2} + \\frac13 = \\frac{2}{5}$",
    "1,000 * 2 = 2,001",
    "2 + 2 = 4, and 4 / 8 = 2",
    "4 = 2 + 3",
]
NO_STEPS = [
    "",
    "She has 9 eggs.",
    "x + 4 = 7",
    "2x = 10",
    "7 = 3 + x",
    "half of 10 + 4 = 9",
    "apples + 4 - 1 = 7",
    "x * 4 / 2 = 7",
    "3 apples + 4 = 7",
    "1 hour = 60 minutes",
    "10 = 5",
    "a = b",
    "f(2) = 4",
    "<<>>",
    "<<=>>",
    "<<x=3>>",
    "<<1+1>>",
    "10 - 4 of them = 3",
    "3 times 4 + 1 = 13 more",
    "<<9^9^9^9>> = 4",
]


@pytest.mark.parametrize("line", HOLDS)
def test_a_line_that_holds(line):
    assert scores(line) == [1.0]


@pytest.mark.parametrize("line", FAILS)
def test_a_line_that_does_not(line):
    (step,) = steps(line)
    assert step.score < 1
    assert step.wrong


@pytest.mark.parametrize("line", NO_STEPS)
def test_a_line_that_claims_no_arithmetic(line):
    assert steps(line) == []


def test_a_score_is_the_share_of_equations_that_hold():
    (step,) = steps("1 + 1 = 2 and then 2 + 2 = 5")
    assert step.score == 0.5
    assert step.wrong == ("2 + 2 = 5",)


@pytest.mark.parametrize(
    "line", ["<<9^9^9^9=4>>", "<<99999!=4>>", "<<" + "1+" * 150 + "1=4>>", "<<2^99999=4>>"]
)
def test_what_is_too_large_is_unknown(line):
    assert scores(line) == [None]
    verdict = verdict_on(f"1 + 1 = 2\n{line}")
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "a step cannot be computed")
    assert verdict.details["steps"] == [1.0, None]


def test_steps_are_in_the_details_and_aggregated():
    text = "1 + 1 = 2\nand so on\n2 + 2 = 5 but 2 + 3 = 5\n3 + 3 = 7 but 3 + 4 = 7"
    verdict = verdict_on(text)
    assert verdict.details == {"steps": [1.0, 0.5, 0.5], "wrong": ["2 + 2 = 5", "3 + 3 = 7"]}
    assert (verdict.outcome, verdict.reason, verdict.score) == (Outcome.FAIL, "wrong step", 0.25)
    assert verdict_on(text, aggregate="min").score == 0.5
    assert verdict_on(text, aggregate="min", threshold=0.5).outcome is Outcome.PASS


@pytest.mark.parametrize("aggregate", ["product", "min"])
def test_another_verifier_may_judge_by_the_steps(aggregate):
    text = "1 + 1 = 2\n2 + 2 = 5 but 2 + 3 = 5\n3 + 3 = 7 but 3 + 4 = 7"
    process = Process(StepVerifier(threshold=0.1), aggregate=aggregate)
    verdict = judge(process, TASK, answered(TASK, text))
    assert verdict.score == verdict_on(text, aggregate=aggregate).score
    assert verdict.outcome is Outcome.FAIL


def test_right_steps_pass():
    verdict = verdict_on("1 + 1 = 2\n<<2*3=6>>")
    assert (verdict.outcome, verdict.score, verdict.step_scores) == (Outcome.PASS, 1.0, (1.0,))


@pytest.mark.parametrize(
    ("text", "outcome", "reason"),
    [
        ("I just know it.", Outcome.INVALID, "no arithmetic to check"),
        ("", Outcome.FAIL, "no answer"),
        ("1+1=2\n" * 20_000, Outcome.FAIL, "solution is too long"),
        ("1+1=2\n" * 1_001, Outcome.FAIL, "solution has too many equations"),
        ("1+1=2\n" * 1_000, Outcome.PASS, ""),
    ],
    ids=range(5),
)
def test_nothing_to_check(text, outcome, reason):
    verdict = verdict_on(text)
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


def test_each_turn_after_the_prompt_has_a_score():
    shown = (Message("user", "1 + 1?"), Message("assistant", "1 + 1 = 3"), Message("user", "q"))
    task = Task("sums", "sums:2", shown)
    said = (
        Message("assistant", "1 + 1 = 2"),
        Message("user", "go on"),
        Message("assistant", "well"),
        Message("user", "go on"),
        Message("assistant", "2 + 2 = 5"),
    )
    trajectory = Trajectory((*shown, *said), "sums", "sums:2", None)
    verdict = judge(StepVerifier(), task, trajectory)
    assert verdict.step_scores == (1.0, None, 0.0)
    assert verdict.details["steps"] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregate": "mean"}, "aggregate must be"),
        ({"threshold": 0}, "threshold must be"),
        ({"threshold": 1.5}, "threshold must be"),
        ({"threshold": True}, "threshold must be"),
        ({"threshold": "1"}, "threshold must be"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        StepVerifier(**options)


NUMBERS = st.integers(0, 10**6)
SIGNS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


@given(NUMBERS, NUMBERS, st.sampled_from(sorted(SIGNS)), st.integers(-3, 3))
def test_a_stated_sum_holds_exactly_when_it_is_right(a, b, sign, off):
    value = SIGNS[sign](a, b)
    for form in ("{} {} {} = {}", "<<{}{}{}={}>>"):
        assert scores(form.format(a, sign, b, value + off)) == [float(off == 0)]


@given(NUMBERS, st.integers(1, 10**4), st.integers(1, 6))
def test_a_quotient_may_be_rounded_to_the_places_shown(a, b, places):
    exact = Fraction(a, b)
    shown = f"{float(round(exact, places)):.{places}f}"
    assert scores(f"{a} / {b} = {shown}") == [1.0]


@given(st.text(alphabet="0123456789 +-*/=()<>.x$%\\{}frac\n", max_size=80))
def test_any_text_has_steps(text):
    for step in steps(text):
        assert step.score is None or 0 <= step.score <= 1
