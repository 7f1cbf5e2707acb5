"""Groups may come from several threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

from orbiter.ledger import Attempt, AttemptKey, Ledger
from orbiter.records import Message, Trajectory, Verdict


def messages_of(key):
    number = int(key.task_id[1:]) * 40 + key.attempt
    return (Message("user", "?"), Message("assistant", "x" * number))


def test_groups_of_several_threads_are_each_recorded_once(tmp_path):
    tasks = [("e", f"t{n}") for n in range(8)]
    begin = threading.Barrier(4)
    with Ledger.open(tmp_path / "run") as ledger, ThreadPoolExecutor(4) as threads:
        ledger.plan(1, "policy", tasks, samples=40)

        def write(part):
            begin.wait()
            for number in range(40):
                keys = [AttemptKey(1, "policy", *task, number) for task in tasks[2 * part :][:2]]
                ledger.add_attempts(
                    Attempt(
                        key=key,
                        trajectory=Trajectory(messages_of(key), key.env, key.task_id, None),
                    )
                    for key in keys
                )
                ledger.add_verdicts((key, Verdict.passed()) for key in keys)
                if number % 10 == 0:
                    ledger.flush()

        list(threads.map(write, range(4)))
        account = ledger.account().check()
        for attempt in ledger.attempts():
            assert attempt.trajectory.messages == messages_of(attempt.key)
    assert (account.planned, account.passed) == (320, 320)
    with Ledger.open(tmp_path / "run") as again:
        assert again.account().check() == account
    assert len((tmp_path / "run/attempts.jsonl").read_bytes().splitlines()) == 320
