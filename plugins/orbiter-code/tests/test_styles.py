"""Right programs pass and wrong ones fail, in every style of tests."""

import pytest

from orbiter.records import Outcome

ADD = "def add(a, b):\n    return a + b\n"
ASSERTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0", "assert add('a', 'b') == 'ab'"]
CHECK = "def check(candidate):\n    for n in range(5):\n        assert candidate(n, n) == 2 * n\n"
TABLE = [{"args": [1, 2], "output": 3}, {"args": [1], "kwargs": {"b": 1}, "output": 2}]
SCRIPTS = [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "5 5", "stdout": "10"}]


def test_asserts(judge):
    verdict = judge(f"```python\n{ADD}```", ASSERTS)
    assert (verdict.outcome, verdict.score, verdict.reason) == (Outcome.PASS, 1.0, "")
    assert verdict.details["tests"] == 3
    assert {"sandbox", "tier"} <= verdict.details.keys()
    assert "unsandboxed" not in verdict.details


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_the_test_that_decided_is_named(judge, wrong):
    tests = list(ASSERTS)
    tests[wrong] = "assert add(1, 2) == 4"
    verdict = judge(ADD, tests)
    assert (verdict.outcome, verdict.score, verdict.reason) == (Outcome.FAIL, 0.0, "wrong answer")
    assert verdict.details["test"] == wrong


def test_hidden_tests_are_not_told(judge):
    tests = {
        "visible": ["assert add(1, 1) == 2, 'shown'"],
        "tests": ["assert add(1, 2) == 4, 'secret'"],
    }
    assert "message" not in judge(ADD, tests).details
    shown = judge("def add(a, b): return 0", {**tests, "tests": []})
    assert shown.details["message"] == "AssertionError: shown"


def test_check(judge):
    assert judge(ADD, CHECK, entry_point="add").outcome is Outcome.PASS
    assert judge("def add(a, b): return a", CHECK, entry_point="add").reason == "wrong answer"


def test_a_prefix_is_completed_or_replaced(judge):
    prefix = 'from math import floor\n\ndef add(a, b):\n    """Add."""\n'
    for answer in ("    return floor(a + b)\n", f"```python\n{ADD}```", "    return a + b"):
        assert judge(answer, CHECK, entry_point="add", prompt=prefix).outcome is Outcome.PASS


def test_a_prefix_that_is_a_bare_signature(judge):
    prefix = "def add(a, b):\n"
    assert (
        judge("    return a + b", CHECK, entry_point="add", prompt=prefix).outcome is Outcome.PASS
    )
    assert judge("    return a", CHECK, entry_point="add", prompt=prefix).reason == "wrong answer"


def test_helpers_of_the_prefix_serve_the_tests_and_stay_the_tasks_own(judge):
    prefix = "def double(x):\n    return 2 * x\n\n\ndef add(a, b):\n    pass\n"
    tests = "def check(candidate):\n    assert candidate(3, 3) == double(3)\n"
    cheat = "def double(x): return 0\ndef add(a, b): return 0\n"
    assert judge(ADD, tests, entry_point="add", prompt=prefix).outcome is Outcome.PASS
    assert judge(cheat, tests, entry_point="add", prompt=prefix).outcome is Outcome.FAIL


def test_helpers_of_the_setup_are_not_the_programs(judge):
    tests = {
        "setup": "def near(a, b): return abs(a - b) < 1",
        "tests": ["assert near(1, 1)", "assert f(1) == 1"],
    }
    program = "def f(x): return x\ndef near(a, b):\n    while True: pass\n"
    results = [
        judge(program, {**tests, "tests": order})
        for order in (tests["tests"], tests["tests"][::-1])
    ]
    assert [verdict.outcome for verdict in results] == [Outcome.PASS] * 2


def test_a_table(judge):
    assert judge(ADD, TABLE, entry_point="add").outcome is Outcome.PASS
    assert judge("def add(a, b): return 3", TABLE, entry_point="add").details["test"] == 1


@pytest.mark.parametrize(
    ("returned", "expected", "tolerance", "same"),
    [
        ("(1, [2, (3,)])", [1, [2, [3]]], 0, True),
        ("1.0", 1, 0, True),
        ("True", 1, 0, False),
        ("1", True, 0, False),
        ("0.1 + 0.2", 0.3, 0, False),
        ("0.1 + 0.2", 0.3, 1e-9, True),
        ("[0.1 + 0.2]", [0.3], 1e-9, True),
        ("0.31", 0.3, 1e-9, False),
        ("float('nan')", 0.0, 1e9, False),
        ("{'a': (1,)}", {"a": [1]}, 0, True),
        ("{'a': 1, 'b': 2}", {"a": 1}, 0, False),
        ("{1: 1}", {"1": 1}, 0, False),
        ("{1, 2}", [1, 2], 0, False),
        ("'1'", 1, 0, False),
        ("None", None, 0, True),
        ("[]", None, 0, False),
        ("[1]", [1, 2], 0, False),
    ],
)
def test_a_table_compares_as_json_does(judge, returned, expected, tolerance, same):
    tests = {"tests": [{"args": [], "output": expected}], "tolerance": tolerance}
    verdict = judge(f"def f(): return {returned}", tests, entry_point="f")
    assert (verdict.outcome is Outcome.PASS) == same


def test_methods_of_a_class(judge):
    program = "class Solution:\n    def add(self, a, b):\n        return a + b\n"
    assert judge(program, TABLE, entry_point="Solution.add").outcome is Outcome.PASS
    tests = [{"args": [1], "output": 1}, {"args": [2], "output": 1}]
    counting = (
        "class C:\n    n = 0\n    def f(self, x):\n        self.n += 1\n        return self.n\n"
    )
    assert judge(counting, tests, entry_point="C.f").outcome is Outcome.PASS


def test_scripts(judge):
    program = "print(sum(map(int, input().split())))"
    assert judge(program, SCRIPTS).outcome is Outcome.PASS
    assert judge("print(3)", SCRIPTS).reason == "wrong answer"
    assert judge(f"{program}\nraise ValueError", SCRIPTS).reason == "exception"
    assert judge(f"{program}\nexit(1)", SCRIPTS).reason == "exception"
    assert judge(f"{program}\nexit()", SCRIPTS).outcome is Outcome.PASS
    assert (
        judge(f"import sys\nif __name__ == '__main__':\n    {program}", SCRIPTS).outcome
        is Outcome.PASS
    )


def test_a_script_with_too_much_output(judge):
    assert judge("while True: print('a' * 10_000)", SCRIPTS).reason == "output is too long"


def test_a_script_with_more_input_and_output_than_a_pipe_holds(judge):
    numbers = "\n".join(map(str, range(40_000)))
    echo = "import sys\nfor line in sys.stdin: print(line, end='')"
    assert judge(echo, [{"stdin": numbers, "stdout": numbers}]).outcome is Outcome.PASS
    careless = "print('done')"
    assert judge(careless, [{"stdin": numbers, "stdout": "done"}]).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("program", "stdout", "same"),
    [
        ("print('a  \\nb\\n\\n')", "a\nb", True),
        ("print(' a')", "a", False),
        ("print('a\\n\\nb')", "a\nb", False),
        ("print('é')", "é\n", True),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "\udcff", False),
        ("", "", True),
    ],
)
def test_white_space_at_the_ends_of_output(judge, program, stdout, same):
    verdict = judge(program or "pass", [{"stdin": "", "stdout": stdout}])
    assert (verdict.outcome is Outcome.PASS) == same


def test_a_script_ends_as_the_interpreter_does(judge):
    program = (
        "import atexit, threading, time\n"
        "atexit.register(print, 'last')\n"
        "def late():\n    time.sleep(0.05)\n    print('late')\n"
        "threading.Thread(target=late).start()\nprint('first')\n"
    )
    assert judge(program, [{"stdin": "", "stdout": "first\nlate\nlast"}]).outcome is Outcome.PASS


def test_exceptions_cross_as_the_builtin_that_they_are(judge):
    program = (
        "class TooSmall(ValueError): pass\n"
        "def f(x):\n    if x < 0: raise TooSmall('below')\n    return x\n"
    )
    expects = "try:\n    f(-1)\nexcept ValueError as error:\n    assert str(error) == 'below'\nelse:\n    assert False"
    assert judge(program, [expects]).outcome is Outcome.PASS
    assert judge("def f(x): return x", [expects]).reason == "wrong answer"
    assert judge("def f(x): raise KeyError('below')", [expects]).reason == "exception"


def test_what_is_asked_ahead_changes_no_verdict(judge):
    log = "seen = []\ndef f(x):\n    seen.append(x)\n    return list(seen)\n"
    in_order = ["assert f(1)[-1] == 1", "n = 1\nassert f(n + 1)[-1] == 2", "assert f(3)[-1] == 3"]
    assert judge(log, in_order).outcome is Outcome.PASS
    hangs_later = "def f(x):\n    while x == 3: pass\n    return x\n"
    check = "def check(f):\n    assert f(1) == 1\n    assert f(2) == 5\n    assert f(3) == 3\n"
    assert judge(hangs_later, check, entry_point="f").reason == "wrong answer"
    dies_later = "import os\ndef f(x):\n    if x == 3: os._exit(0)\n    return x\n"
    assert judge(dies_later, check, entry_point="f").reason == "wrong answer"
    check = "def check(f):\n    assert f(1) == 1\n    if f(2): return\n    assert f(3) == 3\n"
    assert judge(hangs_later, check, entry_point="f").outcome is Outcome.PASS
