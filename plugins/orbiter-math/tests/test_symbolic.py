"""The slow path: what may go to math-verify, and the deadline that it runs under."""

import threading
import time

import pytest
from orbiter_math import deadline, symbolic
from orbiter_math.deadline import DeadlineError, within
from orbiter_math.tree import BoundError, UnfitReferenceError, UnreadableError


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        ("\\vec{a}+\\vec{b}", "\\vec{b}+\\vec{a}", True),
        ("\\vec{a}", "\\vec{b}", False),
        ("\\mathbb{R}\\setminus\\{1,2\\}", "\\mathbb{R}\\setminus\\{2,1\\}", True),
        ("\\mathbb{R}\\setminus\\{1\\}", "\\mathbb{R}\\setminus\\{2\\}", False),
    ],
)
def test_what_math_verify_says(reference, answer, right):
    assert symbolic.same(reference, answer) == right


@pytest.mark.parametrize(
    "text",
    [
        "\\vec{x}" * 40,
        "\\int_0^1 x",
        "\\sum_{n=1}^{9} n",
        "\\operatorname{eye}(9)",
        "\\det(x)",
        "9!",
        "x^{100}",
        "x^{x^x}",
        "x^{2+2}",
        "1234567890123",
        "((((((x))))))",
        "\\sqrt{1+\\sqrt{2+\\sqrt{3}}}",
        "\\sin x\\cos x\\tan x",
        "|x||y||z|",
    ],
)
def test_what_could_take_long_never_gets_there(text):
    with pytest.raises(BoundError):
        symbolic.check(text)
    with pytest.raises(BoundError):
        symbolic.same("x", text)


def test_what_it_does_not_read():
    with pytest.raises(UnreadableError):
        symbolic.same("x", "\\vec{x")
    with pytest.raises(UnfitReferenceError):
        symbolic.same("\\vec{x", "x")


def test_its_route_to_parse_expr_is_not_taken(monkeypatch):
    import math_verify.parser

    evaluated = []
    monkeypatch.setattr(math_verify.parser, "parse_expr", lambda text, **_: evaluated.append(text))
    with pytest.raises(UnreadableError):
        symbolic.same("\\vec{x}", "\\vec{x = 17+29")
    assert evaluated == []
    math_verify.parser.parse("17+29")  # by default it is
    assert evaluated == ["17+29"]


def test_off_the_main_thread_too():
    found = []
    thread = threading.Thread(target=lambda: found.append(symbolic.same("\\vec{a}", "\\vec{a}")))
    thread.start()
    thread.join(timeout=60)
    assert found == [True]


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        len(str(end))
        _work()
    return "done"


def _work():
    return sum(range(100))


def test_a_call_in_time_returns():
    assert within(30, lambda: spin(0.01)) == "done"


def test_a_call_that_takes_too_long_is_cut_even_where_exceptions_are_swallowed():
    def stubborn():
        for _ in range(50):
            try:
                spin(0.2)
            except Exception:
                continue

    start = time.thread_time()
    with pytest.raises(DeadlineError):
        within(0.05, stubborn)
    assert time.thread_time() - start < 5


def test_the_trace_function_of_before_is_restored():
    import sys

    before = sys.gettrace()
    within(1, lambda: None)
    assert sys.gettrace() is before
    with pytest.raises(ZeroDivisionError):
        within(1, lambda: 1 / 0)
    assert sys.gettrace() is before


def test_a_comparison_past_its_deadline_says_nothing(monkeypatch):
    monkeypatch.setattr(symbolic, "DEADLINE", 0.0)
    with pytest.raises(DeadlineError):
        symbolic.same("\\vec{a}\\setminus\\{1\\}", "\\vec{a}\\setminus\\{2,3,4\\}")


def test_a_deadline_is_no_exception_that_is_caught_by_the_way():
    assert not issubclass(deadline.DeadlineError, Exception)
