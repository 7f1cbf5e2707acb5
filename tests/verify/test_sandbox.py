import socket

import pytest

from orbiter.errors import ConfigError
from orbiter.registry import Registry
from orbiter.verify.sandbox import Ending, Probe, Sandbox


class ToySandbox(Sandbox):
    name, tier = "toy", "T1"

    def __init__(self) -> None:
        self.ended = 0

    def start(self) -> socket.socket:
        return socket.socket()

    def end(self) -> Ending:
        self.ended += 1
        return Ending(status=0, memory=1, cpu_s=0.0)

    def probe(self):
        return (Probe("read", True, "refused"),)

    def close(self) -> None:
        pass


def test_to_kill_is_to_end_unless_there_is_something_quicker():
    sandbox = ToySandbox()
    assert sandbox.kill() is None
    assert sandbox.ended == 1


def test_only_a_sandbox_is_one():
    registry = Registry()
    registry.add("sandbox", "toy", ToySandbox)
    registry.add("sandbox", "other", dict)
    assert registry.create("sandbox", "toy").name == "toy"
    with pytest.raises(ConfigError, match="must be a Sandbox, got the class dict"):
        registry.create("sandbox", "other")
