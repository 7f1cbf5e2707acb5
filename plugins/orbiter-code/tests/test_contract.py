"""Each name of the plugin keeps its contract."""

import functools

import pytest
from orbiter_code.verifier import CodeVerifier

from orbiter.errors import SandboxError
from orbiter.plugin import registry
from orbiter.records import Message, Task, Verdict
from orbiter.testing import check_verifier
from orbiter.verify.audit import LabelledAnswer
from orbiter.verify.sandbox import Sandbox

TASK = Task(
    "code",
    "code:1",
    (Message("user", "Write add."),),
    answer=["assert add(1, 2) == 3", "assert add(2, 2) == 4"],
)
RIGHT = [
    "def add(a, b):\n    return a + b",
    "```python\nadd = lambda a, b: a + b\n```",
    "<think>```python\nwrong\n```</think>```python\nfrom operator import add\n```",
]
WRONG = [
    "def add(a, b):\n    return a * b",
    "import os\nos._exit(0)",
    "I cannot.",
    "<think>def add(a, b): return a + b",
    "",
]
LABELLED = [LabelledAnswer(TASK, answer, True) for answer in RIGHT]
LABELLED += [LabelledAnswer(TASK, answer, False) for answer in WRONG]


def test_the_verifier_keeps_its_contract():
    check_verifier(functools.partial(registry().create, "verifier", "code"), LABELLED)


class HopefulVerifier(CodeVerifier):
    """Passes a program that defines the function."""

    def verify(self, task, trajectory):
        verdict = super().verify(task, trajectory)
        return Verdict.passed() if "def add" in trajectory.answer else verdict


def test_a_planted_bad_one_fails():
    with pytest.raises(AssertionError, match="breaks 'wrong answers do not pass'"):
        check_verifier(HopefulVerifier, LABELLED)


SANDBOXES = ("zygote", "namespaces", "bubblewrap")


@pytest.mark.parametrize("name", SANDBOXES)
def test_a_sandbox_says_what_each_attack_came_to(name):
    sandbox = registry().create("sandbox", name)
    assert isinstance(sandbox, Sandbox)
    try:
        probes = sandbox.probe()
    except SandboxError as error:
        pytest.skip(f"this machine lacks what it needs: {error}")
    finally:
        sandbox.close()
    assert len({probe.attack for probe in probes}) == len(probes) >= 12


def test_every_name_is_checked():
    names = {(e.kind, e.name) for e in registry().entries() if e.owner == "code"}
    assert names == {("verifier", "code"), *(("sandbox", name) for name in SANDBOXES)}
