"""When rows reach the disk, and what happens when it is full."""

import resource

import pytest

from orbiter.errors import LedgerError
from orbiter.ledger import Ledger
from orbiter.records import Verdict

PASS = Verdict.passed(verifier="exact", version="1")


def test_rows_that_wait_are_written_together(run_dir, make_attempt, lines, planned):
    with Ledger.open(run_dir, commit_rows=5, commit_s=1000) as ledger:
        keys = planned(ledger)
        for key in keys[:2]:
            ledger.add_attempts([make_attempt(key)])
            ledger.add_verdicts([(key, PASS)])
            with pytest.raises(LedgerError, match="holds another row already"):
                ledger.add_attempts([make_attempt(key, "something else")])
        assert [len(lines(run_dir, n)) for n in ("attempts", "verdicts")] == [0, 0]
        ledger.add_attempts([make_attempt(keys[2])])
        assert [len(lines(run_dir, n)) for n in ("attempts", "verdicts")] == [3, 2]
        ledger.add_attempts([make_attempt(keys[3])])
        assert len(lines(run_dir, "attempts")) == 3
        assert ledger.account().generated == 4  # what is read is durable
        assert len(lines(run_dir, "attempts")) == 4
        ledger.add_attempts([make_attempt(keys[4])])
        ledger.add_event("stage_done")
        assert len(lines(run_dir, "attempts")) == 5
        ledger.add_attempts([make_attempt(keys[5])])
    assert len(lines(run_dir, "attempts")) == 6


def test_rows_wait_no_longer_than_they_may(run_dir, make_attempt, lines, planned):
    with Ledger.open(run_dir, commit_rows=100, commit_s=0) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(keys[0])])
        assert len(lines(run_dir, "attempts")) == 1


def test_a_full_disk_is_an_error_and_the_run_goes_on_when_there_is_space(
    run_dir, make_attempt, planned
):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(keys[0])])
        size = (run_dir / "attempts.jsonl").stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
        try:
            with pytest.raises(
                LedgerError, match=r"attempts\.jsonl cannot be written: File too large"
            ):
                ledger.add_attempts([make_attempt(key) for key in keys[1:]])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (run_dir / "attempts.jsonl").stat().st_size == size
        assert list(ledger.pending()) == keys[1:]
        ledger.add_attempts([make_attempt(key) for key in keys[1:]])
    with Ledger.open(run_dir) as ledger:
        assert ledger.account().generated == 6
