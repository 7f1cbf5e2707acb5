import math
import os
import resource
import signal
from pathlib import Path

import attrs
import orjson
import pytest

from orbiter.errors import ConfigError, LedgerError, LedgerWarning, RecordError, RunLockedError
from orbiter.ledger import Account, AttemptKey, Decision, History, Ledger, RunIndex
from orbiter.ledger.journal import DiskFile
from orbiter.records import Message, Trajectory, Verdict

TASKS = [("sorting", "b"), ("adding", "a"), ("sorting", "a")]
PASS = Verdict.passed(verifier="exact", version="1")
FAIL = Verdict.failed("wrong", verifier="exact", version="1")


def lines(run_dir: Path, name: str) -> list[dict]:
    return [orjson.loads(line) for line in (run_dir / f"{name}.jsonl").read_bytes().splitlines()]


def planned(ledger: Ledger, samples: int = 2, round: int = 1) -> list[AttemptKey]:
    ledger.plan(round, "policy", TASKS, samples=samples)
    return list(ledger.pending(round, "policy"))


def test_what_is_planned_is_pending_in_the_order_of_the_plan(ledger):
    keys = planned(ledger)
    assert [(k.env, k.task_id, k.attempt) for k in keys] == [
        (env, task, n) for env, task in TASKS for n in (0, 1)
    ]
    assert ledger.account() == Account(planned=6, pending=6)


def test_attempts_come_back_in_identity_order_whatever_order_they_arrived_in(ledger, make_attempt):
    keys = planned(ledger)
    made = [make_attempt(key) for key in keys]
    for n in (4, 1, 0, 5, 3):
        ledger.add_attempts([made[n]])
    assert list(ledger.attempts(1, "policy")) == [made[n] for n in (0, 1, 3, 4, 5)]
    assert list(ledger.pending()) == [keys[2]]


def test_everything_is_there_after_opening_again(run_dir, make_attempt):
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
    )
    assert (before.unverified, before.passed_rate, before.invalid_rate) == (1, 0.5, 0.5)


def test_a_later_round_and_another_engine_are_accounts_of_their_own(ledger, make_attempt):
    keys = planned(ledger, 1, round=2)
    ledger.plan(1, "held_out", TASKS[:1], samples=1)
    ledger.add_attempts([make_attempt(key) for key in keys])
    assert ledger.account(1) == Account(planned=1, pending=1)
    assert ledger.account(2, env="sorting").planned == 2
    assert ledger.account(engine="policy").generated == 3
    assert [key.round for key in ledger.pending()] == [1]
    ledger.add_attempts([make_attempt(key) for key in ledger.pending()])
    assert [attempt.key.round for attempt in ledger.attempts()] == [1, 2, 2, 2]


def test_planning_again_changes_nothing_and_more_samples_add_to_the_plan(run_dir, make_attempt):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(key) for key in keys])
        size = (run_dir / "rounds.jsonl").stat().st_size
        assert planned(ledger) == []
        assert (run_dir / "rounds.jsonl").stat().st_size == size
        ledger.plan(1, "policy", [("adding", "a"), ("adding", "new")], samples=3)
        more = list(ledger.pending())
    assert [(k.task_id, k.attempt) for k in more] == [("a", 2), ("new", 0), ("new", 1), ("new", 2)]
    with Ledger.open(run_dir) as ledger:
        assert list(ledger.pending()) == more
        ledger.plan(1, "policy", TASKS, samples=1)
        assert ledger.account().planned == 10


def test_a_big_plan_is_split_into_lines(run_dir):
    tasks = [("sorting", f"sorting:{n}") for n in range(2500)]
    with Ledger.open(run_dir) as ledger:
        ledger.plan(1, "policy", tasks, samples=2)
        assert [len(event["tasks"]) for event in ledger.events("planned")] == [1000, 1000, 500]
    with Ledger.open(run_dir) as ledger:
        assert [(k.env, k.task_id) for k in ledger.pending()][::2] == tasks


def test_the_same_row_twice_is_one_row_and_another_row_is_refused(run_dir, ledger, make_attempt):
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


def test_what_was_never_planned_or_made_is_refused(ledger, make_attempt):
    keys = planned(ledger, samples=1)
    for stranger in (
        attrs.evolve(keys[0], attempt=1),
        attrs.evolve(keys[0], task_id="z"),
        attrs.evolve(keys[0], round=9),
    ):
        with pytest.raises(
            LedgerError, match="attempt must be planned before it is recorded, got round"
        ):
            ledger.add_attempts([make_attempt(stranger)])
        assert ledger.verdict_of(stranger) is None
    with pytest.raises(
        LedgerError, match="attempt must be recorded before it is judged or decided"
    ):
        ledger.add_verdicts([(keys[0], PASS)])
    with pytest.raises(
        LedgerError, match="attempt must be recorded before it is judged or decided"
    ):
        ledger.add_decisions([(keys[0], Decision("accepted"))])


@pytest.mark.parametrize("samples", [0, -1, True, 1.5])
def test_a_plan_is_strict(ledger, samples):
    with pytest.raises(ConfigError, match="samples must be an integer >= 1"):
        ledger.plan(1, "policy", TASKS, samples=samples)


def test_a_plan_names_every_task_once(ledger):
    with pytest.raises(LedgerError, match="tasks of a plan must differ, got"):
        ledger.plan(1, "policy", [*TASKS, TASKS[0]], samples=1)
    with pytest.raises(RecordError, match="field 'task_id' must be a non-empty string"):
        ledger.plan(1, "policy", [("sorting", "")], samples=1)


def test_names_of_tasks_are_never_paths(run_dir, ledger, make_attempt):
    ledger.plan(1, "../engine", [("/etc", "../../passwd\n\0")], samples=1)
    (key,) = ledger.pending()
    ledger.add_attempts([make_attempt(key)])
    assert next(ledger.attempts()).key == key
    assert sorted(p.name for p in run_dir.iterdir()) == [
        "attempts.jsonl", "decisions.jsonl", "ledger.lock", "rounds.jsonl", "verdicts.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a b", ".hidden", "-x", "x" * 101, "ü"])
def test_the_name_of_a_run_is_plain(tmp_path, name):
    with pytest.raises(ConfigError, match="name of a run must be 1 to 100 letters"):
        Ledger.open(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_second_verdict_is_kept_beside_the_verdict_of_record(run_dir, make_attempt):
    with Ledger.open(run_dir) as ledger:
        (key, *_) = planned(ledger)
        ledger.add_attempts([make_attempt(key)])
        ledger.add_verdicts([(key, PASS)])
        later = attrs.evolve(FAIL, version="2")
        ledger.add_verdicts([(key, later)])
    with Ledger.open(run_dir) as ledger:
        assert ledger.verdict_of(key) == PASS
        assert ledger.verdicts_of(key) == [PASS, later]
        assert ledger.verdict_of(key, version="2") == later
        assert ledger.verdict_of(key, verifier="exact") == later
        assert ledger.verdict_of(key, verifier="other") is None
        assert (ledger.account().passed, ledger.account().failed) == (1, 0)


def test_attempts_of_one_task_may_have_verdicts_of_record_by_different_verifiers(
    run_dir, make_attempt
):
    first, second = PASS, attrs.evolve(FAIL, version="2")
    with Ledger.open(run_dir) as ledger:
        ledger.plan(1, "policy", [("e", "t")], samples=3)
        ledger.add_attempts([make_attempt(key) for key in ledger.pending()])
        keys = [attempt.key for attempt in ledger.attempts()]
        ledger.add_verdicts([(keys[0], first), (keys[1], second), (keys[2], first)])
        ledger.plan(1, "policy", [("e", "t")], samples=4)  # the plan grows after the first verdicts
        (key,) = ledger.pending()
        ledger.add_attempts([make_attempt(key)])
        keys.append(key)
        ledger.add_verdicts([(keys[3], second), (keys[2], second)])
        ledger.add_decisions([(key, Decision("accepted")) for key in keys])
    with Ledger.open(run_dir) as ledger:
        assert [ledger.verdict_of(key) for key in keys] == [first, second, first, second]
        assert [ledger.decision_of(key).version for key in keys] == ["1", "2", "1", "2"]
        assert ledger.verdicts_of(keys[2]) == [first, second]


def test_an_attempt_without_an_answer_is_invalid_until_a_verdict_says_otherwise(
    run_dir, make_attempt
):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(key, error="timeout") for key in keys[:3]])
        assert ledger.account().invalid == {"no answer: timeout": 3}
        assert list(ledger.unverified()) == []
        ledger.add_verdicts([(keys[0], Verdict.invalid("gave up")), (keys[1], FAIL)])
        account = ledger.account()
    assert (account.invalid, account.failed) == ({"gave up": 1, "no answer: timeout": 1}, 1)
    with Ledger.open(run_dir) as ledger:
        assert ledger.account() == account


def test_a_verdict_may_not_rename_its_attempt(ledger, make_attempt):
    (key, *_) = planned(ledger)
    ledger.add_attempts([make_attempt(key)])
    with pytest.raises(RecordError, match="field 'task_id' must not be in a verdict's extra keys"):
        ledger.add_verdicts([(key, attrs.evolve(PASS, extra={"task_id": "other"}))])


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
def test_what_json_cannot_hold_is_refused_and_named(run_dir, ledger, make_attempt, value, message):
    keys = planned(ledger)
    bad = make_attempt(keys[1])
    bad = attrs.evolve(bad, trajectory=attrs.evolve(bad.trajectory, metadata={"x": value}))
    with pytest.raises(RecordError) as caught:
        ledger.add_attempts([make_attempt(keys[0]), bad])
    assert caught.value.message == f"row of {keys[1]} {message}"
    assert lines(run_dir, "attempts") == []


def test_nulls_and_the_word_null_are_taken(ledger, make_attempt):
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


def test_no_time_of_day_is_in_the_data(run_dir, ledger, make_attempt):
    keys = planned(ledger)
    ledger.add_attempts([make_attempt(key) for key in keys])
    ledger.add_verdicts([(key, PASS) for key in keys])
    ledger.add_decisions([(key, Decision("accepted")) for key in keys])
    for name in ("attempts", "verdicts", "decisions"):
        assert not any("time" in row for row in lines(run_dir, name))
    assert all(row["time"].endswith("+00:00") for row in lines(run_dir, "rounds"))


def test_rows_that_wait_are_written_together(run_dir, make_attempt):
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


def test_rows_wait_no_longer_than_they_may(run_dir, make_attempt):
    with Ledger.open(run_dir, commit_rows=100, commit_s=0) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(keys[0])])
        assert len(lines(run_dir, "attempts")) == 1


def test_a_full_disk_is_an_error_and_the_run_goes_on_when_there_is_space(run_dir, make_attempt):
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


def test_a_forked_worker_neither_keeps_the_lock_nor_writes(run_dir, make_attempt):
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


def test_a_closed_ledger_says_so(run_dir):
    ledger = Ledger.open(run_dir)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="is closed"):
        ledger.add_event("x")
    with pytest.raises(LedgerError, match="is closed"):
        ledger.last_event("ledger_created")


def test_a_folder_without_a_run_is_left_alone(tmp_path):
    for opening in (
        lambda: Ledger.open(tmp_path / "x", create=False),
        lambda: History.open(tmp_path / "x"),
    ):
        with pytest.raises(LedgerError, match="holds no run"):
            opening()
    assert list(tmp_path.iterdir()) == []


def test_several_torn_files_are_all_recorded_even_if_warnings_are_errors(run_dir, make_attempt):
    with Ledger.open(run_dir) as ledger:
        ledger.add_attempts([make_attempt(key) for key in planned(ledger)])
    for name in ("attempts", "verdicts", "decisions"):
        with (run_dir / f"{name}.jsonl").open("ab") as file:
            file.write(b'{"half')
    with pytest.raises(LedgerWarning):
        Ledger.open(run_dir)
    with Ledger.open(run_dir) as ledger:
        cut = [(e["file"], e["line"], e["bytes"]) for e in ledger.events("tail_cut")]
    assert cut == [("attempts.jsonl", 7, 6), ("verdicts.jsonl", 1, 6), ("decisions.jsonl", 1, 6)]


def test_a_torn_line_of_each_file_is_cut_and_named(run_dir, make_attempt):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(key) for key in keys[:2]])
        ledger.add_verdicts([(keys[0], PASS), (keys[1], PASS)])
        ledger.add_decisions([(keys[0], Decision("accepted"))])
        ledger.add_event("stage_done")
    for name, line in (("rounds", 3), ("decisions", 1), ("verdicts", 2), ("attempts", 2)):
        file = run_dir / f"{name}.jsonl"
        if name == "attempts":
            # An attempt that was judged is on the disk, so only what was never judged can be torn.
            with Ledger.open(run_dir) as ledger:
                ledger.add_attempts([make_attempt(keys[2])])
            line = 3
        file.write_bytes(file.read_bytes()[:-7])
        with pytest.warns(
            LedgerWarning, match=rf"{name}\.jsonl of run .*: line {line} was cut off"
        ):
            ledger = Ledger.open(run_dir)
        with ledger:
            assert ledger.last_event("tail_cut")["file"] == f"{name}.jsonl"
            assert ledger.last_event("tail_cut")["line"] == line
            ledger.account()
    with Ledger.open(
        run_dir
    ) as ledger:  # nothing left to repair, so no warning, which would be an error
        assert ledger.account().generated == 2


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("attempts", lambda text: text.replace(b'"attempt":0', b'"attempt":"0"', 1), "attempts.jsonl line 1 is damaged"),
        ("attempts", lambda text: b"\0" * 20 + text[20:], "attempts.jsonl line 1 is damaged"),
        ("attempts", lambda text: b"\n" + text, "attempts.jsonl line 1 is damaged"),
        ("attempts", lambda text: text + text.splitlines(True)[0], "attempts.jsonl line 3 records again what line 1 records"),
        ("attempts", lambda text: text.splitlines(True)[1], "verdicts.jsonl line 1 names an attempt that was never made: round 1"),
        ("rounds", lambda text: text.splitlines(True)[0], "attempts.jsonl line 1 names an attempt that was never planned: round 1"),
        ("rounds", lambda text: text.replace(b'"format":1', b'"format":2'), "format of a ledger must be 1, got 2"),
        ("verdicts", lambda text: text.replace(b'"pass"', b'"maybe"', 1), "verdicts.jsonl line 1 is damaged"),
        ("decisions", lambda text: text * 2, "decisions.jsonl line 2 records again what line 1 records"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_an_error_never_a_silent_loss(run_dir, make_attempt, name, edit, message):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(key) for key in keys[:2]])
        ledger.add_verdicts([(key, PASS) for key in keys[:2]])
        ledger.add_decisions([(keys[0], Decision("accepted"))])
    file = run_dir / f"{name}.jsonl"
    file.write_bytes(edit(file.read_bytes()))
    before = file.read_bytes()
    with pytest.raises(LedgerError) as caught:
        Ledger.open(run_dir)
    assert caught.value.message.startswith(message)
    assert file.read_bytes() == before
    with pytest.raises(LedgerError):
        History.open(run_dir)


def test_damage_in_a_text_is_noticed_when_it_is_read(run_dir, make_attempt):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(key) for key in keys])
        file = run_dir / "attempts.jsonl"
        first, *rest = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join([first, rest[0].replace(b"answer", b"answ\xff\xff"), *rest[1:]]))
        attempts = ledger.attempts()
        assert next(attempts).key == keys[0]
        with pytest.raises(LedgerError, match=r"attempts\.jsonl line 2 is damaged"):
            next(attempts)


def test_a_missing_file_is_an_error(run_dir):
    Ledger.open(run_dir).close()
    (run_dir / "verdicts.jsonl").unlink()
    with pytest.raises(LedgerError, match=r"verdicts\.jsonl of run .* is missing"):
        Ledger.open(run_dir)


def test_a_run_that_goes_on_can_be_looked_at(run_dir, make_attempt):
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


def test_what_is_written_while_sizes_are_taken_is_not_half_seen(run_dir, make_attempt, monkeypatch):
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


def test_rows_of_a_dataset_are_recorded_by_their_line(run_dir, make_attempt):
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
