"""What is the program's fault is a failure; what is the task's is invalid."""

import pytest
from orbiter_code.verifier import MAX_LENGTH

from orbiter.records import Outcome

ADD = "def add(a, b):\n    return a + b\n"
ASSERTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0", "assert add('a', 'b') == 'ab'"]
CHECK = "def check(candidate):\n    for n in range(5):\n        assert candidate(n, n) == 2 * n\n"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("def add(a, b): return a - b", "wrong answer"),
        ("def add(a, b): raise KeyError(a)", "exception"),
        ("def add(a): return a", "exception"),
        ("def sub(a, b): return a", "exception"),
        ("def add(a, b) return a", "program raises when it is loaded"),
        ("import nothing_like_it", "program raises when it is loaded"),
        ("def add(a, b): return object()", "result is not a plain value"),
        ("def add(a, b): return 'a' * 2_000_000", "result is too long"),
        ("import os\ndef add(a, b): os._exit(0)", "program ends its process"),
        ("def add(a, b):\n    while True: pass", "timeout"),
        ("", "no answer"),
        ("   \n", "no answer"),
        ("#" * (MAX_LENGTH + 1), "answer is too long"),
    ],
)
def test_what_is_the_programs_fault_is_a_failure(judge, program, reason):
    verdict = judge(program, ASSERTS, timeout_s=0.2 if reason == "timeout" else 1)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)


@pytest.mark.parametrize(
    ("tests", "settings", "reason"),
    [
        (None, {}, "task: field 'answer' must hold tests, got none"),
        (["assert add(1 =="], {}, "task: its tests cannot be read"),
        (["x = 1"], {}, "task: its tests do not call the program"),
        (["assert 1 == 2"], {}, "task: a test fails by itself"),
        (["import nothing_like_it"], {}, "task: a test breaks by itself"),
        (["assert add(print, 1)"], {}, "task: an argument is not plain: "),
        (
            ["assert add(1, 2) == 3"],
            {"setup": "import nothing_like_it"},
            "task: its tests cannot be read",
        ),
        (["while True: pass"], {}, "task: its tests do not end"),
    ],
)
def test_what_is_the_tasks_fault_is_invalid(judge, tests, settings, reason):
    verdict = judge(ADD, tests, **settings, timeout_s=0.2 if "while" in str(tests) else 1)
    assert verdict.outcome is Outcome.INVALID
    assert verdict.score is None
    assert verdict.reason.startswith(reason)


def test_a_prefix_that_is_no_code(judge):
    verdict = judge(ADD, CHECK, entry_point="add", prompt="Please write add.")
    assert verdict.reason == "task: its tests cannot be read"


def test_tests_that_are_too_long(judge):
    verdict = judge(ADD, [f"assert add(1, 2) == 3 # {'x' * (17 << 20)}"])
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "task: its tests are too long")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("def f(): return None", "exception"),
        ("def f(): return 10 ** 11", "tests do not end on the program's results"),
        ("def f(): return -1", "wrong answer"),
    ],
)
def test_a_test_that_chokes_on_a_result_is_failed(judge, program, reason):
    timeout_s = 0.5 if "do not end" in reason else 1
    verdict = judge(program, ["assert sum(range(f())) == 3"], timeout_s=timeout_s)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)
    assert judge(ADD, ASSERTS).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "text", [b'["0000000000000000",0,3]', b"[]", b"{}", b'{"outcome":"pass"}', b"."]
)
def test_what_was_written_before_the_question_is_no_answer(judge, text):
    frame = len(text).to_bytes(4, "big") + text
    verdict = judge(f"import os\nos.write(3, {frame!r})\n{ADD}", ASSERTS)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason in ("program writes to the channel", "result is not a plain value")


def test_a_test_cannot_swallow_the_end(judge):
    tests = [
        "try:\n    f(1)\nexcept BaseException:\n    pass",
        "try:\n    f(2)\nexcept BaseException:\n    pass",
    ]
    assert judge("import os\ndef f(x): os._exit(0)", tests).reason == "program ends its process"


@pytest.mark.parametrize(
    "name", ["UnicodeDecodeError", "ExceptionGroup", "SystemExit", "Nothing", "KeyError"]
)
def test_any_name_of_an_exception_is_an_exception(judge, name):
    program = f"import builtins\nclass Nothing(Exception): pass\nK = getattr(builtins, {name!r}, Nothing)\ndef f(): raise K.__new__(K, 'a', [ValueError()])"
    verdict = judge(program, ["f()"])
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, "exception")


def test_text_that_is_no_unicode_stays_out_of_the_ledger(judge):
    verdict = judge("raise ValueError('\\ud800')", ASSERTS)
    assert verdict.details["message"] == "ValueError: ?"
