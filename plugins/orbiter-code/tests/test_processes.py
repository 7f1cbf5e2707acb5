"""The processes of a verifier: they are replaced, shared by threads, handed on, and none is left."""

import contextlib
import fcntl
import os
import pickle
import select
import signal
import socket
import threading
import time

import pytest
from orbiter_code.inside.frames import Channel
from orbiter_code.sandbox.zygote import ZygoteSandbox
from orbiter_code.verifier import CodeVerifier

from orbiter.records import Message, Outcome, Task
from orbiter.verify.answer import answered
from orbiter.verify.pool import VerifierPool
from orbiter.verify.sandbox import Limits

ADD = "def add(a, b):\n    return a + b\n"
ASSERTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0", "assert add('a', 'b') == 'ab'"]


def test_a_job_does_not_outlive_its_zygote():
    before = set(children(os.getpid()))
    with contextlib.closing(ZygoteSandbox()) as sandbox, sandbox.start() as channel:
        Channel(channel).receive()
        Channel(channel).send(b'{"mode": "script", "program": "while True: pass"}')
        pids = set(children(os.getpid())) - before
        assert len(pids) == 3  # the zygote, its job and the next one
        sandbox._process.kill()
        gone_by(pids, time.monotonic() + 2)


class LateSandbox(ZygoteSandbox):
    """Hands out jobs of which each takes its time to be ready."""

    late_s = 0.6

    def start(self):
        job = super().start()
        near, far = socket.socketpair()
        threading.Thread(target=self._pass_on, args=(job, far), daemon=True).start()
        return near

    def _pass_on(self, job, far):
        with job, far, contextlib.suppress(OSError):  # whichever end goes first
            time.sleep(self.late_s)
            ends = {job: far, far: job}
            while ends:
                for source in select.select(list(ends), [], [])[0]:
                    data = source.recv(65536)
                    if data:
                        ends[source].sendall(data)
                    else:
                        ends.pop(source).shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    ("program", "tests"),
    [(ADD, ASSERTS), ("print(input())", [{"stdin": "1", "stdout": "1"}] * 2)],
    ids=["calls", "script"],
)
def test_the_time_of_a_program_begins_when_its_job_is_ready(
    verifier, judge, monkeypatch, program, tests
):
    with contextlib.closing(LateSandbox(limits=Limits())) as late:
        monkeypatch.setattr(verifier, "_sandbox", late)
        verdict = judge(program, tests, timeout_s=0.5)
        assert verdict.outcome is Outcome.PASS, verdict
        hangs = judge("while True: pass", tests, timeout_s=0.2)
    assert hangs.reason == "timeout"


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
    # So that ours are numbered higher.
    low = [fcntl.fcntl(near, fcntl.F_DUPFD, 3) for _ in range(100)]
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
