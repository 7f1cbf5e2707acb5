"""Attacks that are tried on a sandbox before anything is run in it.

What a kernel says of itself proves little: a container may refuse what its version promises. So each attack is really made, from
inside, and what matters is looked for outside as well: the file that must not be there, the connection that must not arrive.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from orbiter.errors import SandboxError
from orbiter.verify.sandbox import Probe, Sandbox
from orbiter_code.inside.frames import Channel
from orbiter_code.script import StoppedError, run_script

_DEADLINE_S = 2.0
_HELD = "held"

# An attack ends in "held" only where the system itself refused. Anything else, silence included, counts as broken.
_PRELUDE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def held_if_refused(attack):
    try:
        result = attack()
    except (OSError, MemoryError) as error:
        print("held", type(error).__name__)
    else:
        refused = type(result) is int and result < 0
        print("held" if refused else "succeeded", os.strerror(ctypes.get_errno()) if refused else "")
"""

_CALLS = {"x86_64": {"memfd": 319, "io_uring": 425, "bpf": 321, "ptrace": 101}}
_CALLS["aarch64"] = {"memfd": 279, "io_uring": 425, "bpf": 280, "ptrace": 117}
_NUMBERS = _CALLS.get(os.uname().machine, _CALLS["x86_64"])


@frozen
class _World:
    """What the attacks aim at: a secret file, a place to write to, two listeners and this process."""

    secret: str
    secret_file: Path
    victim: Path
    port: int
    abstract: str


def _attacks(world: _World) -> dict[str, str]:
    return {
        "read a file of the host": f"open({str(world.secret_file)!r}).read()",
        "write a file of the host": f"open({str(world.victim)!r}, 'w')",
        "read the memory of another process": f"open('/proc/{os.getpid()}/environ').read()",
        "open a network connection": f"__import__('socket').create_connection(('127.0.0.1', {world.port}), 1)",
        "make a socket to the hypervisor (AF_VSOCK)": "libc.socket(40, 1, 0)",
        "connect to an abstract Unix socket": "__import__('socket').socket(1, 1)"
        f".connect({chr(0) + world.abstract!r})",
        "fork a process": "os.fork() or os._exit(0)",
        "execute a file": "os.execv('/bin/true', ['true'])",
        "signal another process": "os.kill(os.getppid(), 0)",
        "trace another process": f"libc.syscall({_NUMBERS['ptrace']}, 16, os.getppid(), 0, 0)",
        "enter a new user namespace": "libc.unshare(0x10000000)",
        "become root": "os.setuid(0) if os.getuid() else os.chroot('/')",
        "make an anonymous executable file": f"libc.syscall({_NUMBERS['memfd']}, b'x', 0)",
        "use io_uring": f"libc.syscall({_NUMBERS['io_uring']}, 1, ctypes.create_string_buffer(256))",
        "load a kernel program (bpf)": f"libc.syscall({_NUMBERS['bpf']}, 0, ctypes.create_string_buffer(128), 128)",
        "raise its own limits": "libc.setrlimit(9, (ctypes.c_ulong * 2)(2**40, 2**40))",
        "take four gigabytes of memory": "len(bytearray(4 << 30))",
    }


def run_probes(sandbox: Sandbox) -> Sequence[Probe]:
    """Return what became of each attack on a sandbox, made one after the other, each in a job of its own.

    Raises:
        SandboxError: It does not even start.
    """
    with _world() as (world, arrived):
        probes = [
            _attack(sandbox, name, f"{_PRELUDE}\nheld_if_refused(lambda: {code})", world)
            for name, code in _attacks(world).items()
        ]
        probes.append(_environment(sandbox))
        if arrived():
            probes.append(Probe("reach a listener of the host", False, "a connection arrived"))
        if world.victim.exists():
            probes.append(Probe("leave a file behind", False, "the file is there"))
    return probes


def _attack(sandbox: Sandbox, name: str, program: str, world: _World) -> Probe:
    found = _run(sandbox, program)
    held = found.startswith(_HELD) and world.secret not in found
    return Probe(name, held, found.removeprefix(_HELD).strip() or ("refused" if held else "?"))


def _environment(sandbox: Sandbox) -> Probe:
    """Look for what a job may have been handed without wanting: variables, open files, other people's arguments."""
    program = """
import os, sys
files = []
for number in range(4, 10_000):  # 3 is the channel
    try:
        os.fstat(number)
    except OSError:
        continue
    files.append(number)
left = {**os.environ, **({"argv": 1} if sys.argv + sys.orig_argv != ["program"] else {})}
print("held" if not left and not files else f"has {sorted(left)} and files {files}")
"""
    found = _run(sandbox, program)
    held = found == _HELD
    return Probe("inherit variables or open files", held, "has none" if held else found or "?")


def _run(sandbox: Sandbox, program: str) -> str:
    with sandbox.start() as channel:
        try:
            Channel(channel).receive(deadline=time.monotonic() + _DEADLINE_S)
            deadline = time.monotonic() + _DEADLINE_S
            out = run_script(channel, program, b"", deadline=deadline, max_bytes=1000)
        except StoppedError as stopped:
            return stopped.message
        except OSError as error:
            raise SandboxError(f"sandbox {sandbox.name!r} gives no job: {error}") from None
        finally:
            ending = sandbox.end()
    text = " ".join(out.decode("utf-8", "replace").split())
    return text or f"ended with status {ending.status}"


@contextmanager
def _world() -> Iterator[tuple[_World, Callable[[], bool]]]:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as tcp, _unix() as unix:
        Path(folder).chmod(0o777)  # an open door: what keeps the attacker out must be the sandbox
        secret, secret_file = secrets.token_hex(16), Path(folder) / "secret"
        secret_file.write_text(secret)
        secret_file.chmod(0o644)
        abstract = f"orbiter-probe-{secrets.token_hex(8)}"
        listeners: list[Any] = [tcp, unix]
        tcp.bind(("127.0.0.1", 0))
        unix.bind(f"\0{abstract}")
        for listener in listeners:
            listener.listen()
            listener.setblocking(False)
        world = _World(secret, secret_file, Path(folder) / "left", tcp.getsockname()[1], abstract)
        yield world, lambda: any(map(_has_caller, listeners))


def _unix() -> socket.socket:
    return socket.socket(socket.AF_UNIX)


def _has_caller(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True
