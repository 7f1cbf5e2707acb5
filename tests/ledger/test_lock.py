"""One writer per run, whatever becomes of its process and of those that it started."""

import os
import signal

import pytest

from orbiter.errors import LedgerError, RunLockedError
from orbiter.ledger import Ledger


def test_one_run_has_one_writer(run_dir):
    with Ledger.open(run_dir), pytest.raises(RunLockedError) as caught:
        Ledger.open(run_dir)
    assert caught.value.message == f"run 'run' is locked by process {os.getpid()}"
    Ledger.open(run_dir).close()


def test_another_process_is_refused_and_a_killed_one_frees_the_run(run_dir):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            Ledger.open(run_dir)
            os.write(writer, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 1) == b"x"
    with pytest.raises(RunLockedError, match=f"run 'run' is locked by process {child}"):
        Ledger.open(run_dir)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    Ledger.open(run_dir).close()


def test_a_forked_worker_neither_keeps_the_lock_nor_writes(run_dir, make_attempt, planned):
    ledger = Ledger.open(run_dir, commit_rows=100, commit_s=1000)
    keys = planned(ledger)
    ledger.add_attempts([make_attempt(keys[0])])
    hold, held = os.pipe()
    done, ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(held)
        said = "the child wrote"
        try:
            with ledger:
                ledger.add_attempts([make_attempt(keys[1])])
        except LedgerError as error:
            said = error.message
        os.write(ready, said.encode())
        os.read(hold, 1)  # until the parent is done
        os._exit(0)
    os.close(ready)
    said = os.read(done, 1000).decode()
    assert said == (
        f"run {str(run_dir)!r} must be written by the process that opened it, {os.getpid()}, got {child}"
    )
    ledger.close()
    with Ledger.open(run_dir) as again:  # the child still lives
        assert [attempt.key for attempt in again.attempts()] == [keys[0]]
    os.close(held)
    os.waitpid(child, 0)
    for fd in (hold, done):
        os.close(fd)


def test_a_worker_that_outlives_its_run_does_not_keep_it_locked(run_dir):
    ledger = Ledger.open(run_dir)
    hold, held = os.pipe()
    alive, lives = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(held)
        os.write(lives, b"x")
        os.read(hold, 1)
        os._exit(0)
    try:
        assert os.read(alive, 1) == b"x"
        ledger.close()
        Ledger.open(run_dir).close()
    finally:
        os.close(held)
        os.waitpid(child, 0)
        for fd in (hold, alive, lives):
            os.close(fd)
