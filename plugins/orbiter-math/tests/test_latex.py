"""One spelling: what is cleaned away, and what never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orbiter_math.latex import clean, squeezed


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  42. ", "42"),
        ("$42$", "42"),
        ("\\(42\\)", "42"),
        ("\\[42\\]", "42"),
        ("**42**", "42"),
        ("４２", "42"),
        ("٤٢", "42"),
        (".5", ".5"),
        ("1{,}000", "1000"),
        ("1\\,000", "1000"),
        ("14 {, }916", "14916"),
        ("1,000", "1,000"),
        ("1, 000", "1, 000"),
        ("\\dfrac12", "\\frac{1}{2}"),
        ("\\tfrac{1}{2}", "\\frac{1}{2}"),
        ("½", "\\frac{1}{2}"),
        ("\\sqrt2", "\\sqrt{2}"),
        ("√12", "\\sqrt{12}"),
        ("4²", "4^2"),
        ("4¹²", "4^{12}"),
        ("4²3", "4^{2}3"),
        ("e⁻²ˣ", "e^{-2x}"),
        ("xⁿ⁺¹", "x^{n+1}"),
        ("x₁", "x_1"),
        ("1011₂", "1011_2"),
        ("a₁₂²", "a_{12}^2"),
        ("90º", "90o"),
        ("\u22127", "-7"),
        ("6π", "6\\pi"),
        ("\\left[1,2\\right)", "[1,2)"),
        ("x \\leq 3", "x <= 3"),
        ("x ≤ 3", "x <= 3"),
        ("2\\times 3", "2* 3"),
        ("\\$5.50", "5.50\\text{dollars}"),
        ("€5", "5"),
        ("25 percent", "25%"),
        ("25\\text{ percent}", "25%"),
        ("5\\text{ m}", "5\\text{m}"),
        ("2\\mathrm{i}", "2 i"),
        ("\\text{(A)}", "(A)"),
        ("\\text{42}", "42"),
        ("\\textbf{Evelyn}", "\\text{Evelyn}"),
        ("\\{1,2\\}", "\\{1,2\\}"),
        ("\\begin{pmatrix}1\\\\[2pt]2\\end{pmatrix}", "\\begin{pmatrix}1\\\\[2pt]2\\end{pmatrix}"),
        ("3!", "3!"),
        ("", ""),
    ],
)
def test_clean(text, cleaned):
    assert clean(text) == cleaned


def test_squeezed_keeps_spaces_between_words_and_numbers():
    assert squeezed("x + 1") == squeezed("x+1")
    assert squeezed("4 2") != squeezed("42")
    assert squeezed("1. 5") != squeezed("1.5")


@given(st.text(alphabet="0123456789-+*/=xyz()[]", max_size=40))
def test_plain_mathematics_only_loses_white_space_at_the_ends(text):
    assert clean(text) == text.lstrip("*").rstrip("*").strip("*")


@given(st.text(max_size=60))
def test_any_text_is_cleaned(text):
    assert isinstance(clean(text), str)
