"""Exact values, values at points, and their comparison."""

from fractions import Fraction

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_math.comparison import Comparison
from orbiter_math.exact import exact, rounds_to
from orbiter_math.latex import clean
from orbiter_math.parser import parse
from orbiter_math.point import DIGITS, Point, context
from orbiter_math.tree import BoundError, UndefinedError


def tree(text):
    return parse(clean(text))


def equal(one, other):
    return Comparison().equal(tree(one), tree(other))


@pytest.mark.parametrize("text", ["1/0", "0^{-1}", "\\frac{1}{2-2}", "5/(1-1)"])
def test_there_is_no_such_number(text):
    with pytest.raises(UndefinedError):
        exact(tree(text))


@pytest.mark.parametrize(
    "text", ["2^{99999}", "9^{9^9}", "1001!", "\\binom{5000}{2}", "10^{-99999}", "3!!!!"]
)
def test_what_is_too_large_is_not_computed(text):
    with pytest.raises(BoundError):
        exact(tree(text))


@pytest.mark.parametrize(
    "text",
    [
        "e^{999}",
        "e^{200}e^{200}",
        "x^{9999}",
        "\\exp(\\exp(9))",
        "\\cosh 2000",
        "\\sin(10^{99}\\pi)",
    ],
)
def test_what_is_too_large_is_not_compared(text):
    with pytest.raises(BoundError):
        Point(0).value(tree(text))


@pytest.mark.parametrize(
    "text", ["\\ln 0", "\\infty-\\infty", "\\frac{\\pi}{x-x}", "(x-x)^{-1}", "(-2)!"]
)
def test_what_has_no_value_at_a_point(text):
    with pytest.raises(UndefinedError):
        Point(0).value(tree(text))


@pytest.mark.parametrize("text", ["1^{10^{100}}", "(-1)^{10^{100}}", "0^{10^{100}}"])
def test_powers_of_nothing_and_one_are_small(text):
    assert exact(tree(text)) in (0, 1)


@given(st.integers(0, 10**40), st.integers(2, 9))
def test_roots_are_exact_or_none(number, degree):
    root = exact(tree(f"\\sqrt[{degree}]{{{number}}}"))
    assert root is None or root**degree == number
    assert exact(tree(f"\\sqrt[{degree}]{{{number**degree}}}")) == number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\pi", lambda: mpmath.pi),
        ("e^2", lambda: mpmath.exp(2)),
        ("\\sqrt{2}+\\sqrt{3}", lambda: mpmath.sqrt(2) + mpmath.sqrt(3)),
        ("\\ln 7", lambda: mpmath.log(7)),
        ("\\log 7", lambda: mpmath.log10(7)),
        ("\\log_2 7", lambda: mpmath.log(7, 2)),
        ("\\sin 1", lambda: mpmath.sin(1)),
        ("\\sin 30^\\circ", lambda: mpmath.mpf(1) / 2),
        ("\\arctan 2", lambda: mpmath.atan(2)),
        ("\\sec 1", lambda: mpmath.sec(1)),
        ("\\sinh 1", lambda: mpmath.sinh(1)),
        ("e^{i}", lambda: mpmath.expj(1)),
        ("(-8)^{1/3}+\\pi", lambda: mpmath.pi - 2),
    ],
)
def test_inexact_values(text, expected):
    with mpmath.workdps(DIGITS):
        assert abs(Point(0).value(tree(text)) - expected()) < mpmath.mpf(10) ** -100


def test_a_point_is_the_same_for_ever_and_points_differ_in_sign():
    x = tree("x")
    values = [Point(index).value(x) for index in range(6)]
    assert values == [Point(index).value(x) for index in range(6)]
    assert values[0] > 0 > values[1]
    assert all(0.6 <= abs(value) <= 1.4 for value in values)


def test_another_context_does_not_change_the_precision():
    with mpmath.workdps(5):
        assert context().dps == DIGITS


SAME = [
    ("|xy|", "|x||y|"),
    ("\\frac{x^2-1}{x-1}", "x+1"),
    ("\\tan x", "\\frac{\\sin x}{\\cos x}"),
    ("e^{x+y}", "e^x e^y"),
    ("x^{300}", "(x^{150})^2"),
    ("\\sqrt[3]{x}", "x^{1/3}"),
    ("\\log_2 8", "3"),
    ("\\lfloor\\log_2 8\\rfloor", "3"),
    ("\\frac{\\pi}{2}", "90^\\circ"),
    ("-\\pi", "-3.14159265"),
    ("-\\pi", "-3.14159"),
]
DIFFERENT = [
    ("|x|", "x"),
    ("|xy|", "xy"),
    ("\\sqrt{x^2}", "x"),
    ("e^{100}+1", "e^{100}"),
    ("x^{300}", "x^{300}+1"),
    ("\\frac{\\pi}{2}", "90"),
    ("x", "X"),
    ("x_1", "x_2"),
    ("2^{200}\\pi", "2^{200}\\pi+1"),
    ("\\infty", "-\\infty"),
    ("\\pi", "\\frac{355}{113}"),
    ("-\\pi", "3.14159265"),
    ("\\pi", "-3.14159265"),
    ("\\sqrt{2}", "\\frac{665857}{470832}"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_function_in_two_forms(one, other):
    assert equal(one, other)
    assert equal(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_functions_that_are_nearly_one(one, other):
    assert not equal(one, other)
    assert not equal(other, one)


@pytest.mark.parametrize(
    ("value", "stated", "right"),
    [
        (Fraction(2, 3), "0.666667", True),
        (Fraction(2, 3), "0.666666", True),
        (Fraction(2, 3), "0.666668", False),
        (Fraction(2, 3), "0.666665", False),
        (Fraction(-2, 3), "-0.666667", True),
        (Fraction(-2, 3), "0.666667", False),
        (Fraction(2, 3), "0.67", False),
        (Fraction(2, 3), "1", False),
    ],
)
def test_decimals_that_a_value_is_rounded_or_cut_to(value, stated, right):
    assert rounds_to(value, tree(stated), digits=6) == right


ATOMS = st.sampled_from(["x", "y", "2", "3", "\\pi", "\\frac{1}{2}"])
TREES = st.recursive(
    ATOMS,
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
        lambda parts: f"({parts[0]}{parts[1]}{parts[2]})"
    ),
    max_leaves=6,
)


@given(TREES, TREES)
def test_equality_is_symmetric_and_survives_a_rewriting(one, other):
    assert equal(one, other) == equal(other, one)
    assert equal(f"({one})*({other})", f"({other})*({one})")
    assert equal(f"({one})+({other})-({other})", one)
    assert not equal(f"{one}+1", one)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8), st.randoms())
def test_lists_are_compared_in_any_order_with_their_counts(values, stream):
    shuffled = list(values)
    stream.shuffle(shuffled)
    joined = ",".join(map(str, values))
    assert equal(joined, ", ".join(map(str, shuffled)))
    assert not equal(joined, ", ".join(map(str, [*shuffled, 51])))
    assert not equal(joined, ", ".join(map(str, [*shuffled[1:], 51])))
