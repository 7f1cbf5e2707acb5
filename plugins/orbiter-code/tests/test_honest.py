"""No honest program is failed for the way in which it is written."""

import contextlib

import pytest
from orbiter_code.verifier import CodeVerifier

from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered

CALLS = {
    "deep recursion": (
        "import sys\nsys.setrecursionlimit(10 ** 6)\ndef f(n): return n and 1 + f(n - 1)",
        ["assert f(50_000) == 50_000"],
    ),
    "very long integers": (
        "def f(n): return 3 * n",
        ["assert f(3 ** 20_000) == 3 ** 20_001"],
    ),
    "a future import": (
        "from __future__ import annotations\nimport math\ndef f(x: int) -> Nothing: return x",
        {
            "entry_point": "f",
            "prefix": "from math import pi\ndef f(x):\n    '''Do.'''\n",
            "tests": ["assert f(1) == 1"],
        },
    ),
    "a counter": (
        "n = 0\ndef f():\n    global n\n    n += 1\n    return n",
        ["assert f() < f() and f() == 3\nassert f() == 4\nassert (f(), f()) == (5, 6)"],
    ),
    "two functions that share a state": (
        "xs = []\ndef put(x):\n    xs.append(x)\n    return len(xs)\ndef get(): return xs[-1]",
        ["assert put(5) == get() - 4\nassert put(7) == 2\nassert get() == 7"],
    ),
    "a function with the name of a builtin": (
        "n = 0\ndef sum(*xs):\n    global n\n    n += 1\n    return n",
        {"entry_point": "sum", "tests": ["assert sum(1) == 1\nassert sum(2) == 2"]},
    ),
    "prints, types and a main guard": (
        "from typing import *\nT = TypeVar('T')\nclass S(Generic[T]):\n    x: Optional[T] = None\n"
        "def f(x: Union[int, str]) -> 'S':\n    print(x)\n    return x\n"
        "if __name__ == '__main__':\n    print(f(input()))",
        ["assert f(1) == 1"],
    ),
    "records": (
        "from dataclasses import dataclass\nfrom typing import NamedTuple\nfrom enum import IntEnum\n"
        "@dataclass(frozen=True, slots=True)\nclass P:\n    x: int\n"
        "class Q(NamedTuple):\n    x: int\nclass E(IntEnum):\n    R = 1\n"
        "def f(): return [P(1).x, Q(1), E.R]",
        ["assert f() == [1, (1,), 1]"],
    ),
    "tasks and threads": (
        "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "async def go():\n    async with asyncio.TaskGroup() as group:\n"
        "        tasks = [group.create_task(asyncio.to_thread(abs, -n)) for n in range(3)]\n"
        "    return [task.result() for task in tasks]\n"
        "def f():\n    with ThreadPoolExecutor(2) as pool: return asyncio.run(go()) + list(pool.map(abs, [-1]))",
        ["assert f() == [0, 1, 2, 1]"],
    ),
    "plain values of every kind": (
        "def f(): return [1j, -0.0, b'x', {1, 2}, frozenset([3]), {1: 'a', (1, 2): None}, float('inf')]",
        [
            "assert f() == [1j, 0.0, b'x', {1, 2}, frozenset([3]), {1: 'a', (1, 2): None}, float('inf')]"
        ],
    ),
}
SCRIPTS = {
    "original streams": "import sys\nsys.__stdout__.write(sys.__stdin__.readline())",
    "output kept until the end": "import atexit, io, sys\nout = sys.stdout = io.StringIO()\n"
    "atexit.register(lambda: sys.__stdout__.write(out.getvalue()))\nprint(input())",
    "a file that is left open": "out = open(1, 'w')\nprint(input(), file=out)",
    "streams that are closed early": "with open(0) as a: x = a.read()\n"
    "with open(1, 'w') as b: b.write(x)\nimport time; time.sleep(0.05)",
    "standard streams that are closed at the end": "import sys\nprint(input())\nsys.stdin.close(); sys.stdout.close()",
    "no standard output at the end": "import sys\nprint(input(), flush=True)\nsys.stdout = None",
    "bytes": "import os\nos.write(1, os.read(0, 100))",
    "a main function": "import sys\ndef main():\n    print(input())\n    sys.exit()\n"
    "if __name__ == '__main__':\n    main()",
    "a thread with a large stack": "import sys, threading\nsys.setrecursionlimit(10 ** 6)\n"
    "threading.stack_size(1 << 27)\ndef f(n): return n and 1 + f(n - 1)\n"
    "def main():\n    if f(20_000): print(input())\nt = threading.Thread(target=main)\nt.start()",
}


@pytest.mark.parametrize("name", CALLS)
def test_functions(judge, name):
    verdict = judge(*CALLS[name])
    assert verdict.outcome is Outcome.PASS, verdict


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts(judge, name):
    verdict = judge(SCRIPTS[name], [{"stdin": "äb\n", "stdout": "äb\n"}])
    assert verdict.outcome is Outcome.PASS, verdict
    assert "flags" not in verdict.details


def test_numbers_of_numpy(required):
    pytest.importorskip("numpy")
    required("zygote")
    program = (
        "import numpy as np\ndef f(xs): return [np.sum(xs), list(np.sort(xs)), np.sum(xs) > 1]"
    )
    task = Task(
        "e", "e:1", (Message("user", "?"),), answer=["assert f([2, 1]) == [3, [1, 2], True]"]
    )
    with contextlib.closing(CodeVerifier(packages=["numpy"], timeout_s=2)) as verifier:
        assert verifier.verify(task, answered(task, program)).outcome is Outcome.PASS


@pytest.mark.parametrize("tolerance", [0.0, 0.1])
def test_a_number_that_cannot_be_written_is_a_wrong_answer(judge, tolerance):
    tests = {"entry_point": "f", "tests": [{"args": [], "output": 1.5}], "tolerance": tolerance}
    verdict = judge("def f(): return 10 ** 5000", tests)
    assert (verdict.outcome, verdict.reason) == (Outcome.FAIL, "wrong answer")
