"""The kit as the author of a plugin uses it: on the example plugin, from its own folder."""

import importlib
import sys
from pathlib import Path

import pytest

from orbiter.plugin import PluginManager
from orbiter.records import Message, Task
from orbiter.testing import check_verifier
from orbiter.verify.audit import LabelledAnswer

FOLDER = Path(__file__).parents[2] / "examples" / "orbiter-hello"
TASK = Task("letters", "letters:0", (Message("user", "write to Ada"),))
RIGHT = ["Hello Ada", "hello", "Hi Ada, how are you?"]
WRONG = ["Ada", "Hit me", "say hello", ""]
LABELLED = [LabelledAnswer(TASK, answer, True) for answer in RIGHT]
LABELLED += [LabelledAnswer(TASK, answer, False) for answer in WRONG]


@pytest.fixture
def plugin(monkeypatch):
    """The module of the plugin, imported by name from its folder."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "orbiter_hello", raising=False)
    yield importlib.import_module("orbiter_hello")
    sys.modules.pop("orbiter_hello", None)


def test_the_verifier_of_the_example_plugin_keeps_its_contract(plugin):
    check_verifier(plugin.Greeting, LABELLED)


def test_it_keeps_its_contract_by_its_registered_name(plugin, monkeypatch):
    monkeypatch.setenv("ORBITER_PLUGINS", "")
    manager = PluginManager(strict=True)
    manager.register(plugin, owner="hello")
    assert manager.registry.find("verifier", "greeting").full_name == "hello/greeting"
    check_verifier(lambda: manager.registry.create("verifier", "greeting"), LABELLED)


def test_a_bad_version_of_it_is_told_which_clause_it_breaks(plugin):
    class Anywhere(plugin.Greeting):
        def verify(self, task, trajectory):
            words = task.prompt + " ".join(message.text for message in trajectory.messages)
            greets = "hello" in words.lower() or "hi" in words.lower()
            return plugin.Verdict.passed() if greets else plugin.Verdict.failed("no greeting")

    with pytest.raises(AssertionError) as caught:
        check_verifier(Anywhere, LABELLED)
    assert str(caught.value) == (
        "verifier 'greeting' breaks 'wrong answers do not pass': 'Hit me' for 'letters:0' got pass"
    )
