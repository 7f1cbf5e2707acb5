"""Where a final answer is stated; units after it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_math.statements import boxes, quotes_reference, statements, takes_back
from orbiter_math.units import Unit, split_unit


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\\boxed{1}", ["1"]),
        ("\\fbox{1}", ["1"]),
        ("\\boxed {1}", ["1"]),
        ("\\boxed 7", ["7"]),
        ("\\boxed{\\frac{1}{2}}", ["\\frac{1}{2}"]),
        ("\\boxed{1} and \\boxed{2}", ["1, 2"]),
        ("$\\boxed{1}$, $\\boxed{2}$ or $\\boxed{3}$", ["1, 2, 3"]),
        ("\\boxed{1} \\boxed{2}", ["1", "2"]),
        ("\\boxed{1} and then, later, \\boxed{2}", ["1", "2"]),
        ("\\boxed{1", []),
        ("#### 1", ["1"]),
        ("A: 1", ["1"]),
        ("1 A: 2", []),
        ("A: (1,2)\nB: (3,4)\nso \\boxed{5}", ["5"]),
        ("A: 4\n#### 5", ["4", "5"]),
        ("The answer is 1. Really.", ["1"]),
        ("The answers are 1 and 2.", ["1 and 2"]),
        ("Answer: 1", ["1"]),
        ("**Answer:** 1", ["1"]),
        ("The final answer is:\n\n1", ["1"]),
        ("The answer is 1.5. Really.", ["1.5"]),
        ("The answer is \\boxed{1}.", ["1", "1"]),
        ("no answer at all", []),
        ("", []),
    ],
)
def test_statements(text, found):
    assert [one.text for one in statements(text)] == found


def test_prose_is_told_from_what_is_marked():
    assert [one.prose for one in statements("The answer is 1.\n#### 1\n\\boxed{1}")] == [
        False,
        False,
        True,
    ]


def test_boxes_are_opened_in_the_text():
    assert boxes("so \\boxed{1}, and \\boxed{2}.") == ("so 1, and 2.", ["1, 2"])


def test_quotations():
    assert quotes_reference("The ground truth answer is 4")
    assert quotes_reference("reference_answer: 4")
    assert not quotes_reference("The answer is 4")


@given(st.text(alphabet="\\boxed{} A:#answer is 1\n", max_size=80))
def test_any_text_has_statements(text):
    assert all(isinstance(one.text, str) for one in statements(text))


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("5\\text{cm}", "5", Unit("length^1", "1/100")),
        ("5 cm", "5", Unit("length^1", "1/100")),
        ("5cm", "5", Unit("length^1", "1/100")),
        ("5\\text{cm}^2", "5", Unit("length^2", "1/10000")),
        ("5\\text{square cm}", "5", Unit("length^2", "1/10000")),
        ("5 hours", "5", Unit("time^1", "3600")),
        ("5 ml", "5", Unit("length^3", "1/1000000")),
        ("5 cubic cm", "5", Unit("length^3", "1/1000000")),
        ("5\\text{or more}", "5\\text{or more}", None),
        ("5 less than 6", "5 less than 6", None),
        ("10\\text{a.m.}", "10", Unit("morning^1", "1")),
        ("5\\text{apples}", "5", None),
        ("5 apples per day", "5", None),
        ("\\sqrt{2}\\text{m}", "\\sqrt{2}", Unit("length^1", "1")),
        ("5", "5", None),
        ("x", "x", None),
        ("5 or 6", "5 or 6", None),
        ("5 maybe", "5 maybe", None),
        ("3 pi", "3 pi", None),
        ("2 sin x", "2 sin x", None),
        ("2 xy", "2 xy", None),
        ("5x", "5x", None),
    ],
)
def test_units(text, value, unit):
    from fractions import Fraction

    expected = None if unit is None else Unit(unit.dimension, Fraction(unit.factor))
    assert split_unit(text) == (value, expected)


def test_a_letter_is_a_unit_only_where_there_are_no_symbols():
    assert split_unit("5 m")[0] == "5"
    assert split_unit("5 m", symbols=True) == ("5 m", None)


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 42. But 43 is possible.",
        r"\boxed{42} is not the answer; 43 is.",
        r"\boxed{42}. Alternatively 43.",
        r"\boxed{42} Wait, 43?",
        "#### 42\nActually it is 43",
        r"The answer isn't \boxed{42}",
        r"It cannot be \boxed{42}.",
        "I am not sure whether the answer is 42",
        "The answer is 42. 43 might be right.",
        r"\boxed{42} is wrong.",
        "The answer is 42. However, the answer could be 43.",
        "The answer is 42. The answer may also be 43.",
        r"\boxed{42}. It might be $43$ too.",
    ],
)
def test_an_answer_that_is_denied_or_doubted_is_taken_back(text):
    assert takes_back(text)


@pytest.mark.parametrize(
    "text",
    [
        "42",
        "The answer is 42.",
        "I first took 41, or maybe 43, but the answer is 42.",
        "It is not 41. The answer is 42.",
        "The answer is 42. Wait, 40 + 2 = 42 indeed.",
        "The answer is 42. Or 42 apples.",
        r"So $x \neq 3$ and the answer is \boxed{42}. Note that 40 + 2 = 42.",
        "I am not sure about 7.\nThe answer is 42.",
        "The answer could be 41 at first sight, but the answer is 42.",
        "The answer is 42. It could be 40 + 2 as well.",
    ],
)
def test_what_was_thought_before_and_checked_after_takes_nothing_back(text):
    assert not takes_back(text)
