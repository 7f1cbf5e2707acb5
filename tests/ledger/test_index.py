import os
from pathlib import Path

import pytest

from orbiter.errors import ConfigError, LedgerError
from orbiter.ledger import AttemptKey, Decision, Ledger, RunIndex, rebuild_index
from orbiter.records import Message, Trajectory, Verdict

TABLES = ("attempts", "verdicts", "datasets", "dataset_rows", "dataset_others", "checkpoints")


def everything(index: RunIndex) -> dict[str, list]:
    return {t: index._db.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() for t in TABLES}


def write_run(path: Path, make_attempt, *, rounds: tuple[int, ...] = (1, 2)) -> list[AttemptKey]:
    """Two tasks, two samples; the first sample passes, the second fails; what passes is a dataset and a checkpoint."""
    done = []
    with Ledger.open(path) as ledger:
        for number in rounds:
            ledger.plan(number, "policy", [("sorting", "s:0"), ("adding", "a:0")], samples=2)
            keys = list(ledger.pending(number))
            ledger.add_attempts([make_attempt(key) for key in keys])
            ledger.add_verdicts(
                [
                    (
                        k,
                        (Verdict.failed if k.attempt else Verdict.passed)(
                            verifier="exact", version="1"
                        ),
                    )
                    for k in keys
                ]
            )
            ledger.add_decisions(
                [
                    (k, Decision("rejected", "wrong") if k.attempt else Decision("accepted"))
                    for k in keys
                ]
            )
            kept = [ledger.attempt_of(key).trajectory for key in keys if key.attempt == 0]
            demo = Trajectory((Message("user", "demo"),), "sorting", "demo", 1.0)
            (path / f"data-{number}.jsonl").write_text(f"rows of {number}\n")
            ledger.add_dataset(f"data-{number}.jsonl", [*kept, demo], round=number)
            base = f"ckpt-{number - 1}" if number > 1 else None
            ledger.add_checkpoint(
                f"ckpt-{number}", round=number, base=base, dataset=f"data-{number}.jsonl"
            )
            done += keys
    return done


@pytest.fixture
def run(run_dir, make_attempt) -> Path:
    write_run(run_dir, make_attempt)
    return run_dir


def names(found) -> list[str]:
    return [f"{a.key.round} {a.key.task_id} {a.key.attempt}" for a in found]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"round": 1, "outcome": "pass"}, ["1 a:0 0", "1 s:0 0"]),
        ({"env": "adding", "decision": "rejected"}, ["1 a:0 1", "2 a:0 1"]),
        ({"task_id": "s:0", "attempt": 1, "round": 2}, ["2 s:0 1"]),
        ({"dataset": "data-2.jsonl"}, ["2 a:0 0", "2 s:0 0"]),
        ({"checkpoint": "ckpt-1", "env": "sorting"}, ["1 s:0 0"]),
        ({"model": "checkpoints/base", "version": "1", "seed": 2**63, "round": 1}, ["1 a:0 0", "1 s:0 0"]),
        ({"model": None}, []),
        ({"outcome": "invalid"}, []),
    ],
)  # fmt: skip
def test_attempts_are_found_by_what_they_are(run, where, expected):
    with RunIndex(run) as index:
        assert names(index.find(**where)) == expected


def test_attempts_are_counted_by_columns(run):
    with RunIndex(run) as index:
        assert index.count() == {(): 8}
        assert index.count("env", "outcome", round=2) == {
            ("adding", "fail"): 1,
            ("adding", "pass"): 1,
            ("sorting", "fail"): 1,
            ("sorting", "pass"): 1,
        }
        assert index.count("decision", "decision_reason") == {
            ("accepted", ""): 4,
            ("rejected", "wrong"): 4,
        }
        assert index.find(limit=3) == index.find()[:3]


@pytest.mark.parametrize("name", ["envv", "1; DROP TABLE attempts", "rowid"])
def test_columns_are_checked(run, name):
    with RunIndex(run) as index:
        with pytest.raises(ConfigError, match="column must be one of round, engine"):
            index.find(**{name: 1})
        with pytest.raises(ConfigError, match="column must be one of round, engine"):
            index.count(name)


def test_values_are_never_part_of_the_query(run):
    with RunIndex(run) as index:
        assert index.find(env="' OR 1=1 --") == []


def test_an_index_made_step_by_step_equals_one_made_at_once(run_dir, make_attempt):
    write_run(run_dir, make_attempt, rounds=(1,))
    RunIndex(run_dir).close()
    with Ledger.open(run_dir) as ledger:
        ledger.plan(3, "policy", [("sorting", "s:9")], samples=2)
        (key, other) = ledger.pending(3)
        ledger.add_attempts([make_attempt(key), make_attempt(other, error="timeout")])
        with RunIndex(run_dir) as index:
            assert [a.outcome for a in index.find(round=3)] == ["pending", "invalid"]
            ledger.add_verdicts([(key, Verdict.passed(verifier="v", version="1"))])
            ledger.add_verdicts([(key, Verdict.failed("no", verifier="v", version="2"))])
            index.catch_up()
            (attempt, _) = index.find(round=3)
            assert (attempt.outcome, attempt.version) == ("pass", "1")
            assert [v.version for v in index.verdicts(attempt.line)] == ["1", "2"]
    write_run(run_dir, make_attempt, rounds=(2,))
    with RunIndex(run_dir) as index:
        stepwise = everything(index)
    rebuild_index(run_dir)
    with RunIndex(run_dir) as index:
        assert everything(index) == stepwise


def test_an_index_of_other_files_is_made_anew(run, make_attempt):
    RunIndex(run).close()
    other = run.parent / "other"
    write_run(other, lambda key: make_attempt(key, "another answer"))
    for name in ("rounds", "attempts", "verdicts", "decisions"):
        (run / f"{name}.jsonl").write_bytes((other / f"{name}.jsonl").read_bytes())
    with RunIndex(run) as index, RunIndex(other) as fresh:
        assert everything(index) == everything(fresh)


def test_an_index_that_ran_ahead_of_a_cut_file_is_made_anew(run):
    RunIndex(run).close()
    lines = (run / "decisions.jsonl").read_bytes().splitlines(keepends=True)
    (run / "decisions.jsonl").write_bytes(b"".join(lines[:-1]))
    with RunIndex(run) as index:
        assert index.count("decision")[None,] == 1


@pytest.mark.parametrize(
    "damage", [b"not a database at all, but long enough to be taken for one" * 20, b""]
)
def test_a_damaged_index_is_made_anew(run, damage):
    with RunIndex(run) as index:
        expected = everything(index)
    (run / "index.sqlite").write_bytes(damage)
    with RunIndex(run) as index:
        assert everything(index) == expected


def test_an_index_damaged_inside_is_made_anew(run):
    with RunIndex(run) as index:
        expected = everything(index)
    data = bytearray((run / "index.sqlite").read_bytes())
    data[100:4096] = os.urandom(3996)
    (run / "index.sqlite").write_bytes(data)
    with RunIndex(run) as index:
        assert everything(index) == expected


def test_half_a_line_is_not_indexed_yet(run):
    with RunIndex(run) as index:
        before = everything(index)
        with (run / "attempts.jsonl").open("ab") as file:
            file.write(b'{"round":1')
        index.catch_up()
        assert everything(index) == before


def test_a_run_in_a_folder_that_cannot_be_written_is_indexed_in_memory(run, monkeypatch):
    # Root may write anywhere, so the folder's permissions cannot stand for a read-only disk.
    os.mkdir(run / "index.sqlite")
    with RunIndex(run) as index:
        assert index.count() == {(): 8}


def test_a_folder_without_a_run_has_no_index(tmp_path):
    with pytest.raises(LedgerError, match="holds no run"):
        RunIndex(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(LedgerError, match="holds no run"):
        rebuild_index(tmp_path)
