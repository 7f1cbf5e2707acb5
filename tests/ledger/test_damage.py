"""Files that a killed writer or a stranger left behind: torn lines are cut and named, damage is an error."""

import pytest

from orbiter.errors import LedgerError, LedgerWarning
from orbiter.ledger import Decision, History, Ledger, RunIndex
from orbiter.records import Verdict

PASS = Verdict.passed(verifier="exact", version="1")


def test_several_torn_files_are_all_recorded_even_if_warnings_are_errors(
    run_dir, make_attempt, planned
):
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


def test_a_torn_line_of_each_file_is_cut_and_named(run_dir, make_attempt, planned):
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
    # Nothing left to repair, so no warning, which would be an error.
    with Ledger.open(run_dir) as ledger:
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
        ("rounds", lambda text: text.replace(b'"format":1', b'"format":2'), "rounds.jsonl line 1: format of a ledger must be 1, got 2"),
        ("verdicts", lambda text: text.replace(b'"pass"', b'"maybe"', 1), "verdicts.jsonl line 1 is damaged"),
        ("decisions", lambda text: text * 2, "decisions.jsonl line 2 records again what line 1 records"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_an_error_never_a_silent_loss(
    run_dir, make_attempt, name, edit, message, planned
):
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
    assert caught.value.message.startswith(f"{run_dir}/{message}")
    assert file.read_bytes() == before
    with pytest.raises(LedgerError) as caught:
        History.open(run_dir)
    assert caught.value.message.startswith(f"{run_dir}/{message}")


@pytest.mark.parametrize("name", ["rounds", "attempts", "verdicts", "decisions"])
def test_the_index_names_a_damaged_line_by_run_file_and_number(
    run_dir, make_attempt, planned, name
):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(keys[0])])
        ledger.add_verdicts([(keys[0], PASS)])
        ledger.add_decisions([(keys[0], Decision("accepted"))])
    file = run_dir / f"{name}.jsonl"
    file.write_bytes(b"\0" + file.read_bytes()[1:])
    with pytest.raises(LedgerError) as caught:
        RunIndex(run_dir)
    assert caught.value.message.startswith(f"{run_dir}/{name}.jsonl line 1 is damaged")


def test_damage_in_a_text_is_noticed_when_it_is_read(run_dir, make_attempt, planned):
    with Ledger.open(run_dir) as ledger:
        keys = planned(ledger)
        ledger.add_attempts([make_attempt(key) for key in keys])
        file = run_dir / "attempts.jsonl"
        first, *rest = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join([first, rest[0].replace(b"answer", b"answ\xff\xff"), *rest[1:]]))
        attempts = ledger.attempts()
        assert next(attempts).key == keys[0]
        with pytest.raises(LedgerError) as caught:
            next(attempts)
    assert caught.value.message.startswith(f"{run_dir}/attempts.jsonl line 2 is damaged")


def test_a_missing_file_is_an_error(run_dir):
    Ledger.open(run_dir).close()
    (run_dir / "verdicts.jsonl").unlink()
    with pytest.raises(LedgerError, match=r"verdicts\.jsonl of run .* is missing"):
        Ledger.open(run_dir)
