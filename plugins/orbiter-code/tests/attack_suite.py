"""Run the attacks of ``attacks/`` on a verifier and look for what they must not achieve.

As a script, ``attack_suite.py SANDBOX[=FIRST::STEP] ...``, it prints how many attacks there were and what went wrong, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen
from orbiter_code.verifier import CodeVerifier

from orbiter.records import Message, Outcome, Task, Verdict
from orbiter.verify.answer import answered

FOLDER = Path(__file__).parent / "attacks"
FAMILIES = ("forge", "leak", "hang", "exhaust", "state", "escape")
SANDBOXES = ("zygote", "namespaces", "bubblewrap")
SLACK_S = 0.3
"""How long after its limit a verdict may come."""
GROWTH = 16 << 20
"""By how many bytes the verifying process may grow under an attack."""
TRIES = 3
"""A late verdict on a busy machine proves nothing; one that is late each time does."""

_HEAD = re.compile(r"^=== ([^\[\n]+?)(?: \[(.+)\])?\n", re.MULTILINE)
_WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")
_NUMBERS = {
    "vfork": 58, "clone": 56, "clone3": 435, "memfd_create": 319, "socket": 41, "socketpair": 53, "tgkill": 234,
    "rt_sigqueueinfo": 129, "pidfd_open": 434, "pidfd_send_signal": 424, "timer_create": 222, "ptrace": 101,
    "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438, "prlimit64": 302, "sched_setscheduler": 144,
    "open_by_handle_at": 304, "mount": 165, "fsopen": 430, "umount2": 166, "unshare": 272, "setns": 308, "capset": 126,
    "prctl": 157, "seccomp": 317, "io_uring_setup": 425, "bpf": 321, "userfaultfd": 323, "perf_event_open": 298,
    "keyctl": 250, "inotify_init1": 294, "fanotify_init": 300, "sethostname": 170, "settimeofday": 164, "reboot": 169,
    "finit_module": 313, "swapon": 167, "quotactl": 179, "acct": 163, "personality": 135, "iopl": 172, "shmget": 29,
    "semget": 64, "mq_open": 240,
}  # fmt: skip
_ESCAPE = f"""
import ctypes, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
REFUSALS = (1, 13, 38)  # EPERM, EACCES, ENOSYS: anything else came out of the call itself
def syscall(name, *args):
    args = [ctypes.c_long(a) if type(a) is int else a for a in args]
    result = libc.syscall({_NUMBERS}[name], *args)
    if result < 0 and ctypes.get_errno() not in REFUSALS:
        return 1
    return result
def f():
    try:
        result = attack()
    except BaseException:
        return "held"
    return "held" if type(result) is int and result < 0 else "escaped"
"""
_HONEST = "def f(x):\n    return x * 3 + 1\n"
_HONEST_TESTS = ["assert f(1) == 4", "assert f(2) == 7"]


@frozen(kw_only=True)
class Attack:
    """A program, what kind of tests it meets and how long it has."""

    family: str
    name: str
    programs: tuple[str, ...]
    kind: str = "asserts"
    timeout_s: float = 1.0
    expects: str = ""


def read_attacks(family: str) -> list[Attack]:
    """Return the attacks of one family."""
    parts = _HEAD.split((FOLDER / f"{family}.txt").read_text())[1:]
    return [_attack(family, *parts[i : i + 3]) for i in range(0, len(parts), 3)]


def _attack(family: str, name: str, options: str | None, text: str) -> Attack:
    kind, timeout_s, expects = "asserts", 1.0, "ESCAPED" if family == "escape" else ""
    words = iter((options or "").split())
    for word in words:
        if word == "expects":
            expects = next(words)
        elif word in ("check", "table", "script"):
            kind = word
        else:
            timeout_s = float(word.removesuffix("s"))
    prelude = _ESCAPE if family == "escape" else ""
    programs = tuple(prelude + program for program in text.split("--- then\n"))
    return Attack(
        family=family,
        name=name,
        programs=programs,
        kind=kind,
        timeout_s=timeout_s,
        expects=expects,
    )


class World:
    """What the attacks aim at, and what shows that one has hit."""

    def __init__(self, verifier: CodeVerifier) -> None:
        self._cleanup = contextlib.ExitStack()
        # The options of the zygote stand in its command line, and so in that of every fork of it.
        self.token = f'"memory": {verifier.memory_mb << 20}'.encode()
        assert _honest(verifier).outcome is Outcome.PASS
        self.strangers: set[str] = set()
        self.usual = self.processes()
        self.strangers = {pid for pid in os.listdir("/proc") if self.token not in _command(pid)}
        folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o777)  # nothing but the sandbox keeps an attacker out
        self.folder = folder
        self.mark = f"orbiter-mark-{secrets.token_hex(6)}"
        self.secret, self.environ = secrets.token_hex(8), secrets.token_hex(8)
        (folder / "secret").write_text(self.secret)
        self.victim = folder / "victim"
        self.victim.write_text("untouched")
        self.victim.chmod(0o666)
        self.listeners = [self._listen(kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        self.unix = [self._listen_abstract(k) for k in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        # Of this process there must be something to steal.
        os.environ["ORBITER_CANARY"] = self.environ
        self._cleanup.callback(os.environ.pop, "ORBITER_CANARY", None)
        self.bystander = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
        self._cleanup.callback(self._end_bystander)
        self.priority = os.getpriority(os.PRIO_PROCESS, self.bystander.pid)

    def close(self) -> None:
        self._cleanup.close()

    def _end_bystander(self) -> None:
        self.bystander.kill()
        self.bystander.wait()

    def _listen(self, kind: int) -> socket.socket:
        port = self.listeners[0].getsockname()[1] if hasattr(self, "listeners") else 0
        sock = self._cleanup.enter_context(socket.socket(type=kind))
        sock.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
            self.listeners = [sock]
        sock.setblocking(False)
        return sock

    def _listen_abstract(self, kind: int) -> socket.socket:
        sock = self._cleanup.enter_context(socket.socket(socket.AF_UNIX, kind))
        sock.bind(f"\0{self.mark}-{'stream' if kind == socket.SOCK_STREAM else 'datagram'}")
        if kind == socket.SOCK_STREAM:
            sock.listen()
        sock.setblocking(False)
        return sock

    def fill_in(self, text: str) -> str:
        kind = "datagram" if "SOCK_DGRAM" in text else "stream"
        values = {
            "SECRET_FILE": self.folder / "secret",
            "VICTIM": self.victim,
            "FOLDER": self.folder,
            "PORT": self.listeners[0].getsockname()[1],
            "ABSTRACT": f"{self.mark}-{kind}",
            "PID": self.bystander.pid,
            "PARENT": os.getpid(),
            "MARK": self.mark,
            "ENVIRON": self.environ,
            "SOURCE": sys.modules["orbiter.records"].__file__,
            "SITE": Path(sys.modules["attrs"].__file__).parents[1],
            "NUL": "\0",
            "MANY": int(Path("/proc/loadavg").read_text().split()[3].split("/")[1]) + 3000,
        }
        text = re.sub(r"@(\d+) ([^@\n]+)@", lambda m: int(m[1]) * m[2], text)
        return re.sub(r"@([A-Z_]+)@", lambda m: str(values[m[1]]), text)

    def truth(self, what: str) -> Any:
        """Return what an attack of this expectation must not be able to say."""
        return {
            "SECRET": self.secret,
            "ENVIRON": self.environ,
            "NAMES": ["secret", "victim"],
            "USERS": "root",
            "SOURCE": Path(sys.modules["orbiter.records"].__file__).read_text().split("\n")[0]
            + "\n",
            "ATTRS": "attrs",
            "FOUND": "found",
            "ESCAPED": "escaped",
        }.get(what, True)

    def processes(self) -> int:
        """Return how many processes there are of the sandbox under attack, forks of forks and orphans included."""
        found = set(os.listdir("/proc")) - self.strangers
        return sum(self.token in _command(pid) for pid in found)

    def leftovers(self) -> list[str]:
        """Return whether there are more processes than before; a killed one may take a moment to go."""
        until = time.monotonic() + 1
        while (count := self.processes()) > self.usual and time.monotonic() < until:
            time.sleep(0.01)
        return [f"{count - self.usual} processes are left"] if count > self.usual else []

    def effects(self) -> list[str]:
        """Return what was done to the machine."""
        found = []
        if not self.victim.is_file() or self.victim.read_text() != "untouched":
            found.append("the file of the host was changed")
        if self.victim.is_file() and self.victim.stat().st_mode & 0o777 != 0o666:
            found.append("the mode of the file was changed")
        if sorted(os.listdir(self.folder)) != ["secret", "victim"]:
            found.append("a file was made in the folder")
        for place in ("/tmp", "/dev/shm", "/var/tmp", "/", os.getcwd(), Path.home()):
            with contextlib.suppress(OSError):
                if any(self.mark in name for name in os.listdir(place)):
                    found.append(f"a file was made in {place}")
        alive = self.bystander.poll() is None
        if not alive or os.getpriority(os.PRIO_PROCESS, self.bystander.pid) != self.priority:
            found.append("a bystander was hit")
        if any(map(_heard, [*self.listeners, *self.unix])):
            found.append("a connection arrived")
        return found


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _heard(sock: socket.socket) -> bool:
    try:
        if sock.type == socket.SOCK_STREAM:
            sock.accept()[0].close()
        else:
            sock.recv(1)
    except BlockingIOError:
        return False
    return True


def _task(attack: Attack, world: World) -> Task:
    """Return tests that no program can pass by itself: they expect random words, or what the attack is after."""
    words = {word: secrets.token_hex(6) for word in _WORDS}
    tests: dict[str, Any] = {"entry_point": "f"}
    if attack.expects == "SUM":
        tests["tests"] = ["assert sum(range(f())) == 1"]
    elif attack.expects == "COLLIDING":
        tests["tests"] = ["assert len(set(f())) == 1"]
    elif attack.expects:
        tests["tests"] = [f"assert f() == {world.truth(attack.expects)!r}"]
    elif attack.kind == "check":
        body = "".join(f"    assert candidate({w!r}) == {t!r}\n" for w, t in words.items())
        tests["tests"] = f"def check(candidate):\n{body}"
    elif attack.kind == "table":
        tests["tests"] = [{"args": [word], "output": token} for word, token in words.items()]
    elif attack.kind == "script":
        tests["tests"] = [{"stdin": f"{w}\n", "stdout": f"{t}\n"} for w, t in words.items()]
    else:
        tests["tests"] = [f"assert f({word!r}) == {token!r}" for word, token in words.items()]
    return Task("attacks", f"attacks:{attack.name}", (Message("user", "?"),), answer=tests)


def verifier_under_attack(sandbox: str) -> CodeVerifier:
    """Return a verifier whose processes can be told from those of any other."""
    return CodeVerifier(sandbox=sandbox, memory_mb=160 + secrets.randbelow(100))


def run_attack(verifier: CodeVerifier, attack: Attack, world: World) -> list[str]:
    """Return what the attack achieved that it must not."""
    for left in reversed(range(TRIES)):
        found = _run_once(verifier, attack, world)
        late = [one for one in found if one.startswith("late")]
        if found != late or not late or not left:
            return found
    raise AssertionError("unreachable")


def _run_once(verifier: CodeVerifier, attack: Attack, world: World) -> list[str]:
    verifier.timeout_s = attack.timeout_s
    forget_peak()
    before, found, seconds = memory("VmRSS"), [], 0.0
    for program in attack.programs:
        task = _task(attack, world)
        begun = time.monotonic()
        verdict = verifier.verify(task, answered(task, f"```python\n{world.fill_in(program)}\n```"))
        seconds = max(seconds, time.monotonic() - begun)
        found += _judged(verdict)
    if seconds > attack.timeout_s + SLACK_S:
        found.append(f"late: {seconds:.2f} s")
    grown = memory("VmHWM") - before
    if grown > GROWTH:
        found.append(f"grown by {grown >> 20} MB")
    found += world.effects()
    verdict = _honest(verifier)
    if verdict.outcome is not Outcome.PASS:
        found.append(f"the honest program after it got {verdict.outcome.value}: {verdict.reason}")
    return found + world.leftovers()


def _honest(verifier: CodeVerifier) -> Verdict:
    task = Task("attacks", "attacks:honest", (Message("user", "?"),), answer=_HONEST_TESTS)
    return verifier.verify(task, answered(task, _HONEST))


def _judged(verdict: Verdict) -> Iterator[str]:
    if verdict.outcome is not Outcome.FAIL:
        yield f"got {verdict.outcome.value}: {verdict.reason} {dict(verdict.details)}"


def forget_peak() -> None:
    """Let the peak of this process's memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def memory(field: str) -> int:
    """Return the bytes of memory of this process: ``VmRSS`` now, ``VmHWM`` at its peak."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s*(\d+) kB$", status, re.MULTILINE)[1]) << 10


def part_of(attacks: list[Attack], part: str) -> list[Attack]:
    """Return every so many of the attacks: ``2::5`` is every fifth from the third on."""
    first, step = map(int, part.split("::"))
    return attacks[first::step]


def main(*parts: str) -> None:
    """Print what went wrong, by sandbox and attack."""
    attacks = [a for family in FAMILIES for a in read_attacks(family)]
    found = {}
    for name in parts:
        sandbox, _, part = name.partition("=")
        chosen = part_of(attacks, part or "0::1")
        verifier = verifier_under_attack(sandbox)
        with contextlib.closing(verifier), contextlib.closing(World(verifier)) as world:
            wrong = {f"{a.family}: {a.name}": run_attack(verifier, a, world) for a in chosen}
        found[sandbox] = {"count": len(chosen), "wrong": {k: v for k, v in wrong.items() if v}}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
