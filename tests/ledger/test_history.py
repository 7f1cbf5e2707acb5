"""Looking at a run: while it goes on, and where there is none."""

import os
from pathlib import Path

import pytest

from orbiter.errors import LedgerError
from orbiter.ledger import Decision, History, Ledger, RunIndex
from orbiter.ledger.journal import DiskFile
from orbiter.records import Verdict

TASKS = [("sorting", "b"), ("adding", "a"), ("sorting", "a")]


PASS = Verdict.passed(verifier="exact", version="1")


def test_a_folder_without_a_run_is_left_alone(tmp_path):
    for opening in (
        lambda: Ledger.open(tmp_path / "x", create=False),
        lambda: History.open(tmp_path / "x"),
    ):
        with pytest.raises(LedgerError, match="holds no run"):
            opening()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_goes_on_can_be_looked_at(run_dir, make_attempt, planned):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(keys[0])])
        with (run_dir / "attempts.jsonl").open("ab") as file:
            file.write(b'{"half')
        with History.open(run_dir) as history:
            assert history.account() == ledger.account()
            assert list(history.attempts()) == [make_attempt(keys[0])]
        assert (run_dir / "attempts.jsonl").read_bytes().endswith(b'{"half')
        os.truncate(run_dir / "attempts.jsonl", ledger._journals["attempts"].size)


def test_looking_while_another_process_writes_always_finds_files_that_belong_together(
    run_dir, make_attempt, monkeypatch
):
    Ledger.open(run_dir).close()
    monkeypatch.setattr(DiskFile, "sync", lambda self: None)  # as many writes as can be
    child = os.fork()
    if child == 0:
        try:
            with Ledger.open(run_dir) as ledger:
                for number in range(400):
                    ledger.plan(number, "policy", TASKS[:1], samples=1)
                    (key,) = ledger.pending(number)
                    ledger.add_attempts([make_attempt(key)])
                    ledger.add_verdicts([(key, PASS)])
                    ledger.add_decisions([(key, Decision("accepted"))])
            os._exit(0)
        finally:
            os._exit(1)
    looks = 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        with History.open(run_dir) as history, RunIndex(run_dir) as index:
            assert history.account().pending <= 1
            assert index.count().get((), 0) >= history.account().generated
        looks += 1
    assert looks > 2
    with History.open(run_dir) as history:
        assert history.account().decided("accepted") == 400


def test_what_is_written_while_sizes_are_taken_is_not_half_seen(
    run_dir, make_attempt, monkeypatch, planned
):
    stat = Path.stat
    with Ledger.open(run_dir) as ledger:

        def stat_while_writing(path: Path, **more: object):
            size = stat(path, **more)
            if path.suffix == ".jsonl":
                (key,) = planned(ledger, samples=1, round=stat_while_writing.round)[:1]
                stat_while_writing.round += 1
                ledger.add_attempts([make_attempt(key)])
                ledger.add_verdicts([(key, PASS)])
                ledger.add_decisions([(key, Decision("accepted"))])
            return size

        stat_while_writing.round = 0
        monkeypatch.setattr(Path, "stat", stat_while_writing)
        with History.open(run_dir) as history:
            seen = history.account()
        with RunIndex(run_dir) as index:
            assert index.count()[()] > seen.generated > 0
