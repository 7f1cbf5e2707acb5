r"""Labelled answers by construction: a reference, an answer, and whether it is right.

Right answers are the reference in another form, wrong ones are off by a known amount, so that every label is certain and no grader
has been asked. Forms and their shares are about those of competition problems: integers most often, then fractions, then the rest.
Use them to measure a verifier (``orbiter.verify.audit``) or its speed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

from attrs import frozen

from orbiter.records import Message, Task
from orbiter.verify.audit import LabelledAnswer


@frozen
class Case:
    """One labelled answer.

    Args:
        family: What kind of answer it is: ``integer``, ``fraction``, ``list``, ...
        reference: The reference.
        answer: The answer alone.
        right: Whether the two say the same.
        prompt: What was asked.
    """

    family: str
    reference: str
    answer: str
    right: bool
    prompt: str = "Solve it."

    @property
    def labelled(self) -> LabelledAnswer:
        """The case as a worked solution, for an audit."""
        task = Task(
            "math-cases",
            f"{self.family}:{self.reference}",
            (Message("user", self.prompt),),
            self.reference,
        )
        return LabelledAnswer(task, solution(self), self.right)


def cases(count: int, seed: int) -> list[Case]:
    """Return ``count`` different cases, every other one right."""
    stream = random.Random(seed)
    makers, weights = list(_FORMS), list(_FORMS.values())
    out: dict[tuple[str, str], Case] = {}
    while len(out) < count:
        make = stream.choices(makers, weights=weights)[0]
        case = make(stream, len(out) % 2 == 0)
        out.setdefault((case.reference, case.answer), case)
    return list(out.values())


def solution(case: Case) -> str:
    """Return a worked solution of some length that ends in the answer of a case, in a box."""
    stream = random.Random(f"{case.reference}:{case.answer}")
    lines = [
        f"We set $a = {stream.randint(2, 99)}$ and $b = {stream.randint(2, 99)}$, and note that $a + b > {stream.randint(1, 3)}$.",
        "Then \\[ \\frac{a}{b} + \\frac{b}{a} \\geq 2, \\] with equality only where $a = b$, which is not the case here.",
        f"Hence the $n$-th term is at most $\\frac{{{stream.randint(2, 9)}}}{{{stream.randint(11, 99)}}}$ of the sum, and",
        "what remains is a short computation, which we leave in the form that the problem asks for.",
    ]
    stream.shuffle(lines)
    return (
        "\n".join(lines[: stream.randint(2, 4)])
        + f"\nTherefore the result is $\\boxed{{{case.answer}}}$."
    )


def _integer(stream: random.Random, right: bool) -> Case:
    value = stream.choice(
        [stream.randint(0, 99), stream.randint(-999, 9_999), stream.randint(10**4, 10**7)]
    )
    said = value if right else value + stream.choice([-10, -2, -1, 1, 2, 10])
    form = stream.choice(["{}", "{}", "{}", "{:,}", "{}.0"])
    return Case("integer", str(value), form.format(said), right)


def _fraction(stream: random.Random, right: bool) -> Case:
    value = Fraction(stream.randint(-60, 60) or 7, stream.randint(2, 40))
    said = value if right else value + Fraction(stream.choice([-1, 1]), value.denominator)
    factor = stream.choice([1, 1, 1, stream.randint(2, 9)])
    form = stream.choice(
        ["\\frac{{{}}}{{{}}}", "\\frac{{{}}}{{{}}}", "\\dfrac{{{}}}{{{}}}", "{}/{}"]
    )
    reference = (
        f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
        if value.denominator > 1
        else str(value)
    )
    return Case(
        "fraction",
        reference,
        form.format(said.numerator * factor, said.denominator * factor),
        right,
    )


def _radical(stream: random.Random, right: bool) -> Case:
    a, b = stream.randint(2, 15), stream.choice([2, 3, 5, 6, 7, 10, 11, 13, 14, 15])
    c = a if right else a + stream.choice([-1, 1])
    reference = f"{a}\\sqrt{{{b}}}"
    if stream.random() < 0.5:
        return Case("radical", reference, f"{c}\\sqrt{{{b}}}", right)
    return Case("radical", reference, f"\\sqrt{{{c * c * b}}}", right)


def _pi(stream: random.Random, right: bool) -> Case:
    top, bottom = stream.randint(1, 40), stream.randint(2, 12)
    said = top if right else top + 1
    reference = f"\\frac{{{top}\\pi}}{{{bottom}}}"
    return Case(
        "constant",
        reference,
        stream.choice([f"\\frac{{{said}\\pi}}{{{bottom}}}", f"\\frac{{{said}}}{{{bottom}}}\\pi"]),
        right,
    )


def _polynomial(stream: random.Random, right: bool) -> Case:
    a, b = stream.randint(-9, 9) or 1, stream.randint(-9, 9) or 2
    c = b if right else b + 1
    name = stream.choice("xntz")
    reference = f"{name}^2{a + b:+d}{name}{a * b:+d}"
    if a + b == 0:
        reference = f"{name}^2{a * b:+d}"
    factored = f"({name}{a:+d})({name}{c:+d})"
    return Case("expression", reference, factored, right)


def _pair(stream: random.Random, right: bool) -> Case:
    a, b = stream.randint(-20, 20), stream.randint(-20, 20)
    said = (a, b) if right else (a, b + 1)
    form = stream.choice(["({}, {})", "({},{})", "\\left({}, {}\\right)"])
    return Case("tuple", f"({a}, {b})", form.format(*said), right)


def _list(stream: random.Random, right: bool) -> Case:
    values = stream.sample(range(-30, 60), stream.randint(2, 4))
    said = list(values)
    stream.shuffle(said)
    if not right:
        said[0] = 60 + stream.randint(0, 9)
    return Case("list", ",".join(map(str, values)), ", ".join(map(str, said)), right)


def _interval(stream: random.Random, right: bool) -> Case:
    low = stream.randint(-20, 19)
    high = low + stream.randint(1, 20)
    opening, closing = stream.choice("(["), stream.choice(")]")
    said = opening if right else {"(": "[", "[": "("}[opening]
    return Case(
        "interval", f"{opening}{low},{high}{closing}", f"{said}{low}, {high}{closing}", right
    )


_FORMS: dict[Callable[[random.Random, bool], Case], int] = {
    _integer: 50,
    _fraction: 20,
    _radical: 8,
    _pi: 4,
    _polynomial: 6,
    _pair: 4,
    _list: 4,
    _interval: 4,
}
"""How often each form is drawn, in percent."""
