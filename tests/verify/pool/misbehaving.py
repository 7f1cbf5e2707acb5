"""A verifier that does what the answer says; loaded by its file, as a ``file.py:Class`` of a recipe is."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time

from orbiter.records import Verdict
from orbiter.verify import Verifier

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]


class Misbehaving(Verifier):
    name, version = "misbehaving", "2"
    needs_env = ("POOL_TEST_KEY",)

    def verify(self, task, trajectory):
        deed = getattr(self, trajectory.answer, None)
        return Verdict.passed(trajectory.answer) if deed is None else deed(task)

    def sleeps(self, task):
        time.sleep(600)

    def holds_the_interpreter(self, task):
        re.match(r"(a+)+$", "a" * 60 + "b")

    def exits(self, task):
        os._exit(3)

    def exits_with_0(self, task):
        os._exit(0)

    def raises_system_exit(self, task):
        sys.exit(0)

    def raises_keyboard_interrupt(self, task):
        raise KeyboardInterrupt

    def segfaults(self, task):
        ctypes.string_at(0)

    def eats_memory(self, task):
        return Verdict.passed(details={"length": len(bytearray(1 << 30))})

    def raises(self, task):
        raise ValueError("boom")

    def uses_up_its_task(self, task):
        wanted = task.metadata["wanted"]
        return Verdict.passed(wanted.pop()) if wanted else Verdict.failed("nothing is left")

    def scribbles_on_its_prompt(self, task):
        task.messages[0].content.append({"type": "text", "text": "seen"})
        return Verdict.passed(str(len(task.messages[0].content)))

    def returns_none(self, task):
        return None

    def returns_text(self, task):
        return "pass"

    def returns_nan(self, task):
        verdict = Verdict.passed()
        object.__setattr__(verdict, "score", float("nan"))
        return verdict

    def returns_too_much_score(self, task):
        verdict = Verdict.passed()
        object.__setattr__(verdict, "score", 2.0)
        return verdict

    def returns_nan_details(self, task):
        return Verdict.passed(details={"loss": float("nan")})

    def returns_objects(self, task):
        return Verdict.passed(details={"object": object()})

    def returns_a_book(self, task):
        return Verdict.passed("x" * 2_000_000)

    def returns_half_a_character(self, task):
        return Verdict.passed("\ud83d")

    def is_noisy(self, task):
        print("0 {}\n" * 50_000)
        os.write(2, b"1 {}\n" * 50_000)
        return Verdict.passed("noisy")

    def closes_its_output(self, task):
        os.close(1)
        os.close(2)
        return Verdict.passed("closed")

    def babbles(self, task):
        for fd in range(3, 64):
            try:
                os.write(fd, b'99 {"outcome":"pass","score":1.0}\n')
            except OSError:
                continue
        return Verdict.passed()

    def leaves_children(self, task):
        pids = [subprocess.Popen(SLEEP, start_new_session=apart).pid for apart in (False, True)]
        with open(task.metadata["pids"], "w") as file:
            print(*pids, os.getpid(), os.getppid(), file=file)
        time.sleep(600)

    def stops_its_guard(self, task):
        os.kill(os.getppid(), signal.SIGSTOP)
        return self.leaves_children(task)

    def uses_the_alarm(self, task):
        rang = []
        signal.signal(signal.SIGALRM, lambda *_: rang.append(True))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        deadline = time.monotonic() + 5
        while not rang and time.monotonic() < deadline:
            time.sleep(0.001)
        main = threading.current_thread() is threading.main_thread()
        return Verdict.passed() if rang and main else Verdict.failed("no alarm")

    def closes_every_file(self, task):
        os.closerange(0, 256)

    def puts_its_own_files_in_their_place(self, task):
        mine = os.open(os.devnull, os.O_WRONLY)
        for fd in range(3, 32):
            if fd != mine:
                os.dup2(mine, fd)

    def comes_back_from_a_fork_twice(self, task):
        if os.fork() == 0:
            raise ValueError("the child goes on as if it were the verifier")
        return Verdict.passed()

    def leaves_an_alarm(self, task):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        return Verdict.passed()

    def shows_its_environment(self, task):
        return Verdict.passed(details={"names": sorted(os.environ)})

    def tells_its_process(self, task):
        return Verdict.passed(details={"pid": os.getpid()})

    def waits(self, task):
        time.sleep(task.metadata["seconds"])
        return Verdict.passed()

    def shows_details(self, task):
        return Verdict.failed(
            "graded",
            score=0.25,
            step_scores=(1.0, None, 0),
            details={"a": [1, {"b": None}]},
            extra={"own": 1},
        )


class Together(Misbehaving):
    """Judges four answers at once."""

    name, batch_size = "together", 4
