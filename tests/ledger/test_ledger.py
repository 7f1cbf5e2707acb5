import math
from pathlib import Path

import attrs
import pytest

from orbiter.errors import ConfigError, LedgerError, RecordError
from orbiter.ledger import Account, Decision, Ledger
from orbiter.records import Message, Trajectory, Verdict

TASKS = [("sorting", "b"), ("adding", "a"), ("sorting", "a")]


PASS = Verdict.passed(verifier="exact", version="1")


FAIL = Verdict.failed("wrong", verifier="exact", version="1")


def test_attempts_come_back_in_identity_order_whatever_order_they_arrived_in(
    ledger, make_attempt, planned
):
    keys = planned(ledger)
    made = [make_attempt(key) for key in keys]
    for n in (4, 1, 0, 5, 3):
        ledger.add_attempts([made[n]])
    assert list(ledger.attempts(1, "policy")) == [made[n] for n in (0, 1, 3, 4, 5)]
    assert list(ledger.pending()) == [keys[2]]


def test_everything_is_there_after_opening_again(run_dir, make_attempt, planned):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        made = [make_attempt(key) for key in keys[:4]] + [make_attempt(keys[4], error="timeout")]
        ledger.add_attempts(made)
        ledger.add_verdicts([(keys[0], PASS), (keys[1], FAIL), (keys[2], Verdict.invalid("crash"))])
        ledger.add_decisions(
            [(keys[0], Decision("accepted")), (keys[1], Decision("rejected", "wrong"))]
        )
        before = ledger.account()
    with Ledger.open(run_dir) as ledger:
        assert ledger.account() == before
        assert list(ledger.attempts()) == made
        assert [ledger.verdict_of(key) for key in keys[:4]] == [
            PASS,
            FAIL,
            Verdict.invalid("crash"),
            None,
        ]
        assert ledger.decision_of(keys[0]) == Decision("accepted", "", "exact", "1")
        assert ledger.decision_of(keys[2]) is None
        assert list(ledger.unverified()) == [made[3]]
        assert ledger.attempt_of(keys[5]) is None
    assert before == Account(
        planned=6,
        generated=5,
        passed=1,
        failed=1,
        invalid={"crash": 1, "no answer: timeout": 1},
        pending=2,
        decisions={"accepted": {"": 1}, "rejected": {"wrong": 1}},
        undecided=3,
        token_count=15,
        sample_count=5,
    )
    assert (before.unverified, before.passed_rate, before.invalid_rate) == (1, 0.5, 0.5)


def test_a_later_round_and_another_engine_are_accounts_of_their_own(ledger, make_attempt, planned):
    keys = planned(ledger, 1, round=2)
    ledger.plan(1, "held_out", TASKS[:1], samples=1)
    ledger.add_attempts([make_attempt(key) for key in keys])
    assert ledger.account(1) == Account(planned=1, pending=1)
    assert ledger.account(2, env="sorting").planned == 2
    assert ledger.account(engine="policy").generated == 3
    assert [key.round for key in ledger.pending()] == [1]
    ledger.add_attempts([make_attempt(key) for key in ledger.pending()])
    assert [attempt.key.round for attempt in ledger.attempts()] == [1, 2, 2, 2]


def test_the_same_row_twice_is_one_row_and_another_row_is_refused(
    run_dir, ledger, make_attempt, lines, planned
):
    keys = planned(ledger)
    first = make_attempt(keys[0])
    ledger.add_attempts([first, first])
    ledger.add_attempts([first])
    ledger.add_verdicts([(keys[0], PASS)])
    ledger.add_verdicts([(keys[0], PASS)])
    ledger.add_decisions([(keys[0], Decision("accepted"))])
    ledger.add_decisions([(keys[0], Decision("accepted"))])
    assert [len(lines(run_dir, n)) for n in ("attempts", "verdicts", "decisions")] == [1, 1, 1]
    name = "round 1, engine 'policy', env 'sorting', task 'b', attempt 0"
    with pytest.raises(LedgerError) as caught:
        ledger.add_attempts([make_attempt(keys[1]), make_attempt(keys[0], "something else")])
    assert caught.value.message == f"attempts.jsonl holds another row already of {name}"
    with pytest.raises(LedgerError, match=r"verdicts\.jsonl holds another row already"):
        ledger.add_verdicts([(keys[0], FAIL)])
    with pytest.raises(LedgerError, match=r"decisions\.jsonl holds another row already"):
        ledger.add_decisions([(keys[0], Decision("duplicate"))])
    with pytest.raises(LedgerError, match=r"attempts\.jsonl holds another row already"):
        ledger.add_attempts([make_attempt(keys[2]), make_attempt(keys[2], "something else")])
    # A refused group is refused whole.
    assert [len(lines(run_dir, n)) for n in ("attempts", "verdicts", "decisions")] == [1, 1, 1]
    assert list(ledger.pending()) == keys[1:]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "cannot be written as JSON: Type is not JSON serializable: object"),
        ("\ud800", "cannot be written as JSON: str is not valid UTF-8: surrogates not allowed"),
        (2**64, "cannot be written as JSON: Integer exceeds 64-bit range"),
        ([1.0, {"y": math.nan}], "must hold finite numbers, got another in 'metadata.x.1.y'"),
        (-math.inf, "must hold finite numbers, got another in 'metadata.x'"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_named(
    run_dir, ledger, make_attempt, value, message, lines, planned
):
    keys = planned(ledger)
    bad = make_attempt(keys[1])
    bad = attrs.evolve(bad, trajectory=attrs.evolve(bad.trajectory, metadata={"x": value}))
    with pytest.raises(RecordError) as caught:
        ledger.add_attempts([make_attempt(keys[0]), bad])
    assert caught.value.message == f"row of {keys[1]} {message}"
    assert lines(run_dir, "attempts") == []


def test_nulls_and_the_word_null_are_taken(ledger, make_attempt, planned):
    (key, *_) = planned(ledger)
    made = make_attempt(key, "null null")
    made = attrs.evolve(made, trajectory=attrs.evolve(made.trajectory, metadata={"x": [None, 1.5]}))
    ledger.add_attempts([made])
    assert list(ledger.attempts()) == [made]


def test_events_are_found_by_name_and_value(run_dir):
    with Ledger.open(run_dir) as ledger:
        ledger.add_event("stage_done", round=1, stage="generate", sampled=5)
        ledger.add_event("stage_done", round=1, stage="train", path=Path("x/y"), nothing=None)
        ledger.add_event("stage_done", round=2, stage="generate")
    with Ledger.open(run_dir) as ledger:
        assert [e["event"] for e in ledger.events()] == ["ledger_created", *["stage_done"] * 3]
        assert [e["stage"] for e in ledger.events("stage_done", round=1)] == ["generate", "train"]
        last = ledger.last_event("stage_done", stage="generate")
        assert last is not None
        assert last["round"] == 2
        assert ledger.last_event("stage_done", stage="train")["path"] == "x/y"
        assert ledger.last_event("stage_done", round=3) is None
        assert ledger.last_event("stage_done", lacking=None) is None
        with pytest.raises(ConfigError, match="field 'time' of an event is the ledger's own"):
            ledger.add_event("stage_done", time=1)


def test_no_time_of_day_is_in_the_data(run_dir, ledger, make_attempt, lines, planned):
    keys = planned(ledger)
    ledger.add_attempts([make_attempt(key) for key in keys])
    ledger.add_verdicts([(key, PASS) for key in keys])
    ledger.add_decisions([(key, Decision("accepted")) for key in keys])
    for name in ("attempts", "verdicts", "decisions"):
        assert not any("time" in row for row in lines(run_dir, name))
    assert all(row["time"].endswith("+00:00") for row in lines(run_dir, "rounds"))


def test_a_closed_ledger_says_so(run_dir):
    ledger = Ledger.open(run_dir)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="is closed"):
        ledger.add_event("x")
    with pytest.raises(LedgerError, match="is closed"):
        ledger.last_event("ledger_created")


def test_rows_of_a_dataset_are_recorded_by_their_line(run_dir, make_attempt, planned):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        made = [make_attempt(key) for key in keys]
        ledger.add_attempts([made[2], made[0]])
        (run_dir / "data.jsonl").write_bytes(b"some rows\n")
        own = Trajectory((Message("user", "q"),), "sorting", "demo", 1.0)
        rows = [made[0].trajectory, made[2].trajectory, own]
        digest = ledger.add_dataset("data.jsonl", rows, round=1)
        assert ledger.add_dataset("data.jsonl", rows, round=1) == digest
        assert [
            e["attempts"] for e in ledger.events("dataset_rows", dataset=digest) if "attempts" in e
        ] == [[2, 1]]
        (event,) = ledger.events("dataset_written")
        assert (event["path"], event["attempts"], event["others"]) == ("data.jsonl", 2, 1)
        with pytest.raises(
            LedgerError, match="attempt must be recorded before it is judged or decided"
        ):
            ledger.add_dataset("rounds.jsonl", [made[1].trajectory], round=1)
        with pytest.raises(LedgerError, match="cannot be read: No such file"):
            ledger.add_dataset("nothing.jsonl", [], round=1)
        ledger.add_checkpoint("ckpt", round=1, base=None, dataset="data.jsonl")
        ledger.add_checkpoint("ckpt", round=1, base=None, dataset=digest)
        (event,) = ledger.events("checkpoint_written")
        assert event["dataset"] == digest
        with pytest.raises(
            LedgerError, match=r"dataset of a checkpoint must be recorded before it, got 'x\.jsonl'"
        ):
            ledger.add_checkpoint("ckpt", round=1, base=None, dataset="x.jsonl")


def test_options_of_opening_are_checked(run_dir):
    with pytest.raises(ConfigError, match="commit_rows must be >= 1, got 0"):
        Ledger.open(run_dir, commit_rows=0)
    with pytest.raises(ConfigError, match="commit_s must be >= 0, got -1"):
        Ledger.open(run_dir, commit_s=-1)
