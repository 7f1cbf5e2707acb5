"""A sandbox is used only if it held when it was attacked; and none is used only if somebody said so."""

import contextlib
import socket

import pytest
from orbiter_code.inside.frames import Channel
from orbiter_code.inside.job import READY
from orbiter_code.sandbox import choice
from orbiter_code.sandbox.choice import choose_sandbox
from orbiter_code.sandbox.zygote import NoSandbox, ZygoteSandbox
from orbiter_code.verifier import CodeVerifier

from orbiter.cli import main
from orbiter.errors import ConfigError, SandboxError
from orbiter.plugin import registry
from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered
from orbiter.verify.sandbox import UNSANDBOXED, Ending, Limits, Probe, Sandbox

TASK = Task("e", "e:1", (Message("user", "?"),), answer=["assert f(1) == 2"])
RIGHT = answered(TASK, "def f(x): return x + 1")
SANDBOXES = ("zygote", "namespaces", "bubblewrap")


class LeakySandbox(ZygoteSandbox):
    """A sandbox that forgot to confine its jobs."""

    name, tier = "leaky", "T1"
    confined = False


class MissingSandbox(Sandbox):
    """A sandbox that this machine does not have."""

    name, tier = "missing", "T1"

    def __init__(self, *, limits=None, packages=()):
        pass

    def start(self) -> socket.socket:
        raise SandboxError("the kernel is too old")

    def end(self) -> Ending:
        raise AssertionError("nothing was started")

    def probe(self):
        self.start()

    def close(self) -> None:
        pass


@pytest.fixture
def only(monkeypatch):
    """Return a function after which these are the only sandboxes there are, none of them probed yet."""

    def set_up(*classes):
        known = {cls.name: cls for cls in classes}
        monkeypatch.setattr(choice, "AUTO", tuple(known))
        monkeypatch.setattr(choice, "_proved", set())
        monkeypatch.setattr(
            type(registry()), "create", lambda self, kind, name, options: known[name](**options)
        )

    return set_up


@pytest.fixture(params=SANDBOXES)
def sandbox(request, required):
    required(request.param)
    with contextlib.closing(registry().create("sandbox", request.param)) as made:
        yield made


def test_every_attack_is_refused(sandbox):
    probes = sandbox.probe()
    assert [probe for probe in probes if not probe.held] == []
    assert len({probe.attack for probe in probes}) >= 12


def test_an_ending_tells_how_it_was(sandbox):
    with sandbox.start() as channel:
        assert Channel(channel).receive() == READY
        ending = sandbox.end()
    assert ending.status == -9
    assert 0 < ending.memory < 1 << 30
    assert ending.cpu_s >= 0


def test_without_a_job_there_is_nothing_to_end(sandbox):
    sandbox.close()
    with pytest.raises(SandboxError, match="has no job to end"):
        sandbox.end()


def test_the_first_that_holds_is_taken(only):
    only(MissingSandbox, ZygoteSandbox)
    chosen = choose_sandbox(limits=Limits())
    assert chosen.name == "zygote"
    chosen.close()


def test_a_sandbox_that_does_not_hold_is_not_used(only):
    class Weak(ZygoteSandbox):
        def probe(self):
            return (Probe("read a file", True, ""), Probe("open a connection", False, "it opened"))

    only(Weak)
    with pytest.raises(SandboxError, match="zygote: open a connection: it opened") as caught:
        CodeVerifier()
    assert caught.value.exit_code == 3
    assert "allow_unsandboxed: true" in caught.value.hint


def test_the_attacks_are_real(only):
    """A sandbox that confines nothing fails some, with what happened outside."""
    leaky = LeakySandbox()
    attacks = {"read a file of the host", "write a file of the host", "fork a process"}
    try:
        from orbiter_code.sandbox import probes

        with probes._world() as (world, _):
            found = {
                name: probes._attack(
                    leaky, name, f"{probes._PRELUDE}\nheld_if_refused(lambda: {code})", world
                )
                for name, code in probes._attacks(world).items()
                if name in attacks
            }
            assert world.victim.exists()
    finally:
        leaky.close()
    assert set(found) == attacks
    assert not any(probe.held for probe in found.values())


def test_nothing_is_run_in_silence_without_a_sandbox(only):
    only(MissingSandbox)
    with pytest.raises(SandboxError, match="no sandbox holds here: missing: the kernel is too old"):
        CodeVerifier()
    verifier = CodeVerifier(allow_unsandboxed=True)
    try:
        verdict = verifier.verify(TASK, RIGHT)
    finally:
        verifier.close()
    assert verdict.outcome is Outcome.PASS
    assert verdict.details["unsandboxed"] is True
    assert verdict.details["tier"] == UNSANDBOXED
    assert "allow_unsandboxed=True" in verifier.version


def test_permission_is_no_wish(only):
    only(ZygoteSandbox)
    verifier = CodeVerifier(allow_unsandboxed=True)
    try:
        verdict = verifier.verify(TASK, RIGHT)
    finally:
        verifier.close()
    assert verdict.details["tier"] == "T1"
    assert "unsandboxed" not in verdict.details


def test_an_unknown_name_is_no_reason_to_go_without():
    with pytest.raises(LookupError, match="unknown sandbox 'zygot'; did you mean 'zygote'"):
        CodeVerifier(sandbox="zygot", allow_unsandboxed=True)


def test_an_interpreter_that_is_none():
    with pytest.raises(SandboxError, match="sandbox cannot be started"):
        CodeVerifier(interpreter="/nonexistent/python")
    with pytest.raises(SandboxError, match="sandbox process ended before it was ready"):
        CodeVerifier(sandbox="zygote", interpreter="/bin/true")


def test_no_sandbox_confines_nothing():
    assert (NoSandbox.tier, NoSandbox.confined) == (UNSANDBOXED, False)


def test_doctor_names_what_is_missing(only, capsys, monkeypatch):
    only(MissingSandbox)
    entries = [e for e in registry().entries("sandbox") if e.name == "zygote"]
    monkeypatch.setattr(
        type(registry()), "entries", lambda self, kind: entries if kind == "sandbox" else []
    )
    monkeypatch.setattr(type(registry()), "create", lambda self, kind, name: MissingSandbox())
    assert main(["doctor"]) == 3
    said = capsys.readouterr()
    assert "not available: the kernel is too old" in said.out
    assert "orbiter: error: no sandbox holds on this machine" in said.err


def test_a_verifier_in_a_recipe_names_bad_options():
    with pytest.raises(ConfigError, match="has no option 'timeout'; did you mean 'timeout_s'"):
        registry().create("verifier", "code", {"timeout": 3})
