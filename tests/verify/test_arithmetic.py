from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orbiter.verify.arithmetic import (
    ExpressionError,
    Number,
    Operation,
    evaluate,
    numbers,
    parse,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (" 1 + 2*3 ", 7),
        ("(1+2)*3", 9),
        ("8-3-2", 3),
        ("8/4/2", 1),
        ("8-(3-2)", 7),
        ("1/3+1/6", Fraction(1, 2)),
        ("8/(3-8/3)", 24),
        ("2*(3+(4-1))", 12),
        ("3 × 4 ÷ 2 − 1", 5),
        ("((((5))))", 5),
    ],
)
def test_value(text, value):
    assert evaluate(parse(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "1+",
        "+1",
        "-1",
        "1 2",
        "(1",
        "1)",
        "()",
        "2(3)",
        "1//2",
        "2**3",
        "1.5",
        "1,000",
        "x",
        "1+x",
        "２",
        "__import__('os')",
        "1;2",
        "1=1",
        "1_0",
        "0x1",
        "1e3",
        "1\x00",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ExpressionError, match="answer is not an expression"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1+" * 200 + "1", "expression is too long"),
        ("(" * 150 + "1" + ")" * 150, "expression is too deeply nested"),
        ("(" * 41, "expression is too deeply nested"),
        ("1" * 21, "number is too long"),
    ],
)
def test_bounds(text, reason):
    with pytest.raises(ExpressionError, match=reason):
        parse(text)


def test_the_longest_and_deepest_that_is_allowed():
    assert evaluate(parse("1+" * 199 + "1")) == 200
    assert evaluate(parse("(" * 40 + "1" + ")" * 40)) == 1
    assert evaluate(parse("+".join(["(1)"] * 60))) == 60


def test_division_by_zero():
    with pytest.raises(ExpressionError, match="division by zero"):
        evaluate(parse("1/(2-2)"))


def test_numbers_stand_in_their_order():
    assert list(numbers(parse("3*(1+4)-1/5"))) == [3, 1, 4, 1, 5]


def test_tree():
    assert parse("1+2*3") == Operation("+", Number(1), Operation("*", Number(2), Number(3)))


TREES = st.recursive(
    st.integers(0, 99).map(Number),
    lambda inner: st.builds(Operation, st.sampled_from("+-*/"), inner, inner),
    max_leaves=12,
)


def written(tree):
    if isinstance(tree, Number):
        return str(tree.value)
    return f"({written(tree.left)}{tree.sign}{written(tree.right)})"


@given(TREES)
def test_every_tree_comes_back(tree):
    assert parse(written(tree)) == tree


@given(st.text(alphabet="0123456789+-*/() x", max_size=60))
def test_agrees_with_python(text):
    """Where both read a text, they read it alike."""
    try:
        value = evaluate(parse(text))
    except ExpressionError:
        return
    exact = "".join(f"F({p})" if p.isdigit() else p for p in split_digits(text))
    assert value == eval(exact, {"F": Fraction})


def split_digits(text):
    import re

    return [str(int(p)) if p.isdigit() else p for p in re.findall(r"\d+|\D", text) if p != " "]
