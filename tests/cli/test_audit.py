"""``orbiter audit``, with its real worker processes: what is wrong is caught and named, what is right is not."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

CHECKERS = Path(__file__).parent / "checkers.py"
SMALL = ("--environment", "countdown", "numbers=4", "--tasks", "40")
TINY = ("--environment", "sorting", "--tasks", "1")


def missed(said):
    """Return the families that a bound was missed by."""
    found = re.search(r"MISSED for certain by: (.*)", said.out)
    return found[1].split(", ") if found else []


@pytest.mark.parametrize(
    ("checker", "families", "bound"),
    [
        ("AcceptsUnlisted", ["unlisted number", "number used twice"], "--max-fpr"),
        ("AcceptsTwice", ["number used twice"], "--max-fpr"),
        ("Truncates", ["value after int()"], "--max-fpr"),
        ("PassesEmpty", ["blank reference"], "--max-fpr"),
        ("ReadsScore", ["forged trace"], "--max-fpr"),
        ("ReadsScore", ["forged trace"], "--max-fnr"),
        ("ReadsExpected", ["forged trace"], "--max-fpr"),
    ],
)
def test_a_wrong_checker_is_caught_and_its_family_named(orbiter, checker, families, bound):
    said = orbiter("audit", f"{CHECKERS}:{checker}", *SMALL, bound, "0.1")
    assert (said.code, said.err) == (1, "")
    assert missed(said) == families
    for family in families:
        what = "failed the right" if bound == "--max-fnr" else "passed the wrong"
        assert f"{family}: {what} " in said.out


@pytest.mark.parametrize("verifier", [f"{CHECKERS}:Honest", "countdown"], ids=["own", "built-in"])
def test_an_honest_checker_is_not_flagged(orbiter, verifier):
    said = orbiter("audit", verifier, *SMALL, "--max-fpr", "0.02", "--max-fnr", "0.05")
    assert (said.code, said.err) == (0, "")
    assert missed(said) == []
    assert said.out.count(" kept: ") == 2
    assert "passed the wrong" not in said.out
    assert "failed the right" not in said.out
    assert said.out.count(": the same (of ") == 4


def test_a_bound_that_few_answers_cannot_show_is_missed_without_a_family(orbiter):
    said = orbiter(
        "audit", "exact", "--environment", "sorting", "--tasks", "5", "--max-fpr", "0.01"
    )
    assert said.code == 1
    assert re.search(r"FPR <= 0.01 MISSED: the interval reaches 0\.0\d+; more answers", said.out)
    assert missed(said) == []


def test_faults_are_counted_apart_by_reason_and_enter_no_rate(orbiter, tmp_path):
    """The checker goes by the length of the answer: 8 raises, 1 gives NaN, 2 a number, 3 nothing, 4 leaves; 5 to 7 are judged."""
    said_texts = [("?" * length, False) for length in range(1, 9)] + [("3*2+0*2", True)]
    text = "".join(f"{json.dumps(labelled(said, right))}\n" for said, right in said_texts * 2)
    (tmp_path / "labelled.jsonl").write_text(text)
    said = orbiter(
        "audit", f"{CHECKERS}:Faulty", "--labelled", "labelled.jsonl", "--json", "audit.json"
    )
    assert (said.code, said.err) == (1, "")  # 10 of 18 are most of them
    for kind in (
        "error: ValueError: cannot read '????????'",
        "error: RecordError: field 'score' must be a finite number, got nan",
        "error: returned float, not a Verdict",
        "error: returned NoneType, not a Verdict",
        "crash: verifier raised SystemExit: 3",
    ):
        assert f"\ninvalid: 2 x {kind}\n" in said.out, kind
    audit = json.loads((tmp_path / "audit.json").read_text())["audits"]["labelled"]
    assert (audit["invalid_wrong"], audit["invalid_right"], audit["true_negatives"]) == (10, 0, 6)
    assert (audit["fpr"], audit["fnr"]) == (0, 1)  # 0 is not given
    assert "error: ValueError: cannot read '????????'" in audit["reasons"]


@pytest.mark.parametrize(("valid", "code"), [(10, 0), (9, 1)])
def test_an_audit_that_judged_less_than_half_has_failed_though_no_bound_was_asked(
    orbiter, tmp_path, valid, code
):
    """Answers of eight characters cannot be judged, ten in all."""
    said_texts = ["?" * 8] * 10 + ["?" * 7] * valid
    text = "".join(f"{json.dumps(labelled(said, False))}\n" for said in said_texts)
    (tmp_path / "labelled.jsonl").write_text(text)
    arguments = ("--labelled", "labelled.jsonl", "--json", "audit.json")
    said = orbiter("audit", f"{CHECKERS}:Faulty", *arguments)
    assert (said.code, said.err) == (code, "")
    assert (
        "\nthe audit FAILED: most answers could not be judged, and the rates" in said.out
    ) == code
    assert json.loads((tmp_path / "audit.json").read_text())["measured"] is not bool(code)


def test_what_cannot_be_judged_is_told_and_shows_no_bound(orbiter):
    said = orbiter("audit", "numeric", *SMALL, "--max-fpr", "1", "--max-fnr", "1")
    assert said.code == 1
    assert re.search(r"^invalid: (\d+) of (\d+) probes, MOST OF THEM$", said.out, re.MULTILINE)
    assert re.search(
        r"^bound on probes: FPR <= 1 MISSED: only \d+ of \d+ answers could be judged$",
        said.out,
        re.MULTILINE,
    )
    assert "bound on probes: FNR <= 1 MISSED: nothing measures it" in said.out


def test_a_verifier_that_hangs_does_not_hang_the_audit(orbiter, tmp_path):
    rows = [("=", False), ("2*3", True)] + [("2+3", False)] * 6
    text = "".join(f"{json.dumps(labelled(said, right))}\n" for said, right in rows)
    (tmp_path / "labelled.jsonl").write_text(text)
    common = ("--labelled", "labelled.jsonl", "--timeout-s", "0.3")
    said = orbiter("audit", f"{CHECKERS}:Hangs", *common)
    assert said.code == 0
    assert re.search(r"^invalid: 1 x timeout: ", said.out, re.MULTILINE)
    given_up = orbiter("audit", f"{CHECKERS}:AlwaysHangs", *common)
    assert (given_up.code, given_up.out) == (1, "")
    assert "'always hangs' must judge most answers, and was lost on 4 of 4: timeout" in given_up.err


def test_a_verdict_that_changes_is_told(orbiter):
    said = orbiter("audit", f"{CHECKERS}:Moody", *SMALL)
    assert re.search(r"^judged again: \d+ CHANGED: countdown:", said.out, re.MULTILINE)


def test_a_verdict_that_is_another_in_another_process_is_told(orbiter, monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    rows = "".join(f"{json.dumps(labelled('2*3' + ' ' * n, True))}\n" for n in range(40))
    (tmp_path / "labelled.jsonl").write_text(rows)
    said = orbiter("audit", f"{CHECKERS}:ByHash", "--labelled", "labelled.jsonl")
    assert re.search(r"^judged again: the same \(of 40\)$", said.out, re.MULTILINE)
    assert re.search(r"^judged in another process: \d+ CHANGED: six", said.out, re.MULTILINE)


def labelled(said, correct, **more):
    messages = [
        {"role": "user", "content": "make 6 from 2 3:"},
        {"role": "assistant", "content": said},
    ]
    answer = {"target": 6, "numbers": [2, 3]}
    return {"messages": messages, "task_id": "six", "correct": correct, "answer": answer, **more}


def test_labelled_answers_are_read_and_named_by_family(orbiter, tmp_path):
    rows = [
        row | {"task_id": f"six:{n}"}
        for n in range(20)
        for row in (
            labelled("2*3", True),
            labelled("3*2", True, family="swapped"),
            labelled("2+3", False),
        )
    ]
    (tmp_path / "labelled.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    said = orbiter("audit", "countdown", "--labelled", "labelled.jsonl", "--max-fpr", "0.2")
    assert (said.code, said.err) == (0, "")
    assert re.search(r"^swapped +20/20 ", said.out, re.MULTILINE)
    assert re.search(r"^labelled +20/20 +0/20 ", said.out, re.MULTILINE)
    assert "\n40 right answers, several to a task, are worth 20 independent ones\n" in said.out
    both = orbiter("audit", "countdown", "--labelled", "labelled.jsonl", *SMALL)
    assert both.code == 0
    assert "\nprobes " in both.out
    assert "\nlabelled: FPR 0.0000" in both.out


def test_files_hold_what_was_found(orbiter, tmp_path):
    said = orbiter(
        *("audit", "exact", "case=false", "--environment", "sorting", "length=5", "--tasks", "30"),
        *("--json", "a.json", "--svg", "a.svg", "--pass-rate", "0.2", "--target", "0.9"),
        *("--rows", "50", "--confidence", "0.9", "--seed", "3"),
    )
    assert (said.code, said.err) == (0, "")
    row = json.loads((tmp_path / "a.json").read_text())
    assert (row["verifier"], row["version"], row["confidence"]) == ("exact", "1;case=False", 0.9)
    assert row["forecast"]["observed"] == 0.2
    assert row["forecast"]["at_best"]["samples"] == pytest.approx(250)
    assert row["verdicts_per_s"] > 0
    ElementTree.parse(tmp_path / "a.svg")
    assert "true pass rate 0.2000 [" in said.out
    assert "g = inf: 1 round, 250 samples" in said.out


def test_the_same_command_finds_the_same(orbiter, tmp_path):
    for name in ("one", "two"):
        orbiter("audit", f"{CHECKERS}:AcceptsTwice", *SMALL, "--json", f"{name}.json")
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert one.pop("verdicts_per_s") != two.pop("verdicts_per_s")
    assert one == two


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("exact",), "orbiter audit must be given --environment or --labelled"),
        (("exakt", *TINY), "unknown verifier 'exakt'; did you mean 'exact'?"),
        (("exact", "--environment", "sortin"), "unknown environment 'sortin'; did you mean"),
        (("exact", "caze=true", *TINY), "verifier 'exact' has no option 'caze'; did you mean"),
        (("exact", "case", *TINY), "option of the verifier must look like key=value, got 'case'"),
        (("exact", "case=true", "case=false", *TINY), "option 'case' of the verifier is given"),
        (("exact", "case=[", *TINY), "value of the option 'case=['"),
        (
            ("exact", "a.b=2", *TINY),
            "got 'a.b=2'\n  what is inside another is written with it: a='{b: 2}'",
        ),
        (("exact", "name=numeric", *TINY), "must look like key=value, got 'name=numeric'"),
        (
            ("exact", "--environment", "sorting", "length=x"),
            "length must be an integer in [1, 1000], got 'x'",
        ),
        (("exact", *TINY[:2], "--tasks", "many"), "argument --tasks: invalid int value: 'many'"),
        (("exact", *TINY, "--pass-rate", "1.5"), "--pass-rate must be a number in [0, 1], got 1.5"),
        (("exact", *TINY[:2], "--tasks", "0"), "--tasks must be an integer >= 1, got 0"),
        (("exact", *TINY, "--max-fpr", "1.5"), "limit of the fpr must be a number in [0, 1]"),
        (("exact", *TINY, "--confidence", "1"), "confidence must be a number in (0, 1), got 1.0"),
        (("exact", *TINY, "--target", "0.9"), "--target has an effect only with --pass-rate"),
        (("exact", "--labelled", "x.jsonl", "--tasks", "9"), "--tasks has an effect only with"),
        (("exact", "--labelled", "none.jsonl"), "none.jsonl: cannot be read: No such file"),
        (("exact", *TINY, "--json", "no/a.json"), "folder of 'no/a.json' does not exist"),
        (("nothere.py:X", *TINY), "file 'nothere.py' of 'nothere.py:X' does not exist"),
    ],
    ids=lambda v: v[:40] if isinstance(v, str) else "",
)
def test_bad_input_is_one_line_and_a_hint(orbiter, arguments, says):
    said = orbiter("audit", *arguments)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert "Traceback" not in said.err
    assert len(said.err.splitlines()) <= 2


def test_a_bad_labelled_row_is_named_by_file_line_and_field(orbiter, tmp_path):
    rows = [labelled("2*3", True), labelled("2*3", "yes")]
    (tmp_path / "labelled.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    said = orbiter("audit", "countdown", "--labelled", "labelled.jsonl")
    assert said.code == 2
    assert "labelled.jsonl line 2: field 'correct' must be true or false, got 'yes'" in said.err


def test_what_a_model_wrote_never_moves_the_cursor(orbiter, tmp_path):
    rows = [labelled("\x1b[2J\u202e2*3", True, family="\x1b]0;x\x07"), labelled("2*3", False)]
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    (tmp_path / "labelled.jsonl").write_text(text)
    said = orbiter("audit", "countdown", "--labelled", "labelled.jsonl", "--svg", "a.svg")
    assert said.code == 0
    assert not [c for c in said.out if not c.isprintable() and c != "\n"]
    ElementTree.parse(tmp_path / "a.svg")
