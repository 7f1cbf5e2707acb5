"""However a program with a pool ends, nothing of the pool is left."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orbiter.verify.pool.judging import FRAME
from orbiter.verify.pool.transport import pack_verifier, worker_environment
from orbiter.verify.pool.worker import Worker

HERE = Path(__file__).parent
PROGRAM = f"""
import os, signal, sys, time
from pathlib import Path
from orbiter.records import Message, Task
from orbiter.user_file import load_from_file
from orbiter.verify.answer import answered
from orbiter.verify.pool import VerifierPool

def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    pids, how = sys.argv[1:3]
    verifier = load_from_file("misbehaving.py:Misbehaving", base_dir=Path({str(HERE)!r}))()
    task = Task("e", "e:1", (Message("user", "q"),), metadata={{"pids": pids}})
    pool = VerifierPool(verifier, workers=1)
    future = pool.submit([(task, answered(task, "leaves_children"))])
    while not Path(pids).exists() or len(Path(pids).read_text().split()) < 4:
        time.sleep(0.005)
    if how == "SIGKILL beside a fork" and os.fork() == 0:
        time.sleep(30)  # with a copy of every pipe
        os._exit(0)
    print("ready", flush=True)
    if how == "falls off":
        return
    if how == "raises":
        raise SystemExit(5)
    future.result()

if __name__ == "__main__":
    main()
"""


ENDINGS = {"falls off": 0, "raises": 5, "SIGINT": -2, "SIGTERM": -15, "SIGKILL": -9}
"""How the program ends, and its exit code."""


def gone(pid: str) -> bool:
    """Return whether a process is no more; one that only waits for the system to count it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("how", [*ENDINGS, "SIGKILL beside a fork"])
def test_nothing_is_left(tmp_path, how):
    (tmp_path / "program.py").write_text(PROGRAM)
    pids = tmp_path / "pids"
    program = subprocess.Popen(
        [sys.executable, tmp_path / "program.py", pids, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert program.stdout.readline() == "ready\n"
        began = time.monotonic()
        if how.startswith("SIG"):
            program.send_signal(getattr(signal, how.split()[0]))
        program.wait(60)
        started = pids.read_text().split()
        deadline = time.monotonic() + 20
        while not all(map(gone, started)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [pid for pid in started if not gone(pid)] == []
        assert time.monotonic() - began < 20
        assert program.returncode == ENDINGS[how.partition(" beside")[0]]
    finally:
        os.killpg(program.pid, signal.SIGKILL) if "fork" in how else program.kill()
        program.stdout.close()
        program.wait()


def test_a_guard_ends_when_nobody_can_ask_any_more(misbehaving, asked):
    """Also where no kernel tells it that its parent is gone."""
    verifier = misbehaving()
    worker = Worker(
        pack_verifier(verifier, memory_mb=None),
        name=verifier.name,
        version=verifier.version,
        timeout_s=60,
        env=worker_environment(verifier),
    )
    worker.start()
    chunk = pickle.dumps([asked("sleeps")])
    os.write(worker._requests, FRAME.pack(len(chunk), 1) + chunk)
    while not worker._at()[0]:
        time.sleep(0.001)
    os.close(worker._requests)
    assert worker._process.wait(5) == 0
    worker._requests = os.open(os.devnull, os.O_RDONLY)
    worker.close(kill=True)


SCRIPT = """
from orbiter.records import Message, Task, Verdict
from orbiter.verify import Verifier
from orbiter.verify.answer import answered
from orbiter.verify.pool import VerifierPool

class Shouting(Verifier):
    name = "shouting"
    def verify(self, task, trajectory):
        return Verdict.passed() if trajectory.answer.isupper() else Verdict.failed("quiet")

{guard}
    task = Task("e", "e:1", (Message("user", "q"),))
    with VerifierPool(Shouting(), workers=1) as pool:
        print(*(v.outcome.value for v in pool.judge_all([(task, answered(task, t)) for t in ("A", "a")])))
"""


def run(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    (folder / "script.py").write_text(code)
    command = [sys.executable, *(arguments or [str(folder / "script.py")])]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder)


def test_a_verifier_of_a_script_works(tmp_path):
    done = run(SCRIPT.format(guard='if __name__ == "__main__":'), tmp_path)
    assert (done.stdout, done.stderr) == ("pass fail\n", "")


def test_a_script_that_begins_unguarded_is_told_how_to(tmp_path):
    done = run(SCRIPT.format(guard="if True:"), tmp_path)
    assert done.returncode == 1
    assert "cannot be made in a worker: ConfigError: a worker must not start a pool" in done.stderr
    assert '__name__ == "__main__"' in done.stderr


def test_a_verifier_of_an_interactive_session_is_refused(tmp_path):
    code = SCRIPT.format(guard="if True:")
    done = run(code, tmp_path, "-c", code)
    assert "must be defined in a file, got one from an interactive session" in done.stderr
    assert os.listdir(tmp_path) == ["script.py"]
