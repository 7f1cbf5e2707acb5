"""Kill a process that writes a ledger at random points until enough kills have hit, and go on with each; a script of its own.

What is forked must be small: a test process that has loaded torch takes longer to fork than a run takes.
"""

import json
import mmap
import os
import random
import select
import signal
import struct
import sys
import warnings
from pathlib import Path

import orjson

from orbiter.errors import LedgerWarning
from orbiter.ledger import Attempt, AttemptKey, Decision, Ledger
from orbiter.ledger.journal import DiskFile
from orbiter.records import Message, Outcome, Trajectory, Verdict

ROUNDS, TASKS, SAMPLES, GROUP = 2, 6, 3, 4


def main(folder: Path, kills: int) -> None:
    """Print a JSON object: how many kills hit, and how many of them tore a line.

    Raises:
        AssertionError: Something committed was lost, or a run that was killed ended otherwise than one that was not.
    """
    turn(folder / "whole")
    expected = content(folder / "whole")
    chance = random.Random(7)
    hits = cuts = runs = 0
    while hits < kills:
        runs += 1
        path, tally, finished = folder / f"run-{runs}", Tally(), False
        path.mkdir()
        while not finished:
            finished = start_and_kill(path, tally, chance)
            hits += not finished
            # Else the next process repairs what this one left.
            if finished or chance.random() < 0.2:
                acknowledged = tally.read()
                assert all(n >= acknowledged[name] for name, n in counts(path).items()), path
        assert content(path) == expected, path
        with Ledger.open(path) as ledger:
            cuts += sum(1 for _ in ledger.events("tail_cut"))
    print(json.dumps({"kills": hits, "cuts": cuts}))


def start_and_kill(path: Path, tally: "Tally", chance: random.Random) -> bool:
    """Start a process that goes on with the run and kill it; return whether it had finished."""
    done, write = os.pipe()
    # Half of the kills come from outside at any time, half in the middle of a write.
    last = chance.choice([None, chance.randrange(1, 300)])
    child = start(path, tally, write, last)
    os.close(write)
    wait = chance.uniform(0.0, 0.05) if last is None else 30
    ready, _, _ = select.select([done], [], [], wait)
    finished = bool(ready) and os.read(done, 1) == b"x"
    os.close(done)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return finished


def attempt_at(key: AttemptKey) -> Attempt:
    question = Message("user", f"solve {key.task_id}")
    answer = Message("assistant", f"answer {key.attempt} to {key.task_id}")
    trajectory = Trajectory(
        (question, answer), key.env, key.task_id, None, seed=2**63 + key.attempt
    )
    return Attempt(key=key, trajectory=trajectory, token_count=3)


def verdict_on(key: AttemptKey) -> Verdict:
    kind = random.Random(str(key)).choice(["pass", "fail", "invalid"])
    if kind == "invalid":
        return Verdict.invalid("timeout", verifier="v", version="1")
    return (Verdict.passed if kind == "pass" else Verdict.failed)(verifier="v", version="1")


def groups(items) -> list[list]:
    items = list(items)
    return [items[i : i + GROUP] for i in range(0, len(items), GROUP)]


def turn(path: Path, acknowledge=lambda name, count: None) -> None:
    """Do what is still to be done, as a flywheel would: plan, generate, verify, decide."""
    with Ledger.open(path) as ledger:
        for number in range(ROUNDS):
            tasks = [("sorting", f"sorting:{n}") for n in range(TASKS)]
            ledger.plan(number, "policy", tasks, samples=SAMPLES)
            # Arrival order differs from identity order, and from one start to the next.
            for keys in reversed(groups(ledger.pending(number))):
                ledger.add_attempts([attempt_at(key) for key in keys])
                acknowledge("attempts", len(keys))
            for attempts in groups(ledger.unverified(number)):
                ledger.add_verdicts([(a.key, verdict_on(a.key)) for a in attempts])
                acknowledge("verdicts", len(attempts))
            open_ = [a.key for a in ledger.attempts(number) if ledger.decision_of(a.key) is None]
            for keys in groups(open_):
                ledger.add_decisions([(key, decide(ledger, key)) for key in keys])
                acknowledge("decisions", len(keys))
            if ledger.last_event("round_done", round=number) is None:
                ledger.add_event("round_done", round=number)
                acknowledge("rounds", 1)


def decide(ledger: Ledger, key: AttemptKey) -> Decision:
    outcome = ledger.verdict_of(key).outcome
    return Decision({Outcome.PASS: "accepted", Outcome.FAIL: "rejected"}.get(outcome, "invalid"))


def content(path: Path) -> bytes:
    """Return everything that the ledger says of the run, in its own order."""
    with Ledger.open(path) as ledger:
        rows = [
            [a.to_row(), ledger.verdict_of(a.key).to_row(), str(ledger.decision_of(a.key))]
            for a in ledger.attempts()
        ]
        account = str(ledger.account())
    return orjson.dumps([rows, account])


def counts(path: Path) -> dict[str, int]:
    with Ledger.open(path) as ledger:
        account = ledger.account()
        return {
            "attempts": account.generated,
            "verdicts": account.generated - account.unverified,
            "decisions": account.generated - account.undecided,
            "rounds": sum(1 for _ in ledger.events("round_done")),
        }


class Tally:
    """Counts in memory that a killed process leaves behind."""

    NAMES = ("attempts", "verdicts", "decisions", "rounds")

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 32)

    def add(self, name: str, count: int) -> None:
        at = 8 * self.NAMES.index(name)
        (before,) = struct.unpack_from("q", self._map, at)
        struct.pack_into("q", self._map, at, before + count)

    def read(self) -> dict[str, int]:
        return dict(zip(self.NAMES, struct.unpack("4q", self._map[:])))


class SlicedWriting:
    """A disk that takes few bytes at a time; with ``last``, the process is killed right after that many slices."""

    def __init__(self, last: int | None) -> None:
        self.last, self.count = last, 0

    def __call__(self, file: DiskFile, data: memoryview) -> int:
        taken = os.write(file._fd, data[:37])
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        return taken


def start(path: Path, tally: Tally, done: int, last: int | None) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        writing = SlicedWriting(last)
        DiskFile.append = lambda self, data: writing(self, data)
        turn(path, tally.add)
        os.write(done, b"x")
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    warnings.simplefilter("ignore", LedgerWarning)  # torn lines are cut, as they should be
    main(Path(sys.argv[1]), int(sys.argv[2]))
