import json
import socket

import pytest

from orbiter.cli import main
from orbiter.errors import BackendError, SandboxError
from orbiter.generate.policy import Policy
from orbiter.plugin import plugin_manager, registry
from orbiter.registry import Entry
from orbiter.train.backend import Backend, Finding
from orbiter.verify.sandbox import Ending, Probe, Sandbox


class ToySandbox(Sandbox):
    name, tier = "toy", "T1"
    probes: tuple[Probe, ...] = (Probe("read", True, "PermissionError"),)

    def start(self) -> socket.socket:
        raise SandboxError("not here", hint="mend the kernel")

    def end(self) -> Ending:
        return Ending(status=0, memory=0, cpu_s=0)

    def probe(self):
        return self.probes or self.start()

    def close(self) -> None:
        pass


class LeakySandbox(ToySandbox):
    name, tier = "leaky", "T2"
    probes = (Probe("read", True, "PermissionError"), Probe("write\x1b[1m", False, "wrote\x1b"))


class MissingSandbox(ToySandbox):
    name, tier = "missing", "T3"
    probes = ()


@pytest.fixture
def known(monkeypatch):
    """Return a function after which these sandboxes are the ones that are registered."""

    def register(*classes):
        entries = [Entry("sandbox", cls.name, "test", cls) for cls in classes]
        monkeypatch.setattr(
            registry(), "_entries", {("sandbox", "test", e.name): e for e in entries}
        )

    plugin_manager()
    return register


def test_a_sandbox_that_holds(known, capsys):
    known(LeakySandbox, ToySandbox, MissingSandbox)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "T1  test/toy  holds: 1 of 1 attacks refused, in" in out
    assert "T2  test/leaky  does not hold: 1 of 2 attacks refused, in" in out
    assert "T3  test/missing  not available: not here\n      mend the kernel" in out
    assert "SUCCEEDED: wrote" in out
    assert "\x1b" not in out
    assert out.index("test/toy  holds") < out.index("test/leaky  does") < out.index("T3")


@pytest.mark.parametrize(
    "classes", [(LeakySandbox,), (MissingSandbox,), (LeakySandbox, MissingSandbox)]
)
def test_none_that_holds(known, capsys, classes):
    known(*classes)
    assert main(["doctor"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("orbiter: error: no sandbox holds on this machine")
    assert "the table says what is missing" in err


def test_none_at_all(known, capsys):
    known()
    assert main(["doctor"]) == 3
    assert "pip install orbiter-code" in capsys.readouterr().err


def test_json(known, capsys):
    known(ToySandbox, MissingSandbox)
    assert main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["backends"] == said["policies"] == {}
    toy, missing = said["sandboxes"]
    assert (toy["name"], toy["tier"], toy["holds"]) == ("test/toy", "T1", True)
    assert toy["probes"] == [{"attack": "read", "held": True, "found": "PermissionError"}]
    assert (missing["problem"], missing["hint"], missing["holds"]) == (
        "not here",
        "mend the kernel",
        False,
    )


class Examined(Backend):
    name = "examined"

    def examine(self):
        good = Finding(what="library", good=True, said="1.0\x1b[1m")
        return [good, Finding(what="device", good=False, said="none", hint="buy one")]

    def check(self, job):
        raise NotImplementedError

    def train(self, job):
        raise NotImplementedError


class Broken(Examined):
    def examine(self):
        raise BackendError("cannot look", hint="look elsewhere")


def test_what_a_backend_finds(known, capsys, monkeypatch):
    known(ToySandbox)
    entries = [
        Entry("backend", name, "test", cls) for name, cls in (("one", Examined), ("two", Broken))
    ]
    for entry in entries:
        registry()._entries["backend", "test", entry.name] = entry
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "ok  test/one  library: 1.0" in out
    assert "NO  test/one  device: none\n      buy one\n" in out
    assert "NO  test/two  backend: cannot look\n      look elsewhere\n" in out
    assert "\x1b" not in out
    assert main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["backends"]
    assert said["test/one"][1] == {
        "what": "device",
        "good": False,
        "said": "none",
        "hint": "buy one",
    }


class Needy(Policy):
    name = "needy"

    def __init__(self, *, server):
        """Cannot be made without its option."""

    async def complete(self, requests, sampling):
        raise NotImplementedError

    @classmethod
    def examine(cls):
        return [Finding(what="server", good=None, said="old", hint="take a new one")]


def test_what_a_policy_finds(known, capsys):
    known(ToySandbox)
    for name, made_by in (("needy", Needy), ("function", lambda: Needy(server="here"))):
        registry()._entries["policy", "test", name] = Entry("policy", name, "test", made_by)
    assert main(["doctor"]) == 0
    assert "--  test/needy  server: old\n      take a new one\n" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["policies"]
    assert [finding["what"] for finding in said["test/needy"]] == ["server"]
    assert said["test/function"] == []


def test_one_part_that_breaks_hides_no_other(known, capsys):
    def breaks(*_):
        raise RuntimeError("out of order")

    known(ToySandbox, type("Bad", (ToySandbox,), {"name": "bad", "probe": breaks}))
    bad = type("Bad", (Examined,), {"examine": breaks})
    registry()._entries["backend", "test", "bad"] = Entry("backend", "bad", "test", bad)
    bad = type("Bad", (Needy,), {"examine": breaks})
    registry()._entries["policy", "test", "bad"] = Entry("policy", "bad", "test", bad)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "T1  test/toy  holds" in out
    for what in ("sandbox", "backend", "policy"):
        assert f"{what} 'test/bad' raised RuntimeError: out of order" in out
