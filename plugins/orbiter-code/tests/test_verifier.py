"""Right programs pass and wrong ones fail, in every style; what is not the program's fault is invalid."""

import contextlib
import copy
import fcntl
import os
import pickle
import signal
import socket
import threading
import time

import pytest
from orbiter_code.inside.frames import Channel
from orbiter_code.sandbox.options import folders_of
from orbiter_code.sandbox.zygote import ZygoteSandbox
from orbiter_code.verifier import MAX_LENGTH, CodeVerifier

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered
from orbiter.verify.pool import VerifierPool

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


def test_a_prefix_that_is_no_code(judge):
    verdict = judge(ADD, CHECK, entry_point="add", prompt="Please write add.")
    assert verdict.reason == "task: its tests cannot be read"


def test_helpers_of_the_prefix_serve_the_tests_and_stay_the_tasks_own(judge):
    prefix = "def double(x):\n    return 2 * x\n\n\ndef add(a, b):\n    pass\n"
    tests = "def check(candidate):\n    assert candidate(3, 3) == double(3)\n"
    cheat = "def double(x): return 0\ndef add(a, b): return 0\n"
    assert judge(ADD, tests, entry_point="add", prompt=prefix).outcome is Outcome.PASS
    assert judge(cheat, tests, entry_point="add", prompt=prefix).outcome is Outcome.FAIL


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
    verdict = judge(program, ASSERTS)
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
    verdict = judge(ADD, tests, **settings)
    assert verdict.outcome is Outcome.INVALID
    assert verdict.score is None
    assert verdict.reason.startswith(reason)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("def f(): return None", "exception"),
        ("def f(): return 10 ** 11", "tests do not end on the program's results"),
        ("def f(): return -1", "wrong answer"),
    ],
)
def test_a_test_that_chokes_on_a_result_is_failed(judge, program, reason):
    verdict = judge(program, ["assert sum(range(f())) == 3"])
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, reason)
    assert judge(ADD, ASSERTS).outcome is Outcome.PASS


def test_exceptions_cross_as_the_builtin_that_they_are(judge):
    program = (
        "class TooSmall(ValueError): pass\n"
        "def f(x):\n    if x < 0: raise TooSmall('below')\n    return x\n"
    )
    expects = "try:\n    f(-1)\nexcept ValueError as error:\n    assert str(error) == 'below'\nelse:\n    assert False"
    assert judge(program, [expects]).outcome is Outcome.PASS
    assert judge("def f(x): return x", [expects]).reason == "wrong answer"
    assert judge("def f(x): raise KeyError('below')", [expects]).reason == "exception"


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


def test_standard_library_is_there(judge):
    program = (
        "import asyncio, bisect, collections, dataclasses, decimal, fractions, hashlib, heapq, itertools, re, sqlite3, threading\n"
        "@dataclasses.dataclass\nclass P:\n    x: int\n"
        "async def go(x):\n    await asyncio.sleep(0)\n    return x\n"
        "def f(x):\n"
        "    out = []\n"
        "    t = threading.Thread(target=out.append, args=(asyncio.run(go(P(x).x)),))\n"
        "    t.start(); t.join()\n"
        "    return out + [hashlib.sha256(b'').hexdigest()[:4]]\n"
    )
    assert judge(program, ["assert f(7) == [7, 'e3b0']"]).outcome is Outcome.PASS


def test_a_named_package_is_there_and_no_other(judge):
    tests = ["assert f() == 3"]
    program = "import attrs\ndef f(): return len(attrs.__name__) - 2"
    assert judge(program, tests).reason == "program raises when it is loaded"
    verifier = CodeVerifier(packages=["attr", "attrs"], timeout_s=2)
    try:
        task = Task("e", "e:1", (Message("user", "?"),), answer=tests)
        assert verifier.verify(task, answered(task, program)).outcome is Outcome.PASS
    finally:
        verifier.close()


def test_a_package_comes_with_the_libraries_of_its_wheel():
    folders = folders_of("numpy")
    assert folders[0].name == "numpy"
    assert all(folder.is_dir() for folder in folders)
    assert [folder.name for folder in folders[1:]] in ([], ["numpy.libs"])


def test_a_program_that_was_made_for_its_tests_is_flagged_and_passes(judge):
    program = "def add(a, b):\n    return {(17, 25): 42, ('one', 'two'): 'onetwo'}[a, b]"
    tests = ["assert add(17, 25) == 42", "assert add('one', 'two') == 'onetwo'"]
    verdict = judge(program, tests)
    assert verdict.outcome is Outcome.PASS
    assert verdict.details["flags"] == ["hard-coded outputs", "special-cased inputs"]
    assert "flags" not in judge(ADD, ASSERTS).details


def test_the_order_of_the_tests_is_the_seeds():
    def order(seed, tests=8):
        verifier = CodeVerifier(seed=seed, timeout_s=2)
        cases = [{"args": [], "output": n} for n in range(tests)]
        task = Task(
            "e", "e:1", (Message("user", "?"),), answer=cases, metadata={"entry_point": "f"}
        )
        try:
            return verifier.verify(task, answered(task, "def f(): return -1")).details["test"]
        finally:
            verifier.close()

    first = {seed: order(seed) for seed in range(5)}
    assert len(set(first.values())) > 1
    assert order(3) == first[3]


def test_the_same_verdict_again(judge):
    shaky = "import random\ndef f(): return [random.random(), list({'a', 'b', 'c'})]"
    results = {str(judge(shaky, ["assert f() == 1, f()"]).details) for _ in range(5)}
    assert len(results) == 1
    visible = {"visible": ["assert f() == 1, f()"]}
    assert len({judge(shaky, visible).details["message"] for _ in range(5)}) == 1


def test_the_same_verdict_from_another_verifier(judge):
    program = "def f(): return list({'alpha', 'beta', 'gamma', 'delta'})"
    tests = {"visible": ["assert f() == 1, f()"]}
    task = Task("e", "e:1", (Message("user", "?"),), answer=tests)
    with contextlib.closing(CodeVerifier(timeout_s=2)) as other:
        details = other.verify(task, answered(task, program)).details
    assert details == judge(program, tests).details


def test_a_job_does_not_outlive_its_zygote():
    before = set(children(os.getpid()))
    with contextlib.closing(ZygoteSandbox()) as sandbox, sandbox.start() as channel:
        Channel(channel).receive()
        Channel(channel).send(b'{"mode": "script", "program": "while True: pass"}')
        pids = set(children(os.getpid())) - before
        assert len(pids) == 3  # the zygote, its job and the next one
        sandbox._process.kill()
        gone_by(pids, time.monotonic() + 2)


def test_a_broken_zygote_is_replaced(verifier, judge):
    assert judge(ADD, ASSERTS).outcome is Outcome.PASS
    for process in (verifier._sandbox._process, verifier._referee._process):
        process.kill()
    outcomes = [judge(ADD, ASSERTS).outcome for _ in range(3)]
    assert outcomes[-1] is Outcome.PASS
    assert Outcome.FAIL not in outcomes


def test_it_can_be_copied_to_another_process(verifier):
    again = pickle.loads(pickle.dumps(verifier))
    task = Task("e", "e:1", (Message("user", "?"),), answer=ASSERTS)
    assert again.version == verifier.version
    try:
        assert again.verify(task, answered(task, ADD)).outcome is Outcome.PASS
    finally:
        again.close()


def test_threads_take_turns(judge):
    outcomes = []

    def work(program):
        outcomes.append(judge(program, ASSERTS).outcome)

    programs = [ADD, "def add(a, b): return 0"] * 5
    threads = [threading.Thread(target=work, args=(p,)) for p in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(outcomes) == sorted([Outcome.PASS, Outcome.FAIL] * 5)


def test_in_the_worker_pool(verifier):
    task = Task("e", "e:1", (Message("user", "?"),), answer=ASSERTS)
    pairs = [
        (task, answered(task, p))
        for p in (ADD, "def add(a, b): return 0", "import os; os._exit(0)")
    ]
    with VerifierPool(verifier, workers=1) as pool:
        outcomes = [verdict.outcome for verdict in pool.judge_all(pairs)]
    assert outcomes == [Outcome.PASS, Outcome.FAIL, Outcome.FAIL]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_is_left_after_closing():
    before = children(os.getpid())
    verifier = CodeVerifier(timeout_s=2)
    task = Task("e", "e:1", (Message("user", "?"),), answer=ASSERTS)
    verifier.verify(task, answered(task, ADD))
    pids = set(children(os.getpid())) - set(before)
    assert len(pids) >= 3  # a zygote, a spare job, a referee
    verifier.close()
    verifier.close()
    gone_by(pids, time.monotonic() + 2)


def test_nothing_is_left_when_the_process_is_killed():
    reading, writing = os.pipe()
    owner = os.fork()
    if not owner:
        try:
            verifier = CodeVerifier(timeout_s=2)
            task = Task("e", "e:1", (Message("user", "?"),), answer=ASSERTS)
            verifier.verify(task, answered(task, ADD))
            os.write(writing, " ".join(map(str, children(os.getpid()))).encode())
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    pids = [int(pid) for pid in os.read(reading, 1000).split()]
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    assert pids
    gone_by(pids, time.monotonic() + 2)


def children(parent):
    """Return the processes that descend from this one."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                if int(file.read().rsplit(")", 1)[1].split()[1]) == parent:
                    found += [int(name), *children(int(name))]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def gone_by(pids, deadline):
    while any(map(alive, pids)):
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.01)


def test_files_that_the_verifying_process_has_open_stay_its_own():
    near, far = socket.socketpair()
    high = [fcntl.fcntl(near, fcntl.F_DUPFD, number) for number in range(300, 340)]
    low = [
        fcntl.fcntl(near, fcntl.F_DUPFD, 3) for _ in range(100)
    ]  # so that ours are numbered higher
    program = (
        "import os\n"
        "def is_open(n):\n    try: return bool(os.fstat(n))\n    except OSError: return False\n"
        "def f(): return [n for n in range(4, 5000) if is_open(n)]\n"
    )
    try:
        for sandbox in ("zygote", "namespaces"):
            verifier = CodeVerifier(sandbox=sandbox, timeout_s=2)
            task = Task("e", "e:1", (Message("user", "?"),), answer=["assert f() == []"])
            try:
                assert verifier.verify(task, answered(task, program)).outcome is Outcome.PASS
            finally:
                verifier.close()
    finally:
        for number in high + low:
            os.close(number)
        near.close()
        far.close()


def test_text_that_is_no_unicode_stays_out_of_the_ledger(judge):
    verdict = judge("raise ValueError('\\ud800')", ASSERTS)
    assert verdict.details["message"] == "ValueError: ?"


def test_tests_that_are_too_long(judge):
    verdict = judge(ADD, [f"assert add(1, 2) == 3 # {'x' * (17 << 20)}"])
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "task: its tests are too long")


def test_a_script_ends_as_the_interpreter_does(judge):
    program = (
        "import atexit, threading, time\n"
        "atexit.register(print, 'last')\n"
        "def late():\n    time.sleep(0.05)\n    print('late')\n"
        "threading.Thread(target=late).start()\nprint('first')\n"
    )
    assert judge(program, [{"stdin": "", "stdout": "first\nlate\nlast"}]).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "name", ["UnicodeDecodeError", "ExceptionGroup", "SystemExit", "Nothing", "KeyError"]
)
def test_any_name_of_an_exception_is_an_exception(judge, name):
    program = f"import builtins\nclass Nothing(Exception): pass\nK = getattr(builtins, {name!r}, Nothing)\ndef f(): raise K.__new__(K, 'a', [ValueError()])"
    verdict = judge(program, ["f()"])
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, "exception")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"timeout_s": 0}, "timeout_s must be a number of seconds above 0, got 0"),
        ({"timeout_s": float("inf")}, "timeout_s must be a number"),
        ({"timeout_s": True}, "timeout_s must be a number"),
        ({"memory_mb": 1}, "memory_mb must be an integer from 64 on, got 1"),
        ({"packages": ["no_such_package"]}, "packages must be installed top-level packages"),
        ({"packages": ["../x"]}, "packages must be installed top-level packages"),
    ],
)
def test_bad_options_are_named(options, problem):
    with pytest.raises(ConfigError) as caught:
        CodeVerifier(**options)
    assert problem in str(caught.value)


def test_options_that_matter_are_in_the_version(verifier):
    other = copy.copy(verifier)
    assert "timeout_s=1" in verifier.version
    assert other.version == verifier.version
