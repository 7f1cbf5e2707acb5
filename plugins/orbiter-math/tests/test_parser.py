"""The tree of an answer: shapes, bounds, and what is refused."""

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_math.cursor import MAX_DEPTH
from orbiter_math.exact import exact
from orbiter_math.latex import clean
from orbiter_math.parser import parse
from orbiter_math.tokens import MAX_DIGITS, MAX_LENGTH, MAX_TOKENS
from orbiter_math.tree import (
    Apply,
    Based,
    BoundError,
    Group,
    Relation,
    Symbol,
    UnreadableError,
    UnsupportedError,
    Words,
)


def value(text):
    return exact(parse(clean(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1+2*3", 7),
        ("(1+2)*3", 9),
        ("2^3^2", 512),
        ("-2^2", -4),
        ("(-2)^2", 4),
        ("2^{-1}", Fraction(1, 2)),
        ("1/2/2", Fraction(1, 4)),
        ("1/2*4", 2),
        ("8/-2", -4),
        ("--5", 5),
        ("3!", 6),
        ("2\\frac{1}{2}", Fraction(5, 2)),
        ("2 1/2", Fraction(5, 2)),
        ("-2\\frac{1}{2}", Fraction(-5, 2)),
        ("2\\frac{3}{2}", 3),
        ("2(\\frac{1}{2})", 1),
        ("4(10)", 40),
        ("(-2) 3", -6),
        ("\\sqrt{4} 3", 6),
        ("2\\cdot\\frac{1}{2}", 1),
        ("0.1\\overline{6}", Fraction(1, 6)),
        ("0.\\overline{9}", 1),
        ("2.5e3", 2500),
        ("50%", Fraction(1, 2)),
        ("|{-3}|", 3),
        ("|2-|{-3}||", 1),
        ("\\lfloor -2.5 \\rfloor", -3),
        ("\\lceil -2.5 \\rceil", -2),
        ("\\binom{5}{2}", 10),
        ("\\sqrt{\\frac{4}{9}}", Fraction(2, 3)),
        ("\\sqrt[3]{-8}", -2),
        ("8^{2/3}", 4),
        ("\\sqrt{2}", None),
        ("\\pi", None),
        ("1{,}000+1", 1001),
    ],
)
def test_values(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "kind", "size"),
    [
        ("1,2", "list", 2),
        ("1, 2, and 3", "list", 3),
        ("1 or 2", "list", 2),
        ("1;2", "list", 2),
        ("\\pm 1", "list", 2),
        ("\\{1\\pm\\sqrt{5},-2\\}", "set", 3),
        ("\\{\\}", "set", 0),
        ("(1,2)", "()", 2),
        ("[1,2)", "[)", 2),
        ("(1,2]", "(]", 2),
        ("\\langle 1,2,3\\rangle", "()", 3),
        ("(-\\infty,1)\\cup[2,3]", "union", 2),
        ("\\mathbb{R}\\setminus\\{1\\}", "without", 2),
        ("1:2:3", "ratio", 3),
        ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "matrix", 2),
    ],
)
def test_groups(text, kind, size):
    tree = parse(clean(text))
    assert isinstance(tree, Group)
    assert (tree.kind, len(tree.items)) == (kind, size)


def test_other_shapes():
    assert parse("x_{12}") == Symbol("x_12")
    assert parse("f'") == Symbol("f'")
    assert parse("\\text{not prime}") == Words("not prime")
    assert parse("1011_2") == Based("1011", 2)
    assert parse("1<x<=2").signs == ("<", "<=")
    assert isinstance(parse("y=2x+1"), Relation)
    assert parse("\\sin 2x\\cos x") == parse("\\sin(2x)*\\cos(x)")
    assert parse("\\sin^{-1}x") == Apply("arcsin", (Symbol("x"),))
    assert parse("\\sin^2 x") == parse("(\\sin x)^2")
    assert parse("xy") == parse("x*y")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4 2",
        "2 3/2",
        "2 1/x",
        "1/2 3",
        "\\frac{1}{2} 3",
        "50% 3",
        "4 \\text{b} 2",
        "+",
        "1+",
        "(1",
        "1)",
        "(1,2",
        "[1,2,3)",
        "\\frac{1}",
        "x=",
        "=1",
        "4^",
        "^2",
        "1 & 2",
        "a_",
    ],
)
def test_what_says_nothing_clear_is_refused(text):
    with pytest.raises(UnreadableError):
        parse(text)


@pytest.mark.parametrize("text", ["\\int x", "\\foo", "1+\\foo", "\\vec{x}", "f(1,2)", "A\\cap B"])
def test_an_unknown_command_may_be_known_elsewhere(text):
    with pytest.raises(UnsupportedError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1),
        "1+" * MAX_TOKENS + "1",
        "1" * (MAX_DIGITS + 1),
        "-" * (MAX_DEPTH + 2) + "1",
        "x" + "^x" * (MAX_DEPTH + 1),
        " " * MAX_LENGTH + "1",
        "1+" * 450 + "1",
        "1" * 500,
        "(" * 30 + "1" + ")" * 30,
    ],
    ids=range(9),
)
def test_what_is_too_large_is_refused(text):
    with pytest.raises(BoundError):
        parse(text)


def test_just_within_the_bounds_it_is_read():
    depth = MAX_DEPTH - 1
    assert value("(" * depth + "1" + ")" * depth) == 1


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**30))
def test_fractions_are_read_exactly(top, bottom):
    assert value(f"\\frac{{{top}}}{{{bottom}}}") == Fraction(top, bottom)
    assert value(f"{top}/{bottom}") == Fraction(top, bottom)


@given(st.text(alphabet="0123456789xyzei+-*/^_=<>()[]{}|,.:;!%\\ fracsqrtpi", max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(UnreadableError):
        parse(text)
