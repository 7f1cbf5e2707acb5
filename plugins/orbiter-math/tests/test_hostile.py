"""Answers that are made to burn time or memory, or to slip through: each is decided within a second, on any thread, and none passes."""

import threading
import time

import pytest
from orbiter_math import symbolic
from orbiter_math.choice import ChoiceVerifier
from orbiter_math.gsm8k import Gsm8kVerifier
from orbiter_math.math_verifier import MathVerifier
from orbiter_math.statements import MAX_LENGTH
from orbiter_math.step_verifier import StepVerifier

from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered
from orbiter.verify.verifier import judge

N = 20_000

HOSTILE = {
    "tower": "9^{9^{9^{9^{9}}}}",
    "plain tower": "9^9^9^9^9^9",
    "tower of tens": "10^{10^{10}}",
    "tower under a root": "\\sqrt{10^{10^{10}}}",
    "tower as an exponent of a symbol": "x^{9^{9^{9}}}",
    "huge power": "(1+x)^{200000}",
    "huge power of a number": "7^{999999999}",
    "huge negative power": "2^{-99999999}",
    "huge power of nearly one": "1.0000001^{99999999999}",
    "huge root": "\\sqrt[99999999]{2}",
    "power of powers": "((((((9^9)^9)^9)^9)^9)^9)",
    "factorial": "10000000!",
    "factorial of a factorial": "9!!!!",
    "factorials in a row": "3" + "!" * 300,
    "many factorials": "+".join(["999!"] * 90),
    "product of factorials": "*".join(["1000!"] * 70),
    "binomial": "\\binom{99999999}{49999999}",
    "nested binomials": "\\binom{\\binom{50}{25}}{3}",
    "quotient of factorials": "\\frac{1000000!}{999998!}",
    "parentheses": "(" * 3_000 + "42" + ")" * 3_000,
    "some parentheses": "(" * 400 + "42" + ")" * 400,
    "open parentheses": "(" * 900,
    "braces": "{" * 450 + "42" + "}" * 450,
    "nested fractions": "\\frac{1}{" * 400 + "2" + "}" * 400,
    "some nested fractions": "\\frac{1}{1+" * 40 + "2" + "}" * 40,
    "nested roots": "\\sqrt{1+" * 100 + "2" + "}" * 100,
    "twenty nested roots": "\\sqrt{2+" * 20 + "2" + "}" * 20,
    "signs": "-" * 991 + "42",
    "plus and minus": "\\pm 1" * 100,
    "French brackets": "]1," * 300,
    "one open French bracket": "=[" + "+," * 480,
    "events": "P(" * 190 + "|" + ")" * 190,
    "forms of one value": " or ".join(["\\sqrt{2}"] * 60),
    "bars": "|" * 900 + "42" + "|" * 90,
    "set": "\\{" + ",".join(map(str, range(N))) + "\\}",
    "set of a hundred": "\\{" + ",".join(f"\\sqrt{{{n}}}" for n in range(100)) + "\\}",
    "tuple": "(" + ",".join(["1"] * N) + ")",
    "list of roots": ",".join(f"\\sqrt{n}" for n in range(2, 9)) + "," + ",".join(["\\pi"] * 180),
    "matrix": "\\begin{pmatrix}" + "&".join(["1"] * 150) + "\\end{pmatrix}",
    "ratio": ":".join(["1"] * 190),
    "chain of equations": "=".join(["x"] * 190) + "=42=43",
    "chain of inequalities": "<".join(map(str, range(190))),
    "union": "\\cup".join(f"({n},{n + 1})" for n in range(60)),
    "trigonometry": "+".join(f"\\sin({n}x)" for n in range(60)),
    "trigonometric product": "".join(f"\\cos({n}x)" for n in range(1, 60)),
    "nested trigonometry": "\\sin(" * 20 + "x" + ")" * 20,
    "nested exponentials": "e^{" * 15 + "10" + "}" * 15,
    "exponentials": "\\exp(" * 12 + "9" + ")" * 12,
    "logarithms": "\\ln(" * 20 + "42" + ")" * 20,
    "hyperbolic": "\\sinh(\\sinh(\\sinh(99)))",
    "large argument": "\\sin(10^{99})",
    "tangent at a pole": "\\tan(\\frac{\\pi}{2})",
    "integral": "\\int_0^1 \\int_0^1 e^{x^2 y^2 \\sin(xy)} dx dy",
    "integral of a tower": "\\int_0^{\\infty} x^{x^{x^{x}}} \\, dx",
    "sum": "\\sum_{n=1}^{10^{12}} \\frac{1}{n^n}",
    "product": "\\prod_{k=1}^{10^9} (1+k!)",
    "limit": "\\lim_{x \\to 0} \\frac{\\sin(\\sin(\\sin x))}{x^{99}}",
    "derivative": "\\frac{d}{dx} x^{x^{x^{x}}}",
    "determinant": "\\det\\begin{pmatrix}" + "\\\\".join(["a&b&c&d&e"] * 5) + "\\end{pmatrix}",
    "operator": "\\operatorname{eye}(99999)",
    "gcd": "\\gcd(10^{99}!, 7^{99}!)",
    "modulo": "9^{9^9} \\bmod 7",
    "digits": "4" + "2" * 40_000,
    "some digits": "4" * 900,
    "decimals": "42." + "0" * 900 + "1",
    "exponent": "42e999999999",
    "small exponent": "4.2e999",
    "letters": "x" * 900,
    "symbols": "+".join(f"x_{{{n}}}" for n in range(60)),
    "subscripts": "x_{x_{x_{x_{x}}}}",
    "unclosed": "\\frac{\\sqrt{\\frac{1}{2",
    "unknown commands": "\\foo{42}" * 100,
    "slow in math-verify": "\\vec{" * 5 + "x" + "}" * 5 + "\\cap" * 20,
    "sets for math-verify": "\\setminus".join(["\\{1\\}"] * 20),
    "roots for math-verify": "\\vec{a}\\sqrt{1+\\sqrt{2+\\sqrt{3+\\sqrt{5}}}}",
    "code": "__import__('os').system('true')",
    "code in text": "\\text{__import__('os').getpid()}",
    "format": "{0.__class__.__mro__}",
    "control characters": "4\x002\x1b[31m",
    "digits of another script, with a mark": "٤٢\u0301٣",
    "superscripts": "4²",
    "zero-width space": "4\u200b3",
    "right to left": "\u202e24",
    "spaces": "4" + " " * 1_500 + "3",
    "backslashes": "\\" * 1_500,
    "dollars": "$" * 1_500 + "43",
    "boxes": "\\boxed{" * 100 + "43" + "}" * 100,
    "texts": "\\text{a}" * 200,
    "exponent marks": "^" * 900,
    "division by zero": "\\frac{42}{0}",
    "zero to a negative power": "0^{-1}",
    "infinity": "\\infty-\\infty",
    "not a number": "nan",
}

LIMIT = 2.5
"""Seconds of processor time. One is the promise; measuring coverage and a busy neighbour on the core more than double what it takes."""


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    symbolic.same("\\vec{x}", "\\vec{y}")


def timed(verifier, answer, reference):
    task = Task("math", "math:1", (Message("user", "q"),), answer=reference)
    start = time.thread_time()
    verdict = judge(verifier, task, answered(task, answer))
    return verdict, time.thread_time() - start


@pytest.mark.parametrize("name", HOSTILE)
def test_an_answer_is_decided_in_time_and_fails(name):
    for reference in ("42", "x+\\sqrt{2}"):
        for form in ("\\boxed{%s}", "The answer is $%s$."):
            verdict, seconds = timed(MathVerifier(), form % HOSTILE[name], reference)
            assert verdict.outcome is Outcome.FAIL, verdict
            assert seconds < LIMIT


@pytest.mark.parametrize("name", HOSTILE)
def test_a_reference_is_decided_in_time(name):
    verdict, seconds = timed(MathVerifier(), "\\boxed{42}", HOSTILE[name])
    assert verdict.outcome is not Outcome.PASS
    assert not verdict.reason.startswith("error")
    assert seconds < LIMIT


def test_off_the_main_thread_it_is_the_same():
    def verdicts():
        return [
            timed(MathVerifier(), f"\\boxed{{{text}}}", "\\vec{x}")[0] for text in HOSTILE.values()
        ]

    found = []
    thread = threading.Thread(target=lambda: found.extend(verdicts()))
    thread.start()
    thread.join(timeout=60)
    assert found == verdicts()


@pytest.mark.parametrize("verifier", [Gsm8kVerifier(), StepVerifier()], ids=["gsm8k", "steps"])
def test_the_other_verifiers_are_in_time_too(verifier):
    for text in HOSTILE.values():
        for form in ("A: %s", "\\boxed{%s}", "<<%s=42>>", "%s = 42"):
            verdict, seconds = timed(verifier, form % text, "42")
            assert verdict.outcome is not Outcome.PASS, (form, text[:100])
            assert seconds < LIMIT


SOLUTIONS = {
    "dollars and backslashes": "$" + "\\" * 49_000,
    "one dollar": "$" + "\\a" * 24_000,
    "open formulas": "\\(" * 24_000,
    "open displays": "\\[1" * 16_000,
    "white space between boxes": "\\boxed{1}" + " " * 49_000 + "\\boxed{2}",
    "dollars between boxes": "\\boxed{1}" + "$ " * 24_000 + "\\boxed{1}",
    "open boxes": "\\boxed{" * 7_000,
    "boxes": "\\boxed{42}" * 4_500,
    "boxes of one answer": "\\boxed{42}, " * 3_800,
    "many boxes": "".join(f"\\boxed{{{n}}}" for n in range(3_500)),
    "answers": "the answer is " * 3_500,
    "the answer of blanks": "the answer is" + " " * 49_000,
    "answers of blanks": ("answer" + " " * 400) * 120,
    "answer and lines": "the answer is:" + "\n" * 49_000,
    "lines": "A: 42\n" * 8_000,
    "hashes": "#" * 49_000,
    "stars": "*" * 49_000,
    "equations": "1+1=2\n" * 8_000,
    "equations in a line": "1+1=2, " * 7_000,
    "chain": "1+1=" * 12_000,
    "annotations": "<<1+1=2>>" * 5_500,
    "open annotations": "<<" * 24_000,
    "annotation": "<<" + "1+" * 24_000 + "1=2>>",
    "thoughts": "<think>" * 7_000,
    "thoughts and ends": "<think></think>" * 3_300,
    "texts": "the answer is " + "\\text{a}" * 6_000,
    "words": "the answer is 1" + " a" * 24_000,
    "blanks": " " * 49_000 + "42",
    "options": "the answer is B or " * 2_500,
}


@pytest.mark.parametrize("name", SOLUTIONS)
@pytest.mark.parametrize(
    "verifier",
    [MathVerifier(), Gsm8kVerifier(), ChoiceVerifier(), StepVerifier()],
    ids=lambda verifier: verifier.name,
)
def test_a_long_solution_is_decided_in_time(verifier, name):
    text = SOLUTIONS[name]
    assert len(text) <= MAX_LENGTH
    for reference in ("A", "7", "x \\equiv 3 \\pmod{7}")[: 1 if verifier.name == "steps" else 3]:
        verdict, seconds = timed(verifier, text, reference)
        assert not verdict.reason.startswith("error")
        assert seconds < LIMIT


def test_nothing_is_evaluated_as_python(tmp_path):
    canary = tmp_path / "canary"
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    for text in (code, f"\\text{{{code}}}", f"\\vec{{{code}}}", f"lambda: {code}", f"{{{code}}}"):
        for reference in ("42", text, f"\\vec{{{text}}}"):
            timed(MathVerifier(), f"\\boxed{{{text}}}", reference)
            timed(StepVerifier(), f"<<{text}=1>>", reference)
    assert not canary.exists()
