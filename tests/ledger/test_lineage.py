from pathlib import Path

import attrs
import pytest

from orbiter import jsonl
from orbiter.errors import LedgerError
from orbiter.ledger import (
    AttemptKey,
    Ledger,
    RunIndex,
    trace_checkpoint,
    trace_given,
    trace_row,
    trace_taint,
)
from orbiter.records import Verdict

ROUNDS = (1, 2, 3)


@pytest.fixture
def run(run_dir, make_attempt) -> Path:
    """Round n keeps attempt 0 of tasks 0 and 1; each dataset holds all that was kept so far; ckpt-n starts from ckpt-(n-1).

    ``side`` is trained on round 1's data from nothing, and ``late`` goes on from it with a failed attempt of round 3.
    """
    kept = []
    with Ledger.open(run_dir) as ledger:
        ledger.add_checkpoint("ckpt-0", round=0, base=None, dataset=None)
        for number in ROUNDS:
            ledger.plan(number, "policy", [("e", "t0"), ("e", "t1")], samples=2)
            keys = list(ledger.pending(number))
            ledger.add_attempts([make_attempt(k, f"answer of round {number}") for k in keys])
            passed = Verdict.passed(verifier="exact", version="1")
            ledger.add_verdicts(
                [(k, passed if k.attempt == 0 else Verdict.failed("x", verifier="exact", version="1")) for k in keys]
            )  # fmt: skip
            kept += [ledger.attempt_of(k).trajectory for k in keys if k.attempt == 0]
            (run_dir / f"data-{number}").write_text(str(len(kept)))
            ledger.add_dataset(f"data-{number}", kept, round=number)
            ledger.add_checkpoint(
                f"ckpt-{number}", round=number, base=f"ckpt-{number - 1}", dataset=f"data-{number}"
            )
        ledger.add_checkpoint("side", round=1, base=None, dataset="data-1")
        (run_dir / "failed").write_text("one row")
        failed = ledger.attempt_of(key(3, 0, attempt=1)).trajectory
        ledger.add_dataset("failed", [failed], round=3)
        ledger.add_checkpoint("late", round=3, base="side", dataset="failed")
    return run_dir


def key(number: int, task: int, attempt: int = 0) -> AttemptKey:
    return AttemptKey(number, "policy", "e", f"t{task}", attempt)


def paths(items) -> list[str]:
    return [item.path for item in items]


def test_a_row_leads_to_its_datasets_and_checkpoints(run):
    with RunIndex(run) as index:
        (row,) = trace_row(index, key(2, 0))
        assert paths(row.datasets) == ["data-2", "data-3"]
        assert paths(row.checkpoints) == ["ckpt-2", "ckpt-3"]
        assert (row.attempt.generator, row.attempt.seed) == ("scripted", 2**63)
        assert [(v.verifier, v.version, v.outcome) for v in row.verdicts] == [
            ("exact", "1", "pass")
        ]
        (unused,) = trace_row(index, key(1, 0, attempt=1))
        assert (unused.datasets, unused.checkpoints) == ((), ())


def test_a_trajectory_id_names_every_attempt_with_the_same_messages(run):
    with RunIndex(run) as index:
        (row,) = trace_row(index, key(1, 0))
        same = trace_row(index, row.attempt.id)
        assert [found.attempt.key for found in same] == [key(1, 0), key(1, 0, attempt=1)]
        with pytest.raises(LedgerError, match=r"has no row 0123456789abcdef"):
            trace_row(index, "0123456789abcdef")


def test_a_checkpoint_leads_to_the_rows_that_trained_it(run):
    with RunIndex(run) as index:
        own = trace_checkpoint(index, "ckpt-2", ancestors=False)
        assert sorted(a.key for a in own.attempts) == [key(n, t) for n in (1, 2) for t in (0, 1)]
        assert (paths(own.datasets), own.ancestors) == (["data-2"], ())
        whole = trace_checkpoint(index, "ckpt-3")
        assert paths(whole.ancestors) == ["ckpt-2", "ckpt-1", "ckpt-0"]
        assert paths(whole.datasets) == ["data-3", "data-2", "data-1"]
        assert sorted(a.key for a in whole.attempts) == [key(n, t) for n in ROUNDS for t in (0, 1)]
        assert trace_checkpoint(index, "ckpt-0").attempts == ()
        with pytest.raises(LedgerError, match="wrote no checkpoint 'ckpt-9'; did you mean 'ckpt-"):
            trace_checkpoint(index, "ckpt-9")


def test_lineage_goes_both_ways(run):
    with RunIndex(run) as index:
        for checkpoint in index.checkpoints():
            for attempt in trace_checkpoint(index, checkpoint.path).attempts:
                (row,) = trace_row(index, attempt.key)
                assert checkpoint in row.checkpoints


def test_a_row_that_was_given_has_a_lineage_too(run, make_attempt):
    shown = make_attempt(key(4, 0), "shown").trajectory
    shown = attrs.evolve(shown, generator="demonstration", extra={})
    jsonl.write(run / "shown.jsonl", [shown])
    with Ledger.open(run) as ledger:
        ledger.add_dataset("shown.jsonl", [shown], round=4)
        ledger.add_checkpoint("ckpt-4", round=4, base="late", dataset="shown.jsonl")
        ledger.add_checkpoint("ckpt-5", round=5, base="ckpt-4", dataset=None)
    with RunIndex(run) as index:
        lineage = trace_given(index, shown.id)
        assert lineage.row["generator"] == "demonstration"
        assert paths(lineage.datasets) == ["shown.jsonl"]
        assert paths(lineage.checkpoints) == ["ckpt-4", "ckpt-5"]
        assert trace_checkpoint(index, "ckpt-5").given == (shown.id,)
        assert trace_checkpoint(index, "late").given == ()
        assert trace_given(index, trace_row(index, key(2, 0))[0].attempt.id) is None
        (run / "shown.jsonl").unlink()
        assert trace_given(index, shown.id).row is None


def test_flipped_labels_taint_what_was_built_on_them(run):
    later = {"verifier": "exact", "version": "2"}
    with Ledger.open(run) as ledger:
        ledger.add_verdicts(
            [
                (key(2, 0), Verdict.failed("wrong after all", **later)),
                (key(2, 1), Verdict.passed(**later)),
                (key(3, 0, attempt=1), Verdict.passed(**later)),
            ]
        )
    with RunIndex(run) as index:
        taint = trace_taint(index, **later)
        assert taint.judged == 3
        assert [(f.attempt.key, f.before, f.after) for f in taint.flips] == [
            (key(2, 0), "pass", "fail"),
            (key(3, 0, attempt=1), "fail", "pass"),
        ]
        tainted = [("data-2", 1), ("data-3", 1), ("failed", 1)]
        assert [(d.path, count) for d, count in taint.datasets] == tainted
        assert paths(taint.checkpoints) == ["ckpt-2", "ckpt-3", "late"]
        with pytest.raises(LedgerError, match="verifier 'exact' version '3' has judged nothing"):
            trace_taint(index, verifier="exact", version="3")


def test_a_taint_at_the_root_reaches_every_descendant(run):
    with Ledger.open(run) as ledger:
        ledger.add_verdicts(
            [(key(1, 1), Verdict.invalid("unsure", verifier="second", version="1"))]
        )
    with RunIndex(run) as index:
        taint = trace_taint(index, verifier="second", version="1")
        assert paths(taint.checkpoints) == ["ckpt-1", "ckpt-2", "ckpt-3", "side", "late"]
