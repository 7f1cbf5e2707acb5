"""What a verifier is made with, and that it says the same again."""

import contextlib
import copy

import pytest
from orbiter_code.sandbox.options import folders_of
from orbiter_code.verifier import CodeVerifier

from orbiter.errors import ConfigError
from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered

ADD = "def add(a, b):\n    return a + b\n"
ASSERTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0", "assert add('a', 'b') == 'ab'"]


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


DEEP = "x = 0\nif x:\n    x = f" + ".a()" * 800 + "\n"
"""Loads, and is too deep to be read."""


def test_a_program_that_cannot_be_read_passes_and_is_not_taken_for_clean(judge):
    verdict = judge(f"{DEEP}{ADD}", ASSERTS)
    assert (verdict.outcome, verdict.details["flags"]) == (Outcome.PASS, ["not inspected"])


def test_a_program_that_takes_too_long_to_be_read_passes(judge):
    """Each of many tests is held against each of many branches: minutes, of which it gets what the program left."""
    program = "def f(x):\n    return x\n" + "".join(f"if 0 == {n}: x = {n}\n" for n in range(7_000))
    table = [{"args": [n], "output": n} for n in range(-1_000, 0)]
    verdict = judge(program, table, entry_point="f", timeout_s=1)
    assert (verdict.outcome, verdict.details["flags"]) == (Outcome.PASS, ["not inspected"])
    assert "flags" not in judge(ADD, ASSERTS).details


def test_the_order_of_the_tests_is_the_seeds(judge, verifier, monkeypatch):
    cases = [{"args": [], "output": n} for n in range(8)]

    def first(seed):
        monkeypatch.setattr(verifier, "seed", seed)
        return judge("def f(): return -1", cases, entry_point="f").details["test"]

    found = [first(seed) for seed in range(5)]
    assert len(set(found)) > 1
    assert [first(seed) for seed in range(5)] == found


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
